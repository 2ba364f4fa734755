"""Quantities: hand-labelled titles, conflicts, units."""

import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.errors import SchemaError
from pricing.features.quantity import quantity_features, read_quantities
from pricing.features.sections import split_sections
from pricing.features.units import BASE_UNITS, SPELLINGS, UNITS, from_base, lookup_unit, to_base
from tests.features.quantity_cases import CASES, Case


def content(title: str, value: float | None, unit: str | None) -> str:
    return f"Item Name: {title}\nValue: {value}\nUnit: {unit}\n"


def features_of(*texts: str) -> pl.DataFrame:
    return quantity_features(split_sections(pl.DataFrame({"catalog_content": texts})))


@pytest.fixture(scope="module")
def read() -> pl.DataFrame:
    return features_of(*(content(*case[:3]) for case in CASES))


@pytest.mark.parametrize("at", range(len(CASES)), ids=[f"{number}-{case[0][:30]}" for number, case in enumerate(CASES)])
def test_labelled_titles(read: pl.DataFrame, at: int) -> None:
    case: Case = CASES[at]
    title, _, _, total, unit, pack = case
    row = read.row(at, named=True)
    assert row["ipq_pack"] == pack, title
    if total is None:
        assert row["ipq_total"] is None
        assert row["ipq_pieces_total"] is None
        return
    amount, base = to_base(total, unit)
    if base == "piece":
        # a sealed single item may be counted as one or not at all
        assert row["ipq_total"] is None
        assert (row["ipq_pieces_total"] or 1.0) == amount
    else:
        # a field in fluid ounces may stand for the same number of weight ounces, 4.3 % apart
        assert row["ipq_total"] == pytest.approx(amount, rel=0.045)


def test_both_readings_stay_available() -> None:
    """A seller's Value of one can beside "Pack of 12": the total follows the name, and the field is still there."""
    row = features_of(content("Beans, 15 oz (Pack of 12)", 15.0, "Ounce")).row(0, named=True)
    ounce = UNITS["oz"].factor
    assert row["ipq_total_name"] == pytest.approx(180 * ounce)
    assert row["ipq_total_field"] == pytest.approx(15 * ounce)
    assert row["ipq_agrees"] == 0.0
    assert row["ipq_log_size_per_pack"] == pytest.approx(math.log(15 * ounce / 12))


def test_a_cable_is_no_pack() -> None:
    """ "6 ft cable" was read as a pack of six by others; it is a length and one piece."""
    row = read_quantities(pl.Series(["Charging Cord, 6 ft cable"])).row(0, named=True)
    assert (row["pack"], row["size"], row["pieces"]) == (1.0, None, None)
    assert row["length"] == pytest.approx(1.8288)


def test_size_from_bullets_only_where_the_title_has_none() -> None:
    with_size = "Item Name: Rub 4 oz\nBullet Point 1: Container Size: 8 oz\nValue: 4\nUnit: Ounce"
    without = "Item Name: Rub\nBullet Point 1: Container Size: 8 oz\nValue: 1\nUnit: Count"
    logs = features_of(with_size, without)["ipq_log_text_size"].to_list()
    assert logs[0] is None
    assert logs[1] == pytest.approx(math.log(8 * UNITS["oz"].factor))


@settings(max_examples=15)
@given(st.lists(st.text(max_size=80), max_size=2))
def test_property_5_ipq_determinism(titles: list[str]) -> None:
    """Property 5: IPQ extraction determinism. The same text gives the same quantities, alone, in a batch, or again."""
    texts = [*(content(title, 3.0, "Ounce") for title in titles), "Item Name: Tea 2 x 4 oz"]
    together = features_of(*texts)
    assert together.equals(features_of(*texts), null_equal=True)
    for at, text in enumerate(texts):
        assert features_of(text).row(0) == together.row(at)


@given(
    st.floats(min_value=1e-6, max_value=1e9, allow_nan=False),
    st.sampled_from(sorted(SPELLINGS)),
)
def test_property_9_unit_normalization_reversibility(amount: float, unit: str) -> None:
    """Property 9: Unit normalization reversibility. Converting to the base unit and back gives the amount again."""
    base, name = to_base(amount, unit)
    assert name in BASE_UNITS.values()
    assert from_base(base, unit) == pytest.approx(amount, rel=1e-12)


@pytest.mark.parametrize(
    ("amount", "unit", "expected", "base"),
    [
        (1, "lb", 453.59237, "g"),
        (16, "Ounces", 453.59237, "g"),
        (1, "gallon", 3785.411784, "ml"),
        (128, "Fl. Oz.", 3785.411784, "ml"),
        (1, "yd", 0.9144, "m"),
        (2, "dozen", 24, "piece"),
        (1, "sq ft", 0.09290304, "m2"),
    ],
)
def test_factors_are_the_legal_definitions(amount: float, unit: str, expected: float, base: str) -> None:
    got, name = to_base(amount, unit)
    assert (got, name) == (pytest.approx(expected, rel=1e-12), base)


def test_unknown_units_are_refused_by_name() -> None:
    assert lookup_unit("furlong") is None
    with pytest.raises(SchemaError, match="furlong"):
        to_base(1.0, "furlong")
    with pytest.raises(SchemaError, match="nan"):
        from_base(math.nan, "oz")
