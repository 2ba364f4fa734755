"""Opening a catalogue without roles: its form, its columns, its first rows."""

import datetime
import decimal
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pricing.catalogue import raw_batch
from pricing.catalogue import workbook as workbooks
from pricing.catalogue.raw_table import open_table
from pricing.config.catalogue import CatalogueConfig
from pricing.errors import CatalogueError

ROWS = [("007", "Tea, green", "4.50"), ("008", 'Salt "fine"\nsea', ""), ("9", "", "12,30 €")]
CSV = "sku;title;price\n" + "".join(
    ";".join('"' + value.replace('"', '""') + '"' for value in row) + "\n" for row in ROWS
)
JSON = '{"sku": "007", "title": "Tea, green", "price": 4.50}\n\n{"sku": "008", "title": "Salt \\"fine\\"\\nsea"}\n' \
    '{"sku": 9, "price": "12,30 €", "title": null}\n'  # fmt: skip


def pack(path: Path, content: bytes) -> Path:
    compression = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix)
    with pa.output_stream(str(path), compression=compression) as stream:
        stream.write(content)
    return path


FORMS: dict[str, tuple[bytes, str]] = {
    "a.csv": (CSV.encode(), "CSV, separated by semicolons, UTF-8"),
    "a.b.CSV.GZ": (CSV.encode("utf-8-sig"), "CSV, separated by semicolons, UTF-8, compressed with gzip"),
    "a.txt.zst": (CSV.encode("utf-16"), "CSV, separated by semicolons, UTF-16, compressed with zstd"),
    "a.tsv.gz": (CSV.replace(";", "\t").encode(), "CSV, separated by tabs, UTF-8, compressed with gzip"),
    "a.jsonl": (JSON.encode(), "JSON lines, UTF-8"),
    "a.json.gz": (JSON.encode("utf-16"), "JSON lines, UTF-16, compressed with gzip"),
    "a.ndjson.zst": (JSON.encode("utf-8-sig"), "JSON lines, UTF-8, compressed with zstd"),
}


@pytest.mark.parametrize("name", FORMS)
def test_text_files_are_opened_as_shops_export_them(tmp_path: Path, name: str) -> None:
    content, form = FORMS[name]
    table = open_table(pack(tmp_path / name.lower(), content))
    assert (str(table.form), table.columns) == (form, ["sku", "title", "price"])
    assert table.head(9).rows() == ROWS
    assert table.head(1).rows() == ROWS[:1]


def test_the_first_rows_of_parquet_and_tables_are_text_whatever_they_are(tmp_path: Path) -> None:
    columns = {
        "sku": (pa.array([12, 13]), ["12", "13"]),
        "brand": (pa.array(["Acme", None]).dictionary_encode(), ["Acme", ""]),
        "about": (pa.array(["Tea", "Salt"], pa.large_string()), ["Tea", "Salt"]),
        "price": (pa.array([decimal.Decimal("4.50"), None]), ["4.50", ""]),
        "rating": (pa.array([4.0, 4.5]), ["4", "4.5"]),
        "links": (pa.array([["a.jpg", None, "b.jpg"], None]), ["a.jpg\nb.jpg", ""]),
        "listed": (pa.array([datetime.date(2026, 11, 28), None]), ["2026-11-28", ""]),
        "shop": (pa.array([{"id": 1}, None]), ["{'id': 1}", ""]),
    }
    table = pa.table({name: values for name, (values, _) in columns.items()})
    pq.write_table(table, tmp_path / "t.parquet")
    for source in (table, tmp_path / "t.parquet"):
        opened = open_table(source)
        assert opened.columns == list(columns)
        assert opened.head(5).to_dict(as_series=False) == {name: shown for name, (_, shown) in columns.items()}


def test_broken_rows_and_columns_of_one_name_are_not_among_the_first_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('sku,note,note\n1,a,b\n2,"say "x"",c\n,,\n3,d\n4,e,f\n', encoding="utf-8")
    table = open_table(path)
    assert table.columns == ["sku", "note", "note"]
    assert table.head(9).rows() == [("1",), ("4",)]


@pytest.mark.parametrize("name", ["cut.csv.gz", "cut.csv.zst", "flipped.csv.gz"])
def test_a_damaged_archive_is_one_line_wherever_it_is_noticed(tmp_path: Path, name: str) -> None:
    body = "sku,title\n" + "".join(f"{number},{number * 7919 % 10007}\n" for number in range(100_000))
    path = pack(tmp_path / name, body.encode())
    whole = path.read_bytes()
    path.write_bytes(whole[:-20] if name.startswith("cut") else whole[:-6] + b"xx" + whole[-4:])
    table = open_table(path)
    with pytest.raises(CatalogueError, match=rf"{name}: cannot be decompressed .*; copy or export the file again"):
        table.head(1_000_000)


