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
    lines = [("twelve", "Ounce"), ("2", "Stück"), ("3", "Stück"), ("1", "Barrel"), ("nan", "None"), ("0", "oz"),
             ("-3", "oz"), ("500 g", "Stück"), ("1,5", "Kilogram(s)")]  # fmt: skip
    texts = [f"Item Name: X\nValue: {value}\nUnit: {unit}" for value, unit in lines]
    found = unread_fields(split_sections(pl.DataFrame({"catalog_content": [*texts, "Item Name: X"]})))
    assert found == {"value": {"-3": 1, "twelve": 1}, "unit": {"Stück": 2, "Barrel": 1}}
    assert list(found["unit"]) == ["Stück", "Barrel"]
