"""Intervals of strange rows are wide enough for them, and those of other rows stay as they are."""

from pathlib import Path

import numpy as np
import pytest

from pricing.errors import ArtifactError
from pricing.run.trust import Floats
from pricing.run.widening import Widening

LEVELS = {80: 1.2816, 95: 1.96}


def made_rows(count: int, seed: int) -> tuple[Floats, Floats, dict[int, tuple[Floats, Floats]], Floats]:
    """True and predicted log prices, intervals for an error of 0.2, and what is strange: an error of 0.6."""
    rng = np.random.default_rng(seed)
    predicted, strange = rng.normal(3, 0.3, count), rng.random(count) < 0.1
    log_price = predicted + rng.normal(0, np.where(strange, 0.6, 0.2))
    around = {level: (predicted - 0.2 * z, predicted + 0.2 * z) for level, z in LEVELS.items()}
    return log_price, predicted, around, strange


def ends_of(around: dict[int, tuple[Floats, Floats]]) -> dict[str, Floats]:
    return {
        f"{side}_{level}": end
        for level, ends in around.items()
        for side, end in zip(("low", "high"), ends, strict=True)
    }


@pytest.fixture(scope="module")
def widening() -> Widening:
    return Widening.fit(*made_rows(4000, 0))


def test_the_factor_covers_the_share_of_strange_rows_that_the_level_says(widening: Widening) -> None:
    assert widening.rows == made_rows(4000, 0)[3].sum()
    log_price, predicted, around, strange = made_rows(20000, 1)
    for level, (low, high) in around.items():
        # an error three times as large as the interval is for
        assert widening.factors[level] == pytest.approx(3, abs=0.4)
        far = np.abs(log_price - predicted)[strange] <= widening.factors[level] * (high - low)[strange] / 2
        assert 100 * far.mean() == pytest.approx(level, abs=4)
        assert widening.prices[level] == pytest.approx(
            np.quantile(log_price, [0.5 - level / 200, 0.5 + level / 200]), abs=0.1
        )


def test_an_interval_holds_its_own_and_the_middle_of_the_prices(widening: Widening) -> None:
    _, predicted, around, strange = made_rows(500, 2)
    ends = ends_of(around)
    wide = widening.widen(predicted, ends, strange)
    for level in LEVELS:
        low, high = wide[f"low_{level}"], wide[f"high_{level}"]
        assert np.array_equal(low[~strange], ends[f"low_{level}"][~strange])
        assert np.array_equal(high[~strange], ends[f"high_{level}"][~strange])
        assert (low[strange] <= np.minimum(around[level][0][strange], widening.prices[level][0])).all()
        assert (high[strange] >= np.maximum(around[level][1][strange], widening.prices[level][1])).all()
    # a price that all models agree on, of something that none of them knows
    narrow = widening.widen(np.array([1.3]), {"low_95": np.array([1.0]), "high_95": np.array([1.6])}, np.array([True]))
    assert narrow["high_95"][0] == widening.prices[95][1]


def test_no_interval_becomes_narrower() -> None:
    log_price, predicted, around, strange = made_rows(1000, 3)
    exact = Widening.fit(np.where(strange, predicted, log_price), predicted, around, strange)
    assert set(exact.factors.values()) == {1.0}
    nothing = Widening.fit(log_price, predicted, around, np.zeros(1000, dtype=bool))
    assert (nothing.rows, set(nothing.factors.values())) == (0, {1.0})


def test_a_rule_is_read_as_it_was_written_and_a_narrowing_one_refused(widening: Widening, tmp_path: Path) -> None:
    path = tmp_path / "widening.json"
    widening.save(path)
    assert Widening.load(path) == widening
    Widening({80: 0.5}, {80: (0.0, 1.0)}, 3).save(path)
    with pytest.raises(ArtifactError, match="how intervals are widened"):
        Widening.load(path)
