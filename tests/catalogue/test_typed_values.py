"""Catalogues whose prices, numbers and times are written as shops write them: what is read, said and refused."""

import gzip
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pytest

from pricing.catalogue.ingest import read_catalogue
from pricing.catalogue.reading import Catalogue, read_catalogue_file
from pricing.catalogue.reading_words import reading_words, unread_words
from pricing.config.catalogue import CatalogueConfig
from pricing.config.columns import ColumnsConfig
from pricing.errors import CatalogueError
from pricing.store.artifacts import read_json

ROLES = ColumnsConfig(id="sku", price="cost", title="name", number=("rating",), time="listed")


def write_workbook(rows: pl.DataFrame, path: Path) -> None:
    book = openpyxl.Workbook()
    for row in [rows.columns, *rows.rows()]:
        book.active.append(row)
    book.save(path)


def write_packed(rows: pl.DataFrame, path: Path) -> None:
    path.write_bytes(gzip.compress(rows.write_csv().encode()))


FORMATS = {
    "csv": pl.DataFrame.write_csv, "csv.gz": write_packed, "parquet": pl.DataFrame.write_parquet,
    "jsonl": pl.DataFrame.write_ndjson, "xlsx": write_workbook,
}  # fmt: skip


def shop(folder: Path, columns: dict[str, list[Any]], kind: str = "csv") -> Path:
    """A shop's file of the columns that are given, and what it needs beside them."""
    rows = len(next(iter(columns.values())))
    usual = {"sku": [f"00{row}" for row in range(rows)], "name": [f"tea {row}" for row in range(rows)],
             "cost": ["4.50"] * rows, "rating": ["1"] * rows, "listed": ["2024-01-31"] * rows}  # fmt: skip
    path = folder / f"shop.{kind}"
    FORMATS[kind](pl.DataFrame(usual | columns), path)
    return path


def read(path: Path, **settings: Any) -> Catalogue:
    return read_catalogue_file(path, labelled=True, config=CatalogueConfig(columns=ROLES, **settings))


def refusal(path: Path, **settings: Any) -> str:
    with pytest.raises(CatalogueError) as caught:
        read(path, **settings)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("written", "prices", "mark", "currency"),
    [
        (["$1,299.00", "$4", "$12.99"], [1299.0, 4.0, 12.99], ".", "$"),
        (["12,99 EUR", "1.299,00 €", "1.299 €"], [12.99, 1299.0, 1299.0], ",", "EUR"),
        (["1 299,00 kr", "5 kr", "9,50 kr."], [1299.0, 5.0, 9.5], ",", "kr"),
        (["CHF 1'299.50", "CHF 3.–", "2.50"], [1299.5, 3.0, 2.5], ".", "CHF"),
        (["£4", "£1 200", "£3"], [4.0, 1200.0, 3.0], None, "GBP"),
        (["12,99", "7", "1.299"], [12.99, 7.0, 1299.0], ",", ""),
    ],
)
def test_prices_are_read_by_the_mark_that_they_prove(
    tmp_path: Path, kind: str, written: list[str], prices: list[float], mark: str | None, currency: str
) -> None:
    found = read(shop(tmp_path, {"cost": written}, kind))
    assert found.frame["price"].to_list() == prices
    assert found.notes.currency == currency
    assert found.notes.read["price"].get("mark") == mark
    assert found.frame["sample_id"].to_list() == ["000", "001", "002"]


@pytest.mark.parametrize("kind", FORMATS)
def test_ids_are_never_numbers_and_keep_their_leading_zeros_whatever_the_file(tmp_path: Path, kind: str) -> None:
    ids = ["007", "1e5", "12.50", "9007199254740993"]
    assert read(shop(tmp_path, {"sku": ids}, kind)).frame["sample_id"].to_list() == ids
    if kind not in ("csv", "csv.gz"):
        whole = [7, 900719925474099, 12, 5]
        assert read(shop(tmp_path, {"sku": whole}, kind)).frame["sample_id"].to_list() == [str(one) for one in whole]


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "xlsx"])
def test_numbers_that_are_numbers_in_their_file_need_no_mark(tmp_path: Path, kind: str) -> None:
    found = read(shop(tmp_path, {"cost": [1.299, 4.125, 3.0], "rating": [1.125, None, 7.0]}, kind))
    assert found.frame["price"].to_list() == [1.299, 4.125, 3.0]
    assert found.frame["number:rating"].to_list() == [1.125, None, 7.0]
    assert found.notes.read == {}


