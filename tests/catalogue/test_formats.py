"""One catalogue in every format that shops export: the same table is read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pricing.catalogue.ingest import read_catalogue
from pricing.catalogue.raw_table import open_table
from pricing.catalogue.reading import read_catalogue_file
from pricing.config.catalogue import CatalogueConfig
from pricing.config.columns import ColumnsConfig
from pricing.errors import CatalogueError

ROLES = ColumnsConfig(
    id="sku", title="title", text=("about",), category=("brand", "path"), number=("rating",),
    amount={"weight": "kg"}, image=("images",), group="family", time="listed",
)  # fmt: skip
COLUMNS: dict[str, list[Any]] = {
    "sku": ["007", "0080", "9"],
    "title": ["Tee, grün", 'Salz "fein"', "Ол | ия"],
    "about": ["aus; Assam\nlose", "", "1,5 l\tÖl"],
    "brand": ["Acme", "", "Boreal"],
    "path": ["Food > Tea", "Food > Salt", ""],
    "rating": [4.5, None, 3.125],
    "weight": [0.25, 1.0, 1.299],
    "images": ["https://shop.invalid/1.jpg\nhttps://shop.invalid/2.jpg", "", "https://shop.invalid/3.jpg"],
    "family": [1, None, 2],
    "listed": ["2026-11-28 07:30:00", "2026-11-27 00:00:00", "2025-01-02 03:04:05"],
    "price": [12.5, 1.299, 3.0],
    "url": ["u", "v", "w"],
}
TABLE = pl.DataFrame(COLUMNS)
LISTED = TABLE.with_columns(pl.col("images").str.split("\n"), pl.col("path").str.split(" > "))


def csv(path: Path, separator: str = ",", encoding: str = "utf-8", **options: Any) -> None:
    text = TABLE.write_csv(separator=separator, **options)
    compression = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix)
    with pa.output_stream(str(path), compression=compression) as stream:
        stream.write(text.encode(encoding))


def jsonl(path: Path, table: pl.DataFrame, **kwargs: Any) -> None:
    lines = [json.dumps({name: value for name, value in row.items() if value not in (None, "")}, **kwargs)
             for row in table.to_dicts()]  # fmt: skip
    with pa.output_stream(str(path), compression="gzip" if path.suffix == ".gz" else None) as stream:
        stream.write("\n".join(lines).encode())


def parquet(path: Path) -> None:
    table = LISTED.with_columns(
        pl.col("brand").cast(pl.Categorical), pl.col("price").cast(pl.Decimal(10, 3)),
        pl.col("listed").str.to_datetime(), pl.col("rating").cast(pl.Float32),
        # as pandas has whole numbers of which some are missing
        pl.col("family").cast(pl.Float64),
    ).to_arrow()  # fmt: skip
    place = table.column_names.index("title")
    pq.write_table(table.set_column(place, "title", table["title"].cast(pa.large_string())), path)


def excel(path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(TABLE.columns)
    for row in TABLE.with_columns(pl.col("listed").str.to_datetime()).rows():
        book.active.append(row)
    book.save(path)


WAYS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "semicolons": ("a.csv", lambda path: csv(path, ";")),
    "tabs": ("a.tsv", lambda path: csv(path, "\t")),
    "bars, gzip": ("a.txt.gz", lambda path: csv(path, "|", quote_style="always")),
    "UTF-16, tabs": ("a.txt", lambda path: csv(path, "\t", "utf-16", line_terminator="\r\n")),
    "a mark, zstd": ("a.csv.zst", lambda path: csv(path, ",", "utf-8-sig")),
    "JSON lines": ("a.jsonl", lambda path: jsonl(path, TABLE)),
    "JSON lines of lists, gzip": ("a.json.gz", lambda path: jsonl(path, LISTED, ensure_ascii=False)),
    "Parquet": ("a.parquet", parquet),
    "Excel": ("a.xlsx", excel),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_catalogue_is_the_same_in_every_format(tmp_path: Path, way: str) -> None:
    csv(tmp_path / "plain.csv")
    config = CatalogueConfig(columns=ROLES)
    expected = read_catalogue_file(tmp_path / "plain.csv", labelled=True, config=config)
    assert expected.frame["sample_id"].to_list() == COLUMNS["sku"]
    assert expected.frame["price"].to_list() == COLUMNS["price"]
    assert expected.frame["image_link"].str.count_matches("shop.invalid").to_list()[2] == 1
    name, write = WAYS[way]
    write(tmp_path / name)
    found = read_catalogue_file(tmp_path / name, labelled=True, config=config)
    weights = pl.col("amount:weight").cast(pl.Float64)
    assert found.frame.with_columns(weights).equals(expected.frame.with_columns(weights))
    assert found.notes.form == {
        "semicolons": "CSV, separated by semicolons, UTF-8", "tabs": "CSV, separated by tabs, UTF-8",
        "bars, gzip": "CSV, separated by vertical bars, UTF-8, compressed with gzip",
        "UTF-16, tabs": "CSV, separated by tabs, UTF-16",
        "a mark, zstd": "CSV, separated by commas, UTF-8, compressed with zstd", "JSON lines": "JSON lines, UTF-8",
        "JSON lines of lists, gzip": "JSON lines, UTF-8, compressed with gzip", "Parquet": "",
        "Excel": "Excel, sheet 'Sheet'",
    }[way]  # fmt: skip


def test_numbers_of_a_file_that_has_them_are_no_texts_to_interpret(tmp_path: Path) -> None:
    """A price of 1.299 in Excel or JSON is no 1299, whatever mark the shop's texts have."""
    table = TABLE.select("sku", "title", "price")
    roles = ColumnsConfig(id="sku", title="title")
    path = tmp_path / "a.jsonl"
    table.write_ndjson(path)
    for config in (CatalogueConfig(columns=roles), CatalogueConfig(columns=roles, decimal_mark=",")):
        frame = read_catalogue_file(path, labelled=True, config=config).frame
        assert frame["price"].to_list() == COLUMNS["price"]
    path.write_text('{"sku": 1, "title": "a", "price": 1.299}\n{"sku": 2, "title": "b", "price": "$1,234.50"}\n')
    frame = read_catalogue_file(path, labelled=True, config=CatalogueConfig(columns=roles)).frame
    assert frame["price"].to_list() == [1.299, 1234.5]


