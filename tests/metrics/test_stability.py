"""The population stability index, against its formula written another way, and what chance alone makes of it."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import rel_entr

from pricing.metrics.stability import (
    MODERATE,
    SHIFTED,
    Distribution,
    NumberDistribution,
    ValueDistribution,
    chance_index,
    read_distribution,
    stability_index,
)

ROWS = st.lists(st.integers(0, 500), min_size=2, max_size=12).filter(any)
NUMBERS = st.lists(st.floats(-1e6, 1e6, width=32) | st.none() | st.just(float("nan")), min_size=1, max_size=60)


def by_entropies(expected: np.ndarray, actual: np.ndarray) -> float:
    """Both relative entropies of scipy, over shares of which none is below half a row of the smaller sample."""
    least = 0.5 / min(expected.sum(), actual.sum())
    e, a = np.clip(expected / expected.sum(), least, 1), np.clip(actual / actual.sum(), least, 1)
    return float(rel_entr(a, e).sum() + rel_entr(e, a).sum())


@given(st.integers(2, 12).flatmap(lambda bins: st.tuples(*[
    st.lists(st.integers(0, 500), min_size=bins, max_size=bins).filter(any)] * 2)))  # fmt: skip
def test_it_is_the_sum_of_both_relative_entropies(rows: tuple[list[int], list[int]]) -> None:
    expected, actual = (np.array(one) for one in rows)
    found = stability_index(expected, actual)
    assert found == pytest.approx(by_entropies(expected, actual), abs=1e-9)
    assert found == pytest.approx(stability_index(actual, expected))
    assert found >= 0


@given(ROWS, st.integers(1, 5))
def test_equal_samples_have_none_whatever_their_size(rows: list[int], times: int) -> None:
    counts = np.array(rows)
    assert stability_index(counts, counts) == 0
    if min(rows) > 0:
        assert stability_index(counts, counts * times) == pytest.approx(0, abs=1e-9)


def test_a_worked_example() -> None:
    """(0.8 - 0.5) ln(0.8 / 0.5) + (0.2 - 0.5) ln(0.2 / 0.5)."""
    assert stability_index(np.array([50, 50]), np.array([80, 20])) == pytest.approx(0.3 * np.log(1.6 / 0.4))


@given(NUMBERS)
def test_every_number_has_a_bin_and_missing_ones_have_their_own(numbers: list[float | None]) -> None:
    column = pl.Series(numbers, dtype=pl.Float32)
    found = NumberDistribution.of(column)
    missing = [number for number in numbers if number is None or np.isnan(number)]
    assert found.counts.sum() == len(numbers)
    assert found.counts[-1] == len(missing)
    assert (np.diff(found.edges) > 0).all()
    assert np.array_equal(found.count(column), found.counts)


def test_bins_are_between_the_deciles_of_the_reference() -> None:
    reference = pl.Series(np.arange(1, 1001))
    found = NumberDistribution.of(reference)
    assert found.edges.tolist() == [100, 200, 300, 400, 500, 600, 700, 800, 900]
    assert found.counts.tolist() == [100] * 10 + [0]
    assert found.count(pl.Series([100.0, 100.5, -5.0, 2000.0, None])).tolist() == [2, 1, *[0] * 7, 1, 1]


@pytest.mark.parametrize("ones", [0, 3, 60, 97, 100])
def test_a_flag_has_a_bin_for_each_value(ones: int) -> None:
    """Of a flag that nearly all rows have, all deciles are 1: those that lost it must not be in the same bin."""
    flag = NumberDistribution.of(pl.Series([1.0] * ones + [0.0] * (100 - ones)))
    turned = flag.count(pl.Series([0.0] * ones + [1.0] * (100 - ones)))
    assert np.count_nonzero(flag.counts) == 1 + (0 < ones < 100)
    if ones != 50:
        assert stability_index(flag.counts, turned) > SHIFTED / 3


def test_values_beyond_the_frequent_ones_are_one_bin() -> None:
    column = pl.Series([f"v{number:02d}" for number in range(30) for _ in range(30 - number)] + [""] * 7)
    found = ValueDistribution.of(column)
    assert found.values == ("", *(f"v{number:02d}" for number in range(20)))
    assert found.counts[0] == 7
    assert found.counts[-1] == sum(range(1, 11))
    assert found.count(pl.Series(["", "v03", "new"])).nonzero()[0].tolist() == [0, 4, 21]
    merged = ValueDistribution.of(column, missing=False)
    assert merged.counts[-1] == sum(range(1, 11)) + 7


def test_bins_are_read_as_they_were_written() -> None:
    numbers = NumberDistribution.of(pl.Series([0.1, 0.1, 0.3, None, 7.0]))
    values = ValueDistribution.of(pl.Series(["a", "b", "a", ""]))
    made: tuple[Distribution, ...] = (numbers, values)
    for one in made:
        again = read_distribution(json.loads(json.dumps(one.to_dict())))
        assert again.to_dict() == one.to_dict()
        assert type(again) is type(one)
    with pytest.raises(ValueError, match="3 counts of 3 bins"):
        read_distribution({"values": ["", "a", "b"], "counts": [1, 2, 3]})


@pytest.mark.parametrize("rows", [50, 200, 2000])
def test_samples_of_one_distribution_stay_below_what_chance_makes(rows: int) -> None:
    """Fifty rows of the same products were an alarm in every third column when the limits alone decided."""
    rng = np.random.default_rng(0)
    reference = NumberDistribution.of(pl.Series(rng.normal(size=5000)))
    beyond, above = 0, 0
    for _ in range(300):
        counts = reference.count(pl.Series(rng.normal(size=rows)))
        psi = stability_index(reference.counts, counts)
        beyond += psi > chance_index(reference.counts, counts)
        above += psi > MODERATE
    assert beyond <= 3
    assert rows > 50 or above > 100
    moved = reference.count(pl.Series(rng.normal(size=rows) + 1.5))
    psi = stability_index(reference.counts, moved)
    assert psi > max(SHIFTED, chance_index(reference.counts, moved))
