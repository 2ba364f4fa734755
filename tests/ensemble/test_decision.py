"""The SMAPE-optimal decision, the network that predicts a distribution, spread and intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.config.ensemble import MetaNetworkConfig
from pricing.ensemble.decision import Decision, best_offset, choose_decision, fit_decision, smape_optimal_points
from pricing.ensemble.intervals import Intervals, fit_intervals
from pricing.ensemble.linear import LinearModel
from pricing.ensemble.meta_features import disagreement
from pricing.ensemble.meta_network import NetworkModel, fit_network
from pricing.ensemble.spread import fit_spread
from pricing.errors import ArtifactError
from pricing.metrics.price_metrics import calculate_smape
from pricing.metrics.smape import smape_of_logs

GRID = np.linspace(-2, 2, 161)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(2, 9))
def test_points_are_those_of_a_brute_search(seed: int, k: int) -> None:
    """No answer on a fine grid has a lower expected SMAPE, computed on prices by the challenge's own formula."""
    rng = np.random.default_rng(seed)
    atoms = np.sort(rng.uniform(-2, 2, k))
    weights = rng.dirichlet(np.ones(k))
    point = smape_optimal_points(weights[None, :], atoms, GRID)[0]

    def risk(answer: float) -> float:
        return sum(w * calculate_smape([np.exp(a)], [np.exp(answer)]) for w, a in zip(weights, atoms, strict=True))

    assert risk(point) <= min(risk(c) for c in np.linspace(-2, 2, 401)) + 1.5


def test_symmetric_error_is_answered_by_the_median_and_a_bimodal_one_by_the_likelier_mode() -> None:
    atoms = np.linspace(-1, 1, 21)
    bell = np.exp(-(atoms**2) * 4)
    assert smape_optimal_points((bell / bell.sum())[None, :], atoms, GRID)[0] == pytest.approx(0, abs=1e-9)
    # three in ten are the case of twelve: the mean would be 0.75, wrong by a factor of two every time
    case = np.where(np.arange(21) == 0, 0.7, np.where(np.arange(21) == 20, 0.3, 0.0))
    assert smape_optimal_points(case[None, :], np.linspace(0, np.log(12), 21), GRID)[0] == pytest.approx(0, abs=0.02)


def test_offsets_grow_with_the_width_of_a_skewed_error() -> None:
    residuals = np.random.default_rng(0).exponential(1.0, 20_000) - np.log(2)  # median 0
    offsets = best_offset(residuals, np.array([0.05, 0.5, 1.0]), np.linspace(-1, 1, 401))
    assert offsets[0] == pytest.approx(0, abs=0.01)
    assert offsets[0] > offsets[1] > offsets[2]  # away from the long tail


