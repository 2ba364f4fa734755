"""Moving average of the weights."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


class ModelEMA:
    """Exponential moving average of a model's trained parameters.

    ``shadow <- d * shadow + (1 - d) * weights`` with the decay warmed up, ``d = min(decay, (1 + t) / (10 + t))`` at
    update t (as in TensorFlow's ExponentialMovingAverage), so that a short training is not an average with its start.

    Parameters
    ----------
    model : nn.Module
        Only parameters that require a gradient are averaged.
    decay : float
        Highest decay; 0 makes the shadow equal to the weights.
    warmup : bool
        Warm the decay up.

    Examples
    --------
    >>> model = nn.Linear(2, 1)
    >>> ema = ModelEMA(model, decay=0.99)
    >>> ema.update(model)
    >>> ema.apply_shadow(model)  # evaluate with the average ...
    >>> ema.restore(model)  # ... and go on training with the weights
    """

    def __init__(self, model: nn.Module, decay: float = 0.999, *, warmup: bool = True) -> None:
        self.decay, self.warmup, self.updates = decay, warmup, 0
        self.shadow = {name: p.detach().clone() for name, p in _trained(model)}
        self._backup: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after an optimiser step."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warmup else self.decay
        names, weights = zip(*_trained(model), strict=True)
        torch._foreach_lerp_([self.shadow[name] for name in names], list(weights), 1.0 - decay)

    @torch.no_grad()
    def apply_shadow(self, model: nn.Module) -> None:
        """Put the average in the model's place; the weights are kept for `restore`."""
        if self._backup:
            raise RuntimeError("the shadow is applied already; call restore first")
        for name, parameter in _trained(model):
            self._backup[name] = parameter.detach().clone()
            parameter.copy_(self.shadow[name])

    @torch.no_grad()
    def restore(self, model: nn.Module) -> None:
        """Put the weights back, bit for bit."""
        if not self._backup:
            raise RuntimeError("nothing to restore; call apply_shadow first")
        for name, parameter in _trained(model):
            parameter.copy_(self._backup[name])
        self._backup = {}

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes."""
        return {"updates": self.updates, "shadow": dict(self.shadow)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state."""
        self.updates = int(state["updates"])
        for name, value in state["shadow"].items():
            self.shadow[name].copy_(value)


def _trained(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
