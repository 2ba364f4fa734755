"""Every kind of spelling of an amount, and Value and Unit lines of other hands."""

from pathlib import Path

import polars as pl
import pytest

from pricing.features.fields import unread_fields
from pricing.features.quantity import quantity_features
from pricing.features.sections import split_sections
from pricing.features.units import SPELLINGS as UNIT_SPELLINGS
from pricing.features.units import UNITS
from tests.features.spelling_cases import FIELDS, SPELLINGS


def read(texts: list[str]) -> list[dict]:
    return quantity_features(split_sections(pl.DataFrame({"catalog_content": texts}))).rows(named=True)


def judge(row: dict, amount: float | None, unit: str, packs: float | None = None) -> bool:
    """Within a per mille, of the right family; a size in ounces may not stand for fluid ones."""
    if packs is not None and row["ipq_pack"] != packs:
        return False
    if amount is None:
        return row["ipq_amount"] is None
    labelled = UNITS[UNIT_SPELLINGS[unit]]
    expected = amount * labelled.factor
    close = row["ipq_amount"] is not None and abs(row["ipq_amount"] - expected) <= 1e-3 * expected
    return close and row["ipq_family"] == labelled.dimension


@pytest.mark.parametrize("kind", SPELLINGS)
def test_every_spelling_of_a_kind(kind: str) -> None:
    cases = SPELLINGS[kind]
    rows = read([f"Item Name: {title}" for title, *_ in cases])
    wrong = [
        (case, row["ipq_amount"], row["ipq_family"], row["ipq_pack"])
        for case, row in zip(cases, rows, strict=True) if not judge(row, *case[1:])
    ]  # fmt: skip
    assert len(cases) >= 20
    assert not wrong


def test_every_spelling_of_the_fields() -> None:
    rows = read([f"Item Name: Preserve\nValue: {value}\nUnit: {unit}\n" for value, unit, *_ in FIELDS])
    wrong = [
        (case, row["ipq_amount"], row["ipq_family"])
        for case, row in zip(FIELDS, rows, strict=True) if not judge(row, *case[2:])
    ]  # fmt: skip
    assert not wrong


@pytest.mark.parametrize("name", ["quantities.csv", "value_and_unit.csv"])
def test_reported_texts(name: str) -> None:
    """Texts that were read wrongly once, each as it was reported."""
    table = pl.read_csv(Path(__file__).parent / "cases" / name, infer_schema=False)
    wrong = []
    for case, row in zip(table.rows(named=True), read(table["catalog_content"].to_list()), strict=True):
        expected, packs = float(case["expected_amount"]), case["expected_packs"]
        good = abs((row["ipq_amount"] or 0) - expected) <= 1e-3 * expected
        good &= row["ipq_family"] == case["expected_family"] and (not packs or row["ipq_pack"] == float(packs))
        if not good:
            wrong.append((case["catalog_content"], row["ipq_amount"], row["ipq_family"], row["ipq_pack"]))
    assert not wrong


def test_unread_lines_are_counted_with_the_commonest_first() -> None:
    """Missing ones and noughts are not unread, nor is a unit that the Value line names itself."""
    lines = [("twelve", "Ounce"), ("2", "Fass"), ("3", "Fass"), ("1", "Barrel"), ("nan", "None"), ("0", "oz"),
             ("-3", "oz"), ("500 g", "Fass"), ("1,5", "Kilogram(s)")]  # fmt: skip
    texts = [f"Item Name: X\nValue: {value}\nUnit: {unit}" for value, unit in lines]
    found = unread_fields(split_sections(pl.DataFrame({"catalog_content": [*texts, "Item Name: X"]})))
    assert found == {"value": {"-3": 1, "twelve": 1}, "unit": {"Fass": 2, "Barrel": 1}}
    assert list(found["unit"]) == ["Fass", "Barrel"]


def test_no_number_begins_behind_a_separator() -> None:
    """Whatever stands before and behind it: the digits are read as thousands, as decimals, or not at all."""
    befores, behinds = ("0", "1", "7", "12", "07", "250", "1234"), ("5", "25", "250", "000", "125", "0625", "12345")
    units = {"kg": 1000, "g": 1, "l": 1000, "ml": 1, "oz": UNITS["oz"].factor, "lb": UNITS["lb"].factor}
    cases = [
        (before, separator, behind, unit, factor)
        for before in befores for separator in (",", ".", "'", "\u2009") for behind in behinds
        for unit, factor in units.items()
    ]  # fmt: skip
    rows = read([f"Item Name: Rye {before}{separator}{behind} {unit}" for before, separator, behind, unit, _ in cases])
    wrong = []
    for (before, separator, behind, unit, factor), row in zip(cases, rows, strict=True):
        readings = [factor * float(before + behind), factor * float(f"{before}.{behind}")]
        amount = row["ipq_amount"]
        if separator == "\u2009" and len(behind) != 3:  # a thin blank and no three digits part two words
            readings.append(factor * float(behind))
        if amount is not None and not any(abs(amount - reading) <= 1e-6 * reading for reading in readings):
            wrong.append((before, separator, behind, unit, amount))
    assert not wrong
