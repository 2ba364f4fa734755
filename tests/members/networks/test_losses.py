"""Losses against the formula, their gradients, and their behaviour in half precision."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pricing.members.multimodal.losses import LOSSES, FocalSMAPELoss, HuberSMAPELoss, make_loss

NAMES = sorted(LOSSES)


@given(st.floats(0.01, 1e5), st.floats(0.01, 1e5))
def test_the_log_form_is_smape(price: float, truth: float) -> None:
    """An oracle in prices: |p - a| / ((|a| + |p|) / 2); the focal loss without focus and floor is SMAPE itself."""
    found = FocalSMAPELoss(gamma=0.0, floor=0.0)(
        torch.tensor(math.log(price), dtype=torch.float64), torch.tensor(math.log(truth), dtype=torch.float64)
    )
    assert float(found) == pytest.approx(abs(price - truth) / ((price + truth) / 2), abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_the_loss(name: str) -> None:
    target = torch.tensor([1.0, 2.0, 3.0, 0.5, 2.2], dtype=torch.float64)
    prediction = (target + torch.tensor([0.31, -1.7, 0.02, 6.0, -0.07], dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: make_loss(name)(p, target), (prediction,))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_stable(name: str, dtype: torch.dtype) -> None:
    """Perfect, absurd and tiny differences: a finite loss, finite gradients, and no gradient where all is right."""
    target = torch.tensor([2.0, 2.0, 2.0, 2.0], dtype=dtype)
    prediction = torch.tensor([2.0, 60.0, -60.0, 2.0 + 2**-6], dtype=dtype, requires_grad=True)
    loss = make_loss(name)(prediction, target)
    loss.backward()
    assert torch.isfinite(loss)
    assert prediction.grad is not None
    assert torch.isfinite(prediction.grad).all()
    assert prediction.grad[0] == 0
    assert prediction.grad[3] > 0


@pytest.mark.parametrize("name", NAMES)
def test_losses_grow_with_the_error_and_are_symmetric(name: str) -> None:
    d = torch.linspace(0, 4, 60)
    loss = make_loss(name, "none")
    up, down = loss(d, torch.zeros(60)), loss(-d, torch.zeros(60))
    assert torch.equal(up, down)
    assert (up.diff() > 0).all()
    assert up[0] == 0


def test_limits_are_huber_and_smape() -> None:
    d = np.linspace(-3, 3, 41)
    prediction, zero = torch.from_numpy(d), torch.zeros(41, dtype=torch.float64)
    huber = np.where(np.abs(d) <= 0.1, d**2 / 0.2, np.abs(d) - 0.05)
    np.testing.assert_allclose(HuberSMAPELoss(0.1, weight=0.0, reduction="none")(prediction, zero), huber, atol=1e-12)
    smape = np.abs(np.exp(d) - 1) / ((np.exp(d) + 1) / 2)
    found = FocalSMAPELoss(gamma=0.0, floor=0.0, reduction="none")(prediction, zero)
    np.testing.assert_allclose(found, smape, atol=1e-12)
