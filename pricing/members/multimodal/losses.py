"""Losses on log price, derived from SMAPE's form in log space.

One row's SMAPE is ``2 tanh(|d| / 2)`` with d the difference of log prices: bounded, so expensive rows cannot
dominate, and redescending, so a row far off hardly pulls. Used alone it stalls (public results agree), hence the
mixed forms here. All are computed in float32 whatever the model's precision: ``tanh`` and the powers lose the small
differences in fp16 and bf16.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F


class HuberSMAPELoss(nn.Module):
    """Huber on the log difference, blended with SMAPE made smooth at zero.

    ``L = (1 - w) * huber_delta(d) + w * huber_delta(s)``, where s = 2 tanh(|d| / 2) and huber_delta(x) = x^2 / (2
    delta) up to delta and |x| - delta / 2 above (Huber 1964, scaled to slope 1).

    Parameters
    ----------
    delta : float
        Threshold, in log price.
    weight : float
        w; 0 is Huber alone, 1 the smoothed SMAPE alone.
    """

    def __init__(self, delta: float = 0.1, weight: float = 0.5, reduction: str = "mean") -> None:
        super().__init__()
        self.delta, self.weight, self.reduction = delta, weight, reduction

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Log prices (B,), (B,) -> scalar, or (B,) with reduction "none"."""
        difference = _difference(prediction, target)
        smape = 2.0 * torch.tanh(difference / 2.0)  # signed, so that it is smooth at zero
        loss = (1.0 - self.weight) * self._huber(difference) + self.weight * self._huber(smape)
        return _reduce(loss, self.reduction)

    def _huber(self, x: torch.Tensor) -> torch.Tensor:
        return F.huber_loss(x, torch.zeros_like(x), reduction="none", delta=self.delta) / self.delta


class FocalSMAPELoss(nn.Module):
    """SMAPE with hard rows weighted up: ``L = s * (s / 2) ** gamma + floor * |d|``, s = 2 tanh(|d| / 2).

    After the focal loss (Lin et al. 2017), with s / 2 in [0, 1) in the role of 1 - p. The small linear term keeps a
    slope where s saturates.

    Parameters
    ----------
    gamma : float
        Focus; 0 is SMAPE itself.
    floor : float
        Weight of the linear term.
    """

    def __init__(self, gamma: float = 0.5, floor: float = 0.1, reduction: str = "mean") -> None:
        super().__init__()
        self.gamma, self.floor, self.reduction = gamma, floor, reduction

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Log prices (B,), (B,) -> scalar, or (B,) with reduction "none"."""
        distance = _difference(prediction, target).abs()
        half = torch.tanh(distance / 2.0)  # s / 2
        # one power: s * (s / 2) ** gamma = 2 * half ** (1 + gamma), whose slope at zero exists
        loss = 2.0 * half ** (1.0 + self.gamma) + self.floor * distance
        return _reduce(loss, self.reduction)


LOSSES: dict[str, Callable[[str], nn.Module]] = {
    "huber_smape": lambda reduction: HuberSMAPELoss(reduction=reduction),
    "focal_smape": lambda reduction: FocalSMAPELoss(reduction=reduction),
    "l1": lambda reduction: _InFloat32(nn.L1Loss(reduction=reduction)),
    "smooth_l1": lambda reduction: _InFloat32(nn.SmoothL1Loss(reduction=reduction, beta=0.3)),
}


def make_loss(name: str, reduction: str = "mean") -> nn.Module:
    """Loss by its name in the configuration: huber_smape, focal_smape, l1, smooth_l1."""
    return LOSSES[name](reduction)


class _InFloat32(nn.Module):
    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        prediction, target = _widen(prediction), _widen(target)
        return self.loss(prediction, target)


def _widen(x: torch.Tensor) -> torch.Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _difference(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return _widen(prediction) - _widen(target)


def _reduce(loss: torch.Tensor, reduction: str) -> torch.Tensor:
    if reduction == "none":
        return loss
    return loss.sum() if reduction == "sum" else loss.mean()
