"""Catalogues whose prices, numbers and times are written as shops write them: what is read, said and refused."""

import gzip
import json
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


def test_an_id_that_a_spreadsheet_has_shortened_is_said_to_be(tmp_path: Path) -> None:
    message = refusal(shop(tmp_path, {"sku": ["4.00123E+12", "4.00123E+12", "7", "7"]}))
    assert (
        "row 2 (line 3), id '4.00123E+12': duplicate id, first used in row 1; ids must be unique, a spreadsheet"
        in message
    )
    assert "first used in row 3; ids must be unique, keep one of them" in message


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


@pytest.mark.parametrize(
    ("written", "prices"),
    [
        (["¥1,299", "￥980", "12800"], [1299.0, 980.0, 12800.0]),
        (["1,299 JPY", "2,000 JPY"], [1299.0, 2000.0]),
        (["１２，８００円", "９８０円"], [12800.0, 980.0]),
        (["1.299 Ft", "990 Ft"], [1299.0, 990.0]),
        (["12.990 CLP", "1.299.000 CLP"], [12990.0, 1299000.0]),
    ],
)
def test_a_currency_without_decimals_needs_no_mark_and_it_is_said(
    tmp_path: Path, written: list[str], prices: list[float]
) -> None:
    found = read(shop(tmp_path, {"cost": written}))
    assert found.frame["price"].to_list() == prices
    [words] = reading_words(found.notes.read)
    assert repr(written[0])[1:-1] in words or repr(written[1])[1:-1] in words


def test_two_kinds_of_marks_in_a_currency_without_decimals_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shop(tmp_path, {"cost": ["¥1,299", "¥1.299", "¥980"]})
    assert "no value tells which" in refusal(path)
    monkeypatch.setattr("pricing.catalogue.csv_table.BLOCK_BYTES", 60)
    assert "¥1.299 does not fit the decimal point" in refusal(path), "nor is it a fraction in a later batch"


def test_a_declared_currency_without_decimals_counts_for_prices_without_a_sign(tmp_path: Path) -> None:
    path = shop(tmp_path, {"cost": ["1,299", "980"]})
    assert read(path, currency="JPY").frame["price"].to_list() == [1299.0, 980.0]
    assert "no value tells which" in refusal(path, currency="EUR")


@pytest.mark.parametrize(("proof", "price"), [("$1,299.00", 13123.0), ("$12,5", 13.123)])
@pytest.mark.parametrize("column", ["cost", "rating"])
def test_a_value_far_below_tells_the_mark_of_those_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proof: str, price: float, column: str
) -> None:
    monkeypatch.setattr("pricing.catalogue.csv_table.BLOCK_BYTES", 60)
    values = {"cost": ["3"] * 41} | {column: ["$13,123"] * 40 + [proof]}
    found = read(shop(tmp_path, values))
    name = {"cost": "price", "rating": "number:rating"}[column]
    assert found.frame[name].to_list()[:40] == [price] * 40
    assert found.notes.read[name]["by"] == f"{proof!r} (row 41, line 42)"


@pytest.mark.parametrize(
    ("written", "prices"),
    [
        (["&euro;9.99", "3.00&nbsp;&euro;", "&#8364;3", "4.50 &amp;euro;"], [9.99, 3.0, 3.0, 4.5]),
        (["1.299,- €", "99,– €"], [1299.0, 99.0]),
        (["Rs. 1,299/-", "Rs. 450/-"], [1299.0, 450.0]),
        (["12,99 €*", "1.299,00 € *"], [12.99, 1299.0]),
        (["'12.99", "'3.50"], [12.99, 3.5]),
        (['<span class="money">$ 1,299.50</span>', "<ins>$3.50</ins>"], [1299.5, 3.5]),
    ],
)
def test_what_shops_write_around_a_price_is_no_part_of_it(
    tmp_path: Path, written: list[str], prices: list[float]
) -> None:
    assert read(shop(tmp_path, {"cost": written})).frame["price"].to_list() == prices


@pytest.mark.parametrize(
    "written",
    [
        "12–15 €",
        "from $12",
        "ab 12 €",
        "$12.99 - $15.99",
        "N/A",
        "10%",
        "$4.50 was $9",
        "$3.50/ea",
        "&euro;",
        "<del>$9</del> <ins>$5</ins>",
    ],
)
def test_what_is_no_single_price_is_a_bad_row_that_says_what_is_expected(tmp_path: Path, written: str) -> None:
    message = refusal(shop(tmp_path, {"cost": ["4.50", written]}))
    assert f"1 bad row: row 2 (line 3), id '001': price {written} is not a number" in message
    assert "nothing beside it but a currency" in message


@pytest.mark.parametrize("kind", ["jsonl", "xlsx"])
def test_numbers_beside_texts_are_read_as_the_numbers_that_they_are(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"shop.{kind}"
    rows = [{"sku": f"0{row}", "name": f"tea {row}", "cost": cost, "rating": 1.5, "listed": "2024-01-31"}
            for row, cost in enumerate(["1.299,50 €", 2.5, 1.125, 7])]  # fmt: skip
    if kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    else:
        book = openpyxl.Workbook()
        for row in [list(rows[0]), *(list(row.values()) for row in rows)]:
            book.active.append(row)
        book.save(path)
    found = read(path)
    assert found.frame["price"].to_list() == [1299.5, 2.5, 1.125, 7.0]
    assert found.notes.read["price"]["example"] == "1.299,50 € -> 1299.5"


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


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("cost", [["3.00", "€4.50", "6.00", "$5.00", "$7"], ["3,00", "4,50 €", "6.00", "$5.00", "$7"]])
def test_several_currencies_are_refused_with_their_numbers_and_a_row_of_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cost: list[str], kind: str
) -> None:
    monkeypatch.setattr("pricing.catalogue.raw_batch.BATCH_ROWS", 2)
    monkeypatch.setattr("pricing.catalogue.csv_table.BLOCK_BYTES", 80)
    path = shop(tmp_path, {"cost": cost}, kind)
    for mode in ("refuse", "quarantine"):
        message = refusal(path, on_bad_rows=mode)
        assert f"1 is in EUR, such as {cost[1]!r} (row 2, " in message
        assert "2 are in $, such as '$5.00' (row 4, " in message
        assert "convert them to one, or keep the rows of one" in message


def test_a_declared_currency_says_what_a_shared_sign_means_and_contradicts_another(tmp_path: Path) -> None:
    path = shop(tmp_path, {"cost": ["$3.00", "CAD 4.50"]})
    assert "declare catalogue.currency if $ stands for the same" in refusal(path)
    assert read(path, currency="CAD").notes.currency == "CAD"
    message = refusal(path, currency="EUR")
    assert "catalogue.currency declares EUR, but of the prices 1 is in $, such as '$3.00' (row 1, line 2)" in message
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
