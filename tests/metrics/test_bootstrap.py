"""Intervals cover what they promise, and pairing sees what single intervals cannot."""

import numpy as np
import pytest

from pricing.errors import PredictionsError
from pricing.metrics.bootstrap import bootstrap_interval, compare_predictions
from pricing.metrics.price_metrics import calculate_smape


def test_interval_agrees_with_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(50, 20, 2000)
    found = bootstrap_interval(values, resamples=2000)
    half = 1.96 * values.std() / np.sqrt(2000)
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1)
    assert found == bootstrap_interval(values, resamples=2000)


def test_copies_do_not_narrow_the_interval() -> None:
    """Twenty near-duplicates of each product are not twenty times the evidence."""
    values = np.random.default_rng(1).normal(50, 20, 100)
    once = bootstrap_interval(values)
    copied = np.repeat(values, 20)
    groups = np.repeat(np.arange(100), 20)
    honest = bootstrap_interval(copied, groups=groups)
    naive = bootstrap_interval(copied)
    assert honest.high - honest.low == pytest.approx(once.high - once.low, rel=0.05)
    assert naive.high - naive.low < 0.5 * (honest.high - honest.low)


def test_pairing_finds_a_small_gain() -> None:
    rng = np.random.default_rng(2)
    price = np.exp(rng.normal(3, 1, 1500))
    error = rng.normal(0, 0.6, 1500)
    first, second = price * np.exp(error), price * np.exp(0.95 * error)
    found = compare_predictions(price, first, second)
    assert found.beyond_noise
    assert found.difference.mean == pytest.approx(calculate_smape(price, second) - calculate_smape(price, first))
    assert found.difference.high < 0
    luck = compare_predictions(
        price, price * np.exp(rng.normal(0, 0.6, 1500)), price * np.exp(rng.normal(0, 0.6, 1500))
    )
    assert not luck.beyond_noise


def test_refuses_groups_of_another_length() -> None:
    with pytest.raises(PredictionsError, match="3 group names for 2 rows"):
        bootstrap_interval([1.0, 2.0], groups=[0, 1, 1])