@pytest.mark.parametrize("name", ["bomb.csv.gz", "bomb.jsonl.zst"])
def test_a_line_without_end_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(raw_batch, "BATCH_CHARACTERS", 1_000_000)
    first = "sku,title\n" if "csv" in name else '{"sku": 1}\n'
    path = pack(tmp_path / name, first.encode() + b"0" * 100_000_000)
    assert path.stat().st_size < 200_000
    tables = []
    with pytest.raises(CatalogueError, match=r"line 2: it has more than \d,000,000 bytes"):
        tables.append(open_table(path).head(10))


def test_json_values_are_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(
        '{"sku": 12345678901234567890123, "price": 19.90, "ok": true, "tags": ["a", "b"], "of": {"a": [1]}}\n'
    )
    assert open_table(path).head(1).rows() == [("12345678901234567890123", "19.90", "true", "a\nb", '{"a": ["1"]}')]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('[{"sku": 1}]\n', "line 1: it is a list, not a JSON object; write each product as one JSON object on a line"),
        ('[\n{"sku": 1},\n{"sku": 2}\n]\n', r"line 1: it is not one JSON object \(a list begins here\)"),
        ('{\n "sku": 1\n}\n', r"line 1: it is not one JSON object \(Expecting property name .* at character 3\)"),
        ("sku,title\n1,2\n", "line 1: it is not one JSON object"),
        ("7\n", "line 1: it is a single value"),
        ("[" * 100_000, "line 1: it is nested too deeply"),
        ("\n\n", "the file is empty"),
        ("PK\x03\x04", "the content is a zip archive"),
    ],
)
def test_other_json_is_refused_with_what_to_write(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "t.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(CatalogueError, match=words):
        open_table(path)


def workbook(path: Path, *sheets: list[list[Any]]) -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for place, rows in enumerate(sheets, start=1):
        sheet = book.create_sheet(f"Sheet {place}")
        for row in rows:
            sheet.append(row)
        for cells in sheet.iter_rows():
            for cell in cells:
                cell.number_format = "00000" if cell.value == 42 else cell.number_format
    book.save(path)
    return path


def test_a_workbook_is_what_its_cells_show(tmp_path: Path) -> None:
    rows: list[list[Any]] = [
        [None, None], ["sku", "price", "listed", "on sale"], ["007", 12.0, datetime.date(2026, 11, 28), True],
        [4006381333931, 19.9, datetime.datetime(2026, 11, 28, 7, 30), False], [None],
        [42, "12,30 €", "soon", None, "x"],
    ]  # fmt: skip
    table = open_table(workbook(tmp_path / "t.xlsx", [], rows))
    assert (str(table.form), table.columns) == ("Excel, sheet 'Sheet 2'", ["sku", "price", "listed", "on sale"])
    assert table.head(9).rows() == [
        ("007", "12", "2026-11-28", "TRUE"), ("4006381333931", "19.9", "2026-11-28 07:30:00", "FALSE"),
        ("00042", "12,30 €", "soon", ""),
    ]  # fmt: skip


def test_the_sheet_with_the_needed_columns_is_read(tmp_path: Path) -> None:
    path = workbook(tmp_path / "t.xlsx", [["notes"], ["of the shop"]], [["sku", "title"], [1, "Tea"]])
    assert open_table(path, needed=("sku", "title")).head(1).rows() == [("1", "Tea")]
    path = workbook(tmp_path / "t.xlsx", [["Our products"], [], ["sku", "title"], [1, "Tea"]])
    with pytest.raises(CatalogueError, match="sheet 'Sheet 1': the header seems to be row 3; remove the rows above"):
        open_table(path, needed=("sku", "title"))


def test_workbooks_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workbook(tmp_path / "t.xlsx", [])
    with pytest.raises(CatalogueError, match="the workbook holds no rows"):
        open_table(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:500])
    with pytest.raises(CatalogueError, match="is not a readable Excel workbook"):
        open_table(path)
    path.write_bytes(b"\xd0\xcf\x11\xe0" + bytes(1000))
    with pytest.raises(CatalogueError, match="has a password or is an old one"):
        open_table(path)
    path.write_bytes(whole)
    monkeypatch.setattr(workbooks, "_SHARED_TEXTS", -1)
    with pytest.raises(CatalogueError, match=r"the workbook's texts have .* bytes; save the sheet as CSV"):
        open_table(path)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(CatalogueError, match=r"pip install 'smart-product-pricing\[excel\]'"):
        open_table(path)


def test_a_declared_separator_is_used_without_looking(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("sku;title,more\n1;a,b\n", encoding="utf-8")
    assert open_table(path, CatalogueConfig(separator=";")).head(1).rows() == [("1", "a,b")]
    assert isinstance(open_table(path).head(1), pl.DataFrame)