def test_how_a_file_is_written_stands_in_log_and_summary(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    csv(tmp_path / "a.csv.gz", ";")
    TABLE.drop("brand", "about", "price").write_csv(tmp_path / "test.csv")
    (tmp_path / "out").mkdir()
    with caplog.at_level("INFO"):
        read_catalogue(tmp_path / "a.csv.gz", tmp_path / "test.csv", CatalogueConfig(columns=ROLES), tmp_path / "out")
    assert "a.csv.gz: CSV, separated by semicolons, UTF-8, compressed with gzip" in caplog.text
    assert "test.csv: read as missing: about, brand" in caplog.text
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["train"]["form"] == "CSV, separated by semicolons, UTF-8, compressed with gzip"
    assert summary["test"]["missing_columns"] == ["about", "brand"]
    assert "form" not in summary["test"]
    assert pl.read_parquet(tmp_path / "out" / "unlabelled.parquet")["category:brand"].to_list() == ["", "", ""]


BAD_JSON = {
    "row 2 (line 2), id '2': it is not one JSON object (Expecting value at character 25)":
        '{"sku": "2", "title": "a"',
    "row 2 (line 2), id '2': price holds a list; write one value": '{"sku": "2", "title": "a", "price": [1, 2]}',
    "row 2 (line 2), id '2': title holds an object": '{"sku": "2", "title": {"en": "a"}, "price": 1}',
    "row 2 (line 2), id '2': images holds a list of lists or objects":
        '{"sku": "2", "title": "a", "price": 1, "images": [{"url": "x"}]}',
    "row 2 (line 2), id '2': price is empty": '{"sku": "2", "title": "a", "price": null}',
}  # fmt: skip
SHOP = ColumnsConfig(id="sku", title="title", image=("images",))


@pytest.mark.parametrize("said", BAD_JSON)
def test_a_bad_json_row_is_named_and_the_rows_around_it_are_read(tmp_path: Path, said: str) -> None:
    good = '{{"sku": "{0}", "title": "tea", "price": 1.50, "images": ["x.jpg"]}}\n'
    path = tmp_path / "t.jsonl"
    path.write_text(f"{good.format(1)}{BAD_JSON[said]}\n{good.format(3)}", encoding="utf-8")
    with pytest.raises(CatalogueError) as caught:
        read_catalogue_file(path, labelled=True, config=CatalogueConfig(columns=SHOP))
    found = said.replace("id '2': it is not", "id '': it is not")
    assert found.partition(" (Expecting")[0] in str(caught.value)
    config = CatalogueConfig(columns=SHOP, on_bad_rows="quarantine")
    assert read_catalogue_file(path, labelled=True, config=config).frame["sample_id"].to_list() == ["1", "3"]


def test_rows_of_a_sheet_are_named_by_its_own_numbers(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in ([], ["sku", "title", "price"], ["01", "tea", 2.5], [None, " "], ["02", "jam", "free"]):
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    roles = ColumnsConfig(id="sku", title="title")
    with pytest.raises(CatalogueError, match=r"1 bad row: row 3 \(line 5\), id '02': price free is not a number"):
        read_catalogue_file(tmp_path / "t.xlsx", labelled=True, config=CatalogueConfig(columns=roles))
    config = CatalogueConfig(columns=roles, on_bad_rows="quarantine")
    read = read_catalogue_file(tmp_path / "t.xlsx", labelled=True, config=config)
    assert (read.frame["sample_id"].to_list(), read.notes.empty_rows) == (["01"], 1)


def test_without_known_names_a_sheet_with_a_header_is_taken_and_a_title_above_it_is_refused(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["Read me"])
    sheet = book.create_sheet("Products")
    for row in (["sku", "title", "price"], ["01", "tea", 2.5]):
        sheet.append(row)
    book.save(tmp_path / "t.xlsx")
    assert open_table(tmp_path / "t.xlsx").columns == ["sku", "title", "price"]
    sheet.insert_rows(1)
    sheet["A1"] = "Price list"
    book.remove(book.active)
    book.save(tmp_path / "t.xlsx")
    for needed in ((), ("sample_id", "price")):
        with pytest.raises(CatalogueError, match="sheet 'Products': the header seems to be row 2; remove the rows"):
            open_table(tmp_path / "t.xlsx", needed=needed)


def test_to_price_products_an_id_and_one_text_are_enough(tmp_path: Path) -> None:
    roles = ColumnsConfig(id="sku", title="title", text=("about", "more"), category=("brand",))
    path = tmp_path / "t.csv"
    path.write_text("sku,more\n1,green tea\n", encoding="utf-8")
    read = read_catalogue_file(path, labelled=False, config=CatalogueConfig(columns=roles))
    assert read.frame["catalog_content"].to_list() == ["Product Description: green tea"]
    assert read.notes.missing_columns == ("title", "about", "brand")
    path.write_text("sku,brand\n1,Acme\n", encoding="utf-8")
    with pytest.raises(CatalogueError, match=r"columns title, about, more, .* pricing columns .*t\.csv proposes"):
        read_catalogue_file(path, labelled=False, config=CatalogueConfig(columns=roles))
    path.write_text("SKU,more\n1,Acme\n", encoding="utf-8")
    with pytest.raises(CatalogueError, match=r"missing columns sku, .*; is sku called SKU\?"):
        read_catalogue_file(path, labelled=False, config=CatalogueConfig(columns=roles))
