"""Weights on the simplex, greedy selection, calibration."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.ensemble.calibration import Calibration, choose_calibration, fit_calibration
from pricing.ensemble.selection import select_greedily
from pricing.ensemble.simplex_weights import optimise_weights
from pricing.errors import ArtifactError
from pricing.metrics.price_metrics import calculate_smape
from pricing.metrics.smape import smape_of_logs
from tests.ensemble.synthetic import make_members


@settings(max_examples=25)
@given(st.integers(1, 6), st.integers(0, 10_000), st.integers(1, 4))
def test_weights_are_on_the_simplex(m: int, seed: int, starts: int) -> None:
    """Property 25: Level-2 weight normalization. Weights are non-negative, sum to one, and the weighted log prices are
    at least as good as the plain mean and the best single model on the rows they were fitted on."""
    members, log_price = make_members(80, m, seed)
    weights = optimise_weights(members, log_price, starts=starts, seed=seed)
    assert weights.shape == (m,)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    found = smape_of_logs(members @ weights, log_price)
    rivals = [smape_of_logs(members[:, j], log_price) for j in range(m)]
    assert found <= min([*rivals, smape_of_logs(members.mean(axis=1), log_price)]) + 1e-9
    greedy = select_greedily(members, log_price, steps=20, seed=0)
    assert greedy.sum() == pytest.approx(1, abs=1e-12)
    assert (greedy >= 0).all()
    assert smape_of_logs(members @ greedy, log_price) <= min(rivals) + 1e-9


def test_weights_match_a_grid_search() -> None:
    """Two members: the best of a fine grid cannot be beaten by more than its spacing, nor beat the optimiser."""
    members, log_price = make_members(3000, 2, 4)
    grid = [smape_of_logs(members @ [w, 1 - w], log_price) for w in np.linspace(0, 1, 1001)]
    found = smape_of_logs(members @ optimise_weights(members, log_price, starts=5, seed=0), log_price)
    assert found == pytest.approx(min(grid), abs=0.01)


def test_log_space_smape_is_the_metric() -> None:
    members, log_price = make_members(200, 1, 5)
    assert smape_of_logs(members[:, 0], log_price) == pytest.approx(
        calculate_smape(np.exp(log_price), np.exp(members[:, 0])), rel=1e-12
    )


@given(st.integers(0, 10_000), st.sampled_from(["isotonic", "affine"]))
def test_calibration_is_monotone(seed: int, kind: str) -> None:
    """Property 26: Isotonic calibration monotonicity. A dearer prediction never becomes a cheaper one, not even by a
    rounding, and saving changes nothing."""
    members, log_price = make_members(60, 1, seed)
    calibration = fit_calibration(kind, members[:, 0], log_price)
    points = np.sort(np.concatenate([np.linspace(-5, 12, 500), members[:, 0]]))
    mapped = calibration.apply(points)
    assert np.isfinite(mapped).all()
    assert (np.diff(mapped) >= 0).all()
    again = Calibration.from_dict(calibration.to_dict())
    assert (again.apply(points) == mapped).all()


def test_isotonic_is_pool_adjacent_violators() -> None:
    """Three points in the wrong order are pooled to their mean."""
    calibration = fit_calibration("isotonic", np.array([1.0, 2, 3, 4]), np.array([0.0, 5, 2, 9]))
    assert calibration.apply(np.array([1.0, 2, 3, 4, 99])).tolist() == pytest.approx([0, 3.5, 3.5, 9, 9])


def test_calibration_is_kept_only_if_it_helps() -> None:
    rng = np.random.default_rng(0)
    log_price = rng.normal(3, 1, 2000)
    folds = np.arange(2000) % 5
    good = log_price + rng.normal(0, 0.3, 2000)
    assert choose_calibration(("isotonic", "affine"), good + 0.4, log_price, folds)[0].kind != "none"
    # the best predictor of a normal price from a noisy one shrinks, so start from the shrunk one
    best = 3 + (good - 3) / 1.09
    assert choose_calibration(("isotonic", "affine"), best, log_price, folds)[0].kind == "none"


@pytest.mark.parametrize(
    "change", [{"kind": "eval"}, {"slope": -1.0}, {"kind": "isotonic"}, {"knots_x": [2.0, 1.0], "knots_y": [1.0, 2.0]}]
)
def test_damaged_calibration_is_refused(change: dict) -> None:
    with pytest.raises(ArtifactError, match="damaged"):
        Calibration.from_dict(Calibration().to_dict() | change)
