"""Trust in single prices: it follows the expected error, its grounds are said, and the hold-out confirms it."""

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.errors import ArtifactError
from pricing.features.schema import make_columns
from pricing.metrics.price_metrics import smape_per_row
from pricing.run.trust import HIGH, LEVELS, LOW, Floats, TrustRule, calibration, nearest_cosines

RANK = {level: rank for rank, level in enumerate(reversed(LEVELS))}


def made_rows(count: int, seed: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Prices and predictions whose error grows with the width and falls with the cosine; then both."""
    rng = np.random.default_rng(seed)
    width, nearest = rng.uniform(0.5, 3, count), rng.beta(3, 3, count)
    log_price = rng.normal(3, 1, count)
    error = rng.laplace(size=count) * (0.15 * width + 0.5 * (1 - nearest))
    return np.exp(log_price), np.exp(log_price + error), width, nearest


@pytest.fixture(scope="module")
def rule() -> TrustRule:
    price, predicted, width, nearest = made_rows(4000, 0)
    return TrustRule.fit(smape_per_row(price, predicted), width, nearest)


def test_the_fit_is_that_of_least_squares(rule: TrustRule) -> None:
    """Both slopes are above 0 here, so that the constraint is idle: the normal equations give the same."""
    price, predicted, width, nearest = made_rows(4000, 0)
    smape = smape_per_row(price, predicted)
    design = np.column_stack([np.ones_like(width), width, 1 - nearest])
    expected = design @ np.linalg.solve(design.T @ design, design.T @ smape)
    assert rule.expected(width, nearest) == pytest.approx(expected)
    assert rule.mean == pytest.approx(smape.mean())
    levels = rule.levels(width, nearest)
    # away from the worst tenth of either
    inner = (width < np.quantile(width, 0.89)) & (nearest > np.quantile(nearest, 0.11))
    assert set(levels[inner & (expected <= 0.999 * HIGH * smape.mean())]) == {"high"}
    assert set(levels[expected >= 1.001 * LOW * smape.mean()]) == {"low"}
    assert rule.shares == {level: (levels == level).mean() for level in LEVELS}


def test_error_falls_with_trust_on_rows_that_it_was_not_fitted_on(rule: TrustRule) -> None:
    price, predicted, width, nearest = made_rows(1500, 1)
    table = calibration(rule.levels(width, nearest), price, predicted)
    assert [row["trust"] for row in table] == list(LEVELS)
    assert sum(row["rows"] for row in table) == 1500
    assert min(row["rows"] for row in table) > 100
    high, fair, low = (row["smape"] for row in table)
    assert 1.2 * high < fair < low / 1.2


def test_a_level_without_rows_has_no_figure() -> None:
    table = calibration(np.array(["fair", "fair"]), np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    assert [(row["rows"], row["smape"]) for row in table] == [(0, None), (2, 0.0), (0, None)]


@given(st.floats(0, 10), st.floats(0, 1), st.floats(0, 5), st.floats(0, 1))
def test_trust_never_rises_with_the_width_nor_falls_with_the_cosine(
    width: float, nearest: float, wider: float, nearer: float
) -> None:
    price, predicted, widths, cosines = made_rows(200, 2)
    made = TrustRule.fit(smape_per_row(price, predicted), widths, cosines)
    asked = np.array([width, width + wider, width]), np.array([nearest, nearest, max(nearest, nearer)])
    here, wide, near = (RANK[level] for level in made.levels(*asked))
    assert wide <= here <= near


def test_what_has_nothing_to_do_with_the_error_changes_no_level() -> None:
    rng = np.random.default_rng(3)
    width, nearest = rng.uniform(1, 2, 500), rng.uniform(0, 1, 500)
    # a cosine that says the wrong thing is not turned round
    made = TrustRule.fit(40 * width + 60 * nearest, width, nearest)
    assert made.distance is not None
    assert made.distance.slope == 0
    assert (made.levels(width, nearest) == made.levels(width, np.ones(500)))[nearest > 0.11].all()
    same = TrustRule.fit(np.full(500, 30.0), width, None)
    found = same.judge(width, None, {})
    assert found["trust"].to_list() == np.where(width > np.quantile(width, 0.99), "low", "fair").tolist()
    assert found["reason"].to_list() == np.where(
        width > np.quantile(width, 0.9), "wide interval", "usual interval").tolist()  # fmt: skip


def test_where_no_row_was_nothing_is_trusted(rule: TrustRule) -> None:
    """Onion tarts of nine hundred kilogrammes were all of high trust: the models agreed on what they did not know."""
    _, _, width, nearest = made_rows(4000, 0)
    narrow = np.full(3, width.min())
    far, beyond = np.quantile(nearest, 0.09), np.quantile(nearest, 0.005)
    steep = TrustRule.fit(100 * width, width, nearest)
    assert steep.levels(narrow, np.array([nearest.mean(), far, beyond])).tolist() == ["high", "fair", "low"]
    assert steep.judge(narrow, np.array([1, far, beyond]), {})["reason"].to_list()[2] == "no near comparable"
    flat = TrustRule.fit(100 * (1 - nearest), width, nearest)
    asked = np.array([width.mean(), np.quantile(width, 0.95), 99.0])
    assert flat.levels(asked, np.full(3, nearest.max())).tolist() == ["high", "fair", "low"]


def test_grounds_are_said_in_words(rule: TrustRule) -> None:
    assert rule.distance is not None
    narrow, wide = rule.width.low - 0.3, rule.width.high + 0.6
    near, far = 1 - rule.distance.low + 0.15, 1 - rule.distance.high - 0.15
    usual = rule.width.mean, 1 - rule.distance.mean
    rows = [(narrow, near), (narrow, far), usual, usual, (wide, far), (wide, far), (wide, near)]
    width, nearest = np.array(rows).T
    brand = np.array([True, False, False, True, False, True, False])
    found = rule.judge(width, nearest, {"brand": brand, "width": brand & (width > 2)})
    assert found.rows() == [
        ("high", "narrow interval, near comparable, unknown brand"), ("fair", "narrow interval, no near comparable"),
        ("fair", "usual interval"), ("fair", "unknown brand"), ("low", "wide interval, no near comparable"),
        ("low", "wide interval, no near comparable, unknown brand and width"),
        ("fair", "wide interval, near comparable"),
    ]  # fmt: skip


def test_every_row_has_a_reason_and_its_own(rule: TrustRule) -> None:
    _, _, width, nearest = made_rows(400, 4)
    found = rule.judge(width, nearest, {})
    assert found["reason"].str.len_chars().min() > 0
    for at in (0, 17, 399):
        assert rule.judge(width[at : at + 1], nearest[at : at + 1], {}).row(0) == found.row(at)
    assert rule.compare(found["trust"])["low"]["share"] == (found["trust"] == "low").mean()
    assert rule.compare(found["trust"][:0])["low"] == {"share": None, "training": rule.shares["low"]}


def test_a_rule_is_read_as_it_was_written(rule: TrustRule) -> None:
    record = json.loads(json.dumps(rule.to_dict()))
    assert TrustRule.from_dict(record) == rule
    assert record["high"] == pytest.approx(0.9 * record["mean"])


@pytest.mark.parametrize(
    "change",
    [
        {"mean": float("nan")},
        {"width": None},
        {"width": dict.fromkeys(("slope", "mean", "low", "high", "far", "beyond"), -1.0)},
    ],
)
def test_a_damaged_rule_is_refused(rule: TrustRule, change: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError, match="rule of trust"):
        TrustRule.from_dict({**rule.to_dict(), **change})


def test_without_spaces_there_is_no_nearest_comparable() -> None:
    price = pl.DataFrame({"price_words_similarity": [0.5, 1.0], "price_embedding_similarity": [0.25, 0.0]})
    columns = make_columns(
        "comparables", [*price.columns, "price_words_mean"], roles=dict.fromkeys(price.columns, "similarity")
    )
    found = nearest_cosines(price, columns)
    assert found is not None
    assert found.tolist() == [0.375, 0.5]
    assert nearest_cosines(price, columns[-1:]) is None


def test_a_title_without_comparables_is_far_from_all_and_not_unknown() -> None:
    """A title of an emoji alone shares no characters with any product; it once ended a run, after all training."""
    price = pl.DataFrame({"price_words_similarity": [0.5, None], "price_characters_similarity": [float("nan"), 0.25]})
    columns = make_columns("comparables", price.columns, roles=dict.fromkeys(price.columns, "similarity"))
    found = nearest_cosines(price, columns)
    assert found is not None
    assert found.tolist() == [0.25, 0.125]