def skewed(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Members that tell how wide the error is, a mean-like stack, skewed residuals."""
    rng = np.random.default_rng(seed)
    stack = rng.normal(2.9, 0.8, n)
    width = np.exp(rng.normal(-0.6, 0.6, n))
    members = stack[:, None] + width[:, None] * rng.normal(0, 0.5, (n, 4))
    return members, stack, stack + width * (rng.exponential(1.0, n) - 1.0)


def test_decision_is_kept_only_if_it_helps() -> None:
    members, stack, log_price = skewed(3000, 0)
    folds = np.arange(3000) % 3
    decision, scores = choose_decision(members, stack, log_price, folds, (0, 1, 2, 3))
    assert decision.kind == "smape_optimal"
    assert scores["smape_optimal"] < scores["none"] - 0.5
    fresh_members, fresh_stack, fresh = skewed(3000, 1)
    decided = decision.apply(fresh_members, fresh_stack)
    assert smape_of_logs(decided, fresh) == pytest.approx(scores["smape_optimal"], abs=2)
    assert smape_of_logs(decided, fresh) < smape_of_logs(fresh_stack, fresh) - 0.5
    symmetric = stack + np.random.default_rng(2).laplace(0, 0.3, 3000)
    assert choose_decision(members, stack, symmetric, folds, (0, 1, 2, 3))[0].kind == "none"
    assert (Decision().apply(members, stack) == stack).all()


def test_decision_survives_saving_and_one_row_is_decided_alone() -> None:
    members, stack, log_price = skewed(500, 3)
    decision = fit_decision(members, stack, log_price, (0, 2))
    decided = decision.apply(members, stack)
    again = Decision.from_dict(decision.to_dict(), 4)
    assert (again.apply(members, stack) == decided).all()
    assert again.apply(members[7:8], stack[7:8])[0] == decided[7]
    with pytest.raises(ArtifactError):
        Decision.from_dict(decision.to_dict() | {"offsets": [float("nan")] * len(decision.offsets)}, 4)


def test_intervals_cover_where_errors_are_narrow_and_where_they_are_wide() -> None:
    members, stack, log_price = skewed(4000, 4)
    fitted = fit_intervals(members, stack, log_price, np.arange(4000) % 4, (0, 1, 2, 3))
    fresh_members, fresh_stack, fresh = skewed(8000, 5)
    found = Intervals.from_dict(fitted.to_dict(), 4).around(fresh_members, fresh_stack)
    width = np.log(np.abs(fresh_members - fresh_stack[:, None]).mean(axis=1))
    for level, slack in ((80, 2), (95, 1)):
        low, high = found[level]
        inside = (low <= fresh) & (fresh <= high)
        assert (low <= fresh_stack).all()
        assert (fresh_stack <= high).all()
        assert 100 * inside.mean() == pytest.approx(level, abs=slack)
        assert fitted.oof_coverage[level] == pytest.approx(level, abs=slack)
        for part in (width < np.quantile(width, 0.25), width > np.quantile(width, 0.75)):
            assert 100 * inside[part].mean() == pytest.approx(level, abs=5)
    assert (found[95][0] <= found[80][0]).all()
    assert (found[95][1] >= found[80][1]).all()
    # normalised: the widest quarter's intervals are several times the narrowest's
    size = found[80][1] - found[80][0]
    assert np.median(size[width > np.quantile(width, 0.75)]) > 2 * np.median(size[width < np.quantile(width, 0.25)])


def test_spread_finds_the_scale_it_was_made_with() -> None:
    rng = np.random.default_rng(6)
    stack = rng.normal(3, 1, 20_000)
    scale = np.exp(-1 + 0.3 * (stack - 3))
    model = fit_spread(np.empty((20_000, 0)), stack, rng.laplace(0, 1, 20_000) * scale, ())
    assert model.predict(np.empty((20_000, 0)), stack) == pytest.approx(scale, rel=0.15)


def test_matching_makes_up_for_members_that_agree_more() -> None:
    """New rows are predicted by means over folds, which agree more: unmatched, intervals would be too narrow."""
    members, stack, log_price = skewed(4000, 8)
    fitted = fit_intervals(members, stack, log_price, np.arange(4000) % 4, (0, 1, 2, 3))
    new, new_stack, fresh = skewed(4000, 9)
    calmer = new_stack[:, None] + 0.6 * (new - new_stack[:, None])

    def covered(intervals: Intervals) -> float:
        low, high = intervals.around(calmer, new_stack)[80]
        return float(100 * ((low <= fresh) & (fresh <= high)).mean())

    matched = Intervals(fitted.spread.matched(calmer, new_stack), fitted.quantiles)
    assert covered(fitted) < 72
    assert covered(matched) == pytest.approx(80, abs=2.5)
    assert fitted.spread.matched(calmer[:50], new_stack[:50]) is fitted.spread


@pytest.fixture(scope="module")
def bimodal() -> tuple[NetworkModel, np.ndarray, np.ndarray]:
    """One price in three is twelve times the other, and members say how likely it is."""
    rng = np.random.default_rng(7)
    log_price = rng.normal(2.5, 0.6, 5000)
    likely = rng.uniform(0, 0.7, 5000)
    members = np.column_stack([log_price + rng.normal(0, 0.1, 5000), log_price + likely])
    log_price = log_price + np.log(12) * (rng.random(5000) < likely)
    base = LinearModel(0.0, np.array([1.0, 0.0]))
    config = MetaNetworkConfig(networks=2, epochs=10, hidden=16)
    return fit_network(base, members[:4000], log_price[:4000], (1, 0), config, 0), members, log_price


def test_network_answers_with_a_mode(bimodal: tuple[NetworkModel, np.ndarray, np.ndarray]) -> None:
    model, members, log_price = bimodal
    found = model.predict(members)[4000:]
    fresh, base = log_price[4000:], members[4000:, 0]
    shift = np.linspace(0, np.log(12), 60)
    best_shift = min(smape_of_logs(base + one, fresh) for one in shift)
    assert smape_of_logs(found, fresh) < best_shift - 1
    offsets = found - base
    middle = (offsets > 0.6) & (offsets < np.log(12) - 0.6)
    assert middle.mean() < 0.1  # hardly any answer lies between the two prices


def test_networks_forward_pass_is_torchs(bimodal: tuple[NetworkModel, np.ndarray, np.ndarray]) -> None:
    import torch

    model, members, _ = bimodal
    base = model.base.predict(members)
    inputs = np.clip((disagreement(members[:, [1, 0]], base) - model.centre) / model.scale, -6, 6)
    x = torch.tensor(inputs, dtype=torch.float32)
    total = torch.zeros(len(members), len(model.atoms), dtype=torch.float64)
    for net in range(2):
        layers = {name: torch.tensor(values[net]) for name, values in model.layers.items()}
        hidden = torch.nn.functional.silu(x @ layers["w1"] + layers["b1"])
        hidden = torch.nn.functional.silu(hidden @ layers["w2"] + layers["b2"])
        total += torch.softmax((hidden @ layers["w3"] + layers["b3"]).double(), dim=1) / 2
    grid = np.linspace(max(model.atoms[0], -1.5), min(model.atoms[-1], 1.5), 121)
    expected = base + smape_optimal_points(total.numpy(), model.atoms, grid)
    found = model.predict(members)
    # where two modes are as good, a last bit may decide between them
    assert np.quantile(np.abs(found - expected), 0.99) < 1e-4
    alone = np.concatenate([model.predict(members[row : row + 1]) for row in range(0, 5000, 500)])
    assert (alone == found[::500]).all()
