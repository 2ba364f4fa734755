"""Metrics against formulas derived again in plain Python."""

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import cross_val_score

from pricing.errors import PredictionsError
from pricing.metrics.price_metrics import (
    calculate_metrics_by_quantile,
    calculate_smape,
    evaluate_predictions,
    log_to_price,
    metrics_by_group,
    smape_per_row,
    smape_scorer,
)

PRICES = st.floats(0.01, 1e5)
PAIRS = st.lists(st.tuples(PRICES, PRICES), min_size=1, max_size=40)


def split(pairs: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([y for y, _ in pairs]), np.array([p for _, p in pairs])


@given(PAIRS)
def test_smape_is_the_challenges_formula(pairs: list[tuple[float, float]]) -> None:
    """Property 34: SMAPE formula correctness. The mean of |p - y| / ((|p| + |y|) / 2), in percent, and in log space
    200 tanh(|d| / 2)."""
    y, p = split(pairs)
    expected = 100 * statistics.fmean(abs(b - a) / ((abs(a) + abs(b)) / 2) for a, b in pairs)
    assert calculate_smape(y, p) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    in_logs = statistics.fmean(200 * math.tanh(abs(math.log(b / a)) / 2) for a, b in pairs)
    assert calculate_smape(y, p) == pytest.approx(in_logs, rel=1e-9, abs=1e-9)
    assert calculate_smape(p, y) == calculate_smape(y, p)
    assert 0 <= calculate_smape(y, p) <= 200


def test_smape_by_hand() -> None:
    assert calculate_smape([100.0, 50.0], [100.0, 150.0]) == pytest.approx(50.0)
    assert calculate_smape([0.0, 0.0], [0.0, 5.0]) == pytest.approx(100.0)
    assert smape_per_row([0.0], [0.0]).tolist() == [0.0]
    # the sum of two huge prices must not overflow
    assert calculate_smape([1.7e308], [1.7e308]) == 0.0


@pytest.mark.parametrize(
    ("true", "predicted", "words"),
    [
        ([], [], "zero rows"),
        ([1.0, 2.0], [1.0], r"\(2,\).*\(1,\)"),
        ([[1.0]], [[1.0]], "one-dimensional"),
        ([1.0, 2.0], [1.0, float("nan")], "predicted values.*position 1"),
        ([1.0, float("inf")], [1.0, 1.0], "true values.*position 1"),
        (["a"], [1.0], "not numbers"),
    ],
)
def test_smape_refuses_what_it_cannot_judge(true: list, predicted: list, words: str) -> None:
    with pytest.raises(PredictionsError, match=words):
        calculate_smape(true, predicted)


@given(st.lists(PRICES, min_size=1, max_size=30))
def test_log_space_and_back(prices: list[float]) -> None:
    """Property 35: Log space conversion. Prices survive the way to logs and back, and order is kept."""
    assert log_to_price([math.log(price) for price in prices]) == pytest.approx(prices, rel=1e-12)
    assert log_to_price([1.0])[0] == pytest.approx(math.e)  # natural, not log10 or log1p


@given(PAIRS)
def test_all_metrics_are_there(pairs: list[tuple[float, float]]) -> None:
    """Property 36: Metrics completeness. Every metric is there, finite, and equals its plain definition."""
    y, p = split(pairs)
    found = evaluate_predictions(y, p)
    assert set(found) == {
        "rows", "smape", "mae", "rmse", "rmsle", "mdape", "r2", "bias", "within_10", "within_25", "within_50",
    }  # fmt: skip
    assert all(math.isfinite(value) for value in found.values())
    assert found["mae"] == pytest.approx(statistics.fmean(abs(b - a) for a, b in pairs))
    assert found["rmse"] == pytest.approx(math.sqrt(statistics.fmean((b - a) ** 2 for a, b in pairs)))
    assert found["rmsle"] == pytest.approx(
        math.sqrt(statistics.fmean((math.log(1 + b) - math.log(1 + a)) ** 2 for a, b in pairs)), abs=1e-9
    )
    assert found["mdape"] == pytest.approx(100 * statistics.median(abs(b - a) / a for a, b in pairs))
    mean = statistics.fmean(y)
    spread = math.fsum((a - mean) ** 2 for a in y)
    if spread > 0:
        expected = 1 - math.fsum((b - a) ** 2 for a, b in pairs) / spread
        assert found["r2"] == pytest.approx(expected, rel=1e-6, abs=1e-6)
    for share in (10, 25, 50):
        # a hair's breadth on either side of the bound may be rounded to the other
        near = [abs(b - a) / a * 100 for a, b in pairs]
        least, most = (100 * statistics.fmean(e <= share * (1 + off) for e in near) for off in (-1e-9, 1e-9))
        assert least - 1e-9 <= found[f"within_{share}"] <= most + 1e-9
    assert found["bias"] == pytest.approx(100 * (math.exp(statistics.fmean(math.log(b / a) for a, b in pairs)) - 1))


def test_bounds_are_inclusive() -> None:
    """110 against 100 is within 10 %, although 110 / 100 - 1 is a little more than 0.1 in floats."""
    assert evaluate_predictions([100.0], [110.0])["within_10"] == 100.0
    assert evaluate_predictions([100.0], [110.1])["within_10"] == 0.0
    assert evaluate_predictions([5.0, 5.0], [5.0, 5.0])["r2"] == 1.0


@given(PAIRS, st.integers(1, 6))
def test_quantiles_partition_the_rows(pairs: list[tuple[float, float]], parts: int) -> None:
    """Property 37: Quantile SMAPE stratification. The parts are disjoint price ranges, hold every row, and their SMAPEs
    weighted by rows give the overall one."""
    y, p = split(pairs)
    rows = calculate_metrics_by_quantile(y, p, parts)
    assert 1 <= len(rows) <= parts
    assert sum(row["rows"] for row in rows) == len(y)
    assert all(a["high"] < b["low"] for a, b in itertools.pairwise(rows))
    assert sum(row["smape"] * row["rows"] for row in rows) / len(y) == pytest.approx(calculate_smape(y, p), abs=1e-9)
    for row in rows:
        inside = (y >= row["low"]) & (y <= row["high"])
        assert row["smape"] == pytest.approx(calculate_smape(y[inside], p[inside]))


def test_quantiles_are_of_equal_size() -> None:
    rows = calculate_metrics_by_quantile(np.arange(1.0, 101), np.ones(100), 4)
    assert [row["rows"] for row in rows] == [25, 25, 25, 25]


def test_groups() -> None:
    found = metrics_by_group([1.0, 2.0, 4.0], [1.0, 2.0, 8.0], ["b", "b", "a"])
    assert list(found) == ["a", "b"]
    assert found["b"]["smape"] == 0
    assert found["a"]["rows"] == 1


def test_scorer_prefers_the_better_model() -> None:
    """In a scikit-learn search the greater score wins; SMAPE must come in negative and on prices, not logs."""
    y = np.log(np.tile([10.0, 20.0, 40.0], 20))
    x = np.zeros((60, 1))
    median = DummyRegressor(strategy="median").fit(x, y)
    assert smape_scorer()(median, x, y) == pytest.approx(-calculate_smape(np.exp(y), np.full(60, 20.0)))
    scores = cross_val_score(median, x, y, scoring=smape_scorer(), cv=3)
    far = cross_val_score(DummyRegressor(strategy="constant", constant=9.0), x, y, scoring=smape_scorer(), cv=3)
    assert scores.mean() > far.mean()