@pytest.mark.parametrize("values", [["4.99", "1e3", "4.890000000000001"], ["1299", "3", "7"]])
def test_plain_numbers_are_kept_to_the_bit_and_nothing_is_said_of_them(tmp_path: Path, values: list[str]) -> None:
    found = read(shop(tmp_path, {"cost": values}))
    assert found.frame["price"].to_list() == [float(value) for value in values]
    assert (found.notes.read, found.notes.currency) == ({}, "")
    assert "read" not in found.notes.counts()


@pytest.mark.parametrize("written", ["1,299", "1.299"])
def test_prices_that_two_marks_fit_are_refused_until_the_mark_is_declared(tmp_path: Path, written: str) -> None:
    path = shop(tmp_path, {"cost": ["5", written, "12"]})
    message = refusal(path)
    for words in ("column cost", f"{written!r} (row 2, line 3)", "1299 with", "1.299 with", "catalogue.decimal_mark=,"):
        assert words in message
    for mark in (".", ","):
        expected = 1.299 if mark in written else 1299.0
        assert read(path, decimal_mark=mark).frame["price"].to_list() == [5.0, expected, 12.0]


def test_rows_of_the_rarer_mark_are_bad_rows_that_name_both_marks(tmp_path: Path) -> None:
    path = shop(tmp_path, {"cost": ["12,99", "13,99 €", "4.50", "1.299,00"]})
    for words in ("1 bad row", "4.50 does not fit the decimal comma that '12,99' (row 1, line 2) shows"):
        assert words in refusal(path)
    found = read(path, on_bad_rows="quarantine")
    assert found.frame["price"].to_list() == [12.99, 13.99, 1299.0]
    assert found.notes.left_out == {"price of the other decimal mark": 1}


def test_a_later_batch_keeps_the_mark_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pricing.catalogue.raw_batch.BATCH_ROWS", 2)
    path = shop(tmp_path, {"cost": ["7", "8", "12,99", "1.299", "1.5", "13,99"]})
    found = read(path, on_bad_rows="quarantine")
    assert found.frame["price"].to_list() == [7.0, 8.0, 12.99, 1299.0, 13.99]
    assert "'12,99' (row 3, line 4)" in found.rejected[0].reason


def test_a_second_currency_is_refused_with_a_row_of_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pricing.catalogue.raw_batch.BATCH_ROWS", 2)
    path = shop(tmp_path, {"cost": ["3.00", "€4.50", "6.00", "$5.00"]})
    for mode in ("refuse", "quarantine"):
        message = refusal(path, on_bad_rows=mode)
        assert "EUR as in '€4.50' (row 2, line 3) and $ as in '$5.00' (row 4, line 5)" in message


def test_a_declared_currency_says_what_a_shared_sign_means_and_contradicts_another(tmp_path: Path) -> None:
    path = shop(tmp_path, {"cost": ["$3.00", "CAD 4.50"]})
    assert "declare catalogue.currency if $ stands for it too" in refusal(path)
    assert read(path, currency="CAD").notes.currency == "CAD"
    assert "'$3.00' (row 1, line 2) is in $, and catalogue.currency declares EUR" in refusal(path, currency="EUR")
    with pytest.raises(CatalogueError, match="currency is EUX, which is no currency"):
        read(path, currency="EUX")
    plain = read(shop(tmp_path, {"cost": ["3.00", "4.50"]}), currency="EUR").notes
    assert (plain.currency, plain.read) == ("EUR", {"price": {"currency": "EUR"}})


def test_numbers_follow_the_prices_mark_where_they_prove_none_and_their_own_where_they_do(tmp_path: Path) -> None:
    rating = ["1.250", "90 %", "ja", "nein"]
    assert read(shop(tmp_path, {"cost": ["1,5"] * 4, "rating": rating})).frame["number:rating"].to_list() == [
        1250.0, 90.0, 1.0, 0.0
    ]  # fmt: skip
    assert read(shop(tmp_path, {"cost": ["1.5"] * 4, "rating": rating})).frame["number:rating"].to_list()[0] == 1.25
    own = read(shop(tmp_path, {"cost": ["1.50"] * 4, "rating": ["4,5", "3", "n/a", "€2,5"]}))
    assert own.frame["number:rating"].to_list() == [4.5, 3.0, None, 2.5]
    assert own.notes.read["number:rating"]["mark"] == ","
    assert "column rating: '1.250' (row 1, line 2)" in refusal(shop(tmp_path, {"cost": ["3"] * 4, "rating": rating}))


