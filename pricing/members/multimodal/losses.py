"""Losses on log price, derived from SMAPE's form in log space.

One row's SMAPE is ``2 tanh(|d| / 2)`` with d the difference of log prices: bounded, so expensive rows cannot
dominate, and redescending, so a row far off hardly pulls. Used alone it stalls (public results agree), hence the
mixed forms here. All are computed in float32 whatever the model's precision: ``tanh`` and the powers lose the small
differences in fp16 and bf16.
"""

from abc import ABC, abstractmethod

import torch
from torch import nn
from torch.nn import functional as F


class LogLoss(nn.Module, ABC):
    """A loss of the difference of log prices, in float32.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        Of the rows' losses.
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Log prices (B,), (B,) -> scalar, or (B,) with reduction "none"."""
        loss = self.rows(_widen(prediction) - _widen(target))
        if self.reduction == "none":
            return loss
        return loss.sum() if self.reduction == "sum" else loss.mean()

    @abstractmethod
    def rows(self, difference: torch.Tensor) -> torch.Tensor:
        """Losses (B,) of the differences (B,)."""


class HuberSMAPELoss(LogLoss):
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
        super().__init__(reduction)
        self.delta, self.weight = delta, weight

    def rows(self, difference: torch.Tensor) -> torch.Tensor:
        """See `LogLoss.rows`."""
        # signed, so that it is smooth at zero
        smape = 2.0 * torch.tanh(difference / 2.0)
        return (1.0 - self.weight) * self._huber(difference) + self.weight * self._huber(smape)

    def _huber(self, x: torch.Tensor) -> torch.Tensor:
        return F.huber_loss(x, torch.zeros_like(x), reduction="none", delta=self.delta) / self.delta


class FocalSMAPELoss(LogLoss):
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
        super().__init__(reduction)
        self.gamma, self.floor = gamma, floor

    def rows(self, difference: torch.Tensor) -> torch.Tensor:
        """See `LogLoss.rows`."""
        distance = difference.abs()
        # one power: s * (s / 2) ** gamma = 2 * half ** (1 + gamma), whose slope at zero exists
        return 2.0 * torch.tanh(distance / 2.0) ** (1.0 + self.gamma) + self.floor * distance


class _L1(LogLoss):
    def rows(self, difference: torch.Tensor) -> torch.Tensor:
        return difference.abs()


class _SmoothL1(LogLoss):
    def rows(self, difference: torch.Tensor) -> torch.Tensor:
        return F.smooth_l1_loss(difference, torch.zeros_like(difference), reduction="none", beta=0.3)


LOSSES: dict[str, type[LogLoss]] = {
    "huber_smape": HuberSMAPELoss,
    "focal_smape": FocalSMAPELoss,
    "l1": _L1,
    "smooth_l1": _SmoothL1,
}


def make_loss(name: str, reduction: str = "mean") -> LogLoss:
    """Loss by its name in the configuration: huber_smape, focal_smape, l1, smooth_l1."""
    return LOSSES[name](reduction=reduction)


def _widen(x: torch.Tensor) -> torch.Tensor:
    return x if x.dtype == torch.float64 else x.float()