def test_unreadable_numbers_are_missing_counted_and_no_bad_rows(tmp_path: Path) -> None:
    rating = ["4.5", "unrated", "unrated", "", "inf", "none", "5 stars"]
    found = read(shop(tmp_path, {"rating": rating}))
    assert found.frame["number:rating"].to_list() == [4.5, None, None, None, None, None, None]
    [words] = unread_words(found.notes.read)
    assert words == "4 values of column rating are no numbers and count as missing: 'unrated' 2, '5 stars' 1, 'inf' 1."
    floats = read(shop(tmp_path, {"rating": [1.299, float("inf"), None]}, "parquet"))
    assert floats.frame["number:rating"].to_list() == [1.299, None, None]


def test_a_file_to_price_is_read_by_the_marks_that_were_learnt_from_unless_it_proves_others(tmp_path: Path) -> None:
    marks = read(shop(tmp_path, {"cost": ["12,99", "4,50"], "rating": ["1.250", "3"]})).notes.marks
    assert marks == {"number:rating": ","}

    def ratings(*written: str) -> list[float]:
        path, config = shop(tmp_path, {"rating": list(written)}), CatalogueConfig(columns=ROLES)
        found = read_catalogue_file(path, labelled=False, config=config, marks=marks)
        return found.frame["number:rating"].to_list()

    assert ratings("1.250", "2") == [1250.0, 2.0]
    assert ratings("1.250", "2.5") == [1.25, 2.5]


def test_times_are_read_in_utc_and_an_order_of_days_and_months_is_proven(tmp_path: Path) -> None:
    listed = ["2024-01-31", "2024-01-31 10:00:00+02:00", "1706700000", "31/01/2024", "3/4/2024 5:30 PM", "soon", ""]
    found = read(shop(tmp_path, {"listed": listed}))
    assert found.frame["time"].to_list() == [
        datetime(2024, 1, 31), datetime(2024, 1, 31, 8), datetime(2024, 1, 31, 11, 20), datetime(2024, 1, 31),
        datetime(2024, 4, 3, 17, 30), None, None,
    ]  # fmt: skip
    assert reading_words(found.notes.read) == [
        "Values of column listed have the day first, as '31/01/2024' (row 4, line 5) shows."
    ]
    assert unread_words(found.notes.read) == ["1 value of column listed is no time and counts as missing: 'soon' 1."]
    american = read(shop(tmp_path, {"listed": ["3/4/2024", "1/31/2024"]})).frame["time"].to_list()
    assert american == [datetime(2024, 3, 4), datetime(2024, 1, 31)]


def test_dates_that_two_orders_fit_are_refused_until_the_order_is_declared(tmp_path: Path) -> None:
    path = shop(tmp_path, {"listed": ["2024-01-31", "03/04/2024"]})
    message = refusal(path)
    assert "column listed: '03/04/2024' (row 2, line 3)" in message
    assert "catalogue.date_order=day" in message
    for order, month in (("day", 4), ("month", 3)):
        assert read(path, date_order=order).frame["time"][1].month == month
    config = CatalogueConfig(columns=ROLES)
    assert read_catalogue_file(path, labelled=False, config=config).frame["time"][1] is None, "pricing needs no order"


def test_the_summary_says_what_was_read_as_what_and_a_plain_catalogues_says_nothing_new(tmp_path: Path) -> None:
    for name, cost in (("marked", ["1.299,00 €", "4,50 €"]), ("plain", ["1299.00", "4.50"])):
        (out := tmp_path / name).mkdir()
        read_catalogue(shop(tmp_path, {"cost": cost}), None, CatalogueConfig(columns=ROLES), out)
    marked, plain = (read_json(tmp_path / name / "summary.json") for name in ("marked", "plain"))
    assert marked.pop("currency") == "EUR"
    assert marked["train"].pop("read") == {
        "price": {"mark": ",", "by": "'1.299,00 €' (row 1, line 2)", "example": "1.299,00 € -> 1299", "currency": "EUR"}
    }
    assert marked["train"].pop("marks") == {"number:rating": ","}
    assert plain["train"].pop("marks") == {"number:rating": "."}
    assert marked == plain
