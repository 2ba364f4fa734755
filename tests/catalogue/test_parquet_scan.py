"""Parquet as warehouses write it, long texts, and the readers' own limits."""

import csv
import decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pricing.catalogue import parquet_scan, raw_batch, row_checks
from pricing.catalogue.reading import Catalogue, read_catalogue_file
from pricing.config.catalogue import CatalogueConfig
from pricing.errors import CatalogueError

QUARANTINE = CatalogueConfig(on_bad_rows="quarantine")

CASES = Path(__file__).parent / "cases"
PRICES = ["19.90", "4.99", "1234.56"]  # 19.90 and 1234.56 come out of Arrow's own cast of decimals as other doubles


def read_columns(folder: Path, **changed: Any) -> Catalogue:
    columns = {"sample_id": ["a", "b", "c"], "catalog_content": ["x", "y", "z"], "price": [1.0, 2.0, 3.0]} | changed
    pq.write_table(pa.table(columns), folder / "t.parquet")
    return read_catalogue_file(folder / "t.parquet", labelled=True)


def test_bignumeric_prices_are_read() -> None:
    frame = read_catalogue_file(CASES / "bignumeric.parquet", labelled=True).frame
    assert frame["price"][:3].to_list() == [12.10, 11.82, 2.60]


DECIMALS = [decimal.Decimal(price) for price in PRICES]
GOOD_PRICES = {
    "decimal32": pa.array(DECIMALS, pa.decimal32(9, 2)),
    "decimal64": pa.array(DECIMALS, pa.decimal64(18, 4)),
    "numeric": pa.array(DECIMALS, pa.decimal128(38, 9)),
    "bignumeric": pa.array(DECIMALS, pa.decimal256(76, 38)),
    "text": pa.array(PRICES),
    "large text": pa.array(PRICES, pa.large_string()),
    "text views": pa.array(PRICES, pa.string_view()),
    "text categories": pa.array(PRICES).dictionary_encode(),
    "number categories": pa.array([float(price) for price in PRICES]).dictionary_encode(),
    "double": pa.array([float(price) for price in PRICES]),
}


@pytest.mark.parametrize("kind", GOOD_PRICES)
def test_a_price_of_any_numeric_type_is_the_same_double(tmp_path: Path, kind: str) -> None:
    frame = read_columns(tmp_path, price=GOOD_PRICES[kind]).frame
    assert frame["price"].to_list() == [float(price) for price in PRICES]


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint64(), pa.float16(), pa.float32()])
def test_numbers_of_other_widths(tmp_path: Path, kind: pa.DataType) -> None:
    assert read_columns(tmp_path, price=pa.array([1, 2, 3], kind)).frame["price"].to_list() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    "ids",
    [pa.array([1, 2, 3], pa.int64()), pa.array([1, 2, 3], pa.decimal128(38, 0)), pa.array(["1", "2", "3"]),
     pa.array(["1", "2", "3"], pa.string_view()), pa.array(["1", "2", "3"]).dictionary_encode()],
)  # fmt: skip
def test_ids_are_text_and_whole_numbers_of_any_type(tmp_path: Path, ids: pa.Array) -> None:
    assert read_columns(tmp_path, sample_id=ids).frame["sample_id"].to_list() == ["1", "2", "3"]


BAD = {
    "timestamps": ("price", pa.array([1, 2, 3], pa.timestamp("us")), "timestamp"),
    "durations": ("price", pa.array([1, 2, 3], pa.duration("s")), "duration"),
    "truth values": ("price", pa.array([True, False, True]), "bool"),
    "lists": ("catalog_content", pa.array([[{"x": 1}], [], []]), "list"),
    "records": ("price", pa.array([{"value": 1.0}] * 3), "struct"),
    "bytes": ("sample_id", pa.array([b"a", b"b", b"c"], pa.binary(1)), "fixed_size_binary"),
    "fractions": ("sample_id", pa.array([1.5, 2.5, 3.5]), "double"),
    "fractional decimals": ("sample_id", pa.array(DECIMALS, pa.decimal128(10, 2)), "decimal128"),
}


@pytest.mark.parametrize("kind", BAD)
def test_types_that_are_neither_text_nor_numbers_are_named(tmp_path: Path, kind: str) -> None:
    column, values, name = BAD[kind]
    with pytest.raises(CatalogueError, match=f"column {column} has type {name}.*, expected .*; convert it"):
        read_columns(tmp_path, **{column: values})


def test_columns_that_are_not_read_may_be_anything(tmp_path: Path) -> None:
    more = {
        "nested": pa.array([{"price": [1]}, None, {"price": []}]),
        "total": pa.array(DECIMALS, pa.decimal256(76, 38)),
        "price_seen": pa.array([1, 2, 3], pa.timestamp("ns")),
    }
    assert read_columns(tmp_path, **more).frame["price"].to_list() == [1.0, 2.0, 3.0]


def test_a_text_that_is_not_utf8_is_a_bad_row(tmp_path: Path) -> None:
    offsets, letters = pa.py_buffer(b"\0\0\0\0\1\0\0\0\3\0\0\0\4\0\0\0"), pa.py_buffer(b"x\xff\xfez")
    with pytest.raises(CatalogueError, match=r"1 bad row: row 2, id 'b': it is not UTF-8"):
        read_columns(tmp_path, catalog_content=pa.Array.from_buffers(pa.string(), 3, [None, offsets, letters]))
    read = read_catalogue_file(tmp_path / "t.parquet", labelled=True, config=QUARANTINE)
    assert read.frame["sample_id"].to_list() == ["a", "c"]


def test_rows_of_nulls_hold_nothing(tmp_path: Path) -> None:
    columns: dict[str, Any] = {"sample_id": ["a", None, None], "catalog_content": ["x", None, " "],
                               "price": [1.0, None, float("nan")]}  # fmt: skip
    read = read_columns(tmp_path, **columns)
    assert (read.frame.height, read.notes.empty_rows) == (1, 2)


def test_other_files_that_end_in_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"sample_id": ["a"], "catalog_content": ["x"], "price": [1.0]}).slice(0, 0), path)
    with pytest.raises(CatalogueError, match="no data rows"):
        read_catalogue_file(path, labelled=True)
    table = pa.table([["a"], ["x"], [1.0], [2.0]], names=["sample_id", "catalog_content", "price", "price"])
    pq.write_table(table, path)
    with pytest.raises(CatalogueError, match="column price stands more than once"):
        read_catalogue_file(path, labelled=True)
    path.write_bytes(b"PARE" + b"0" * 50)
    with pytest.raises(CatalogueError, match="encrypted Parquet"):
        read_catalogue_file(path, labelled=True)


def test_a_panic_of_polars_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a BaseException, and not the only one: Ctrl-C stays what it is."""

    def panic(*_: object) -> None:
        raise pl.exceptions.PanicException("called `Option::unwrap()`\non a `None` value")

    monkeypatch.setattr(parquet_scan, "_typed", panic)
    with pytest.raises(CatalogueError, match=r"not a readable Parquet file \(called .* on a `None` value\); export"):
        read_columns(tmp_path)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(parquet_scan, "_typed", stop)
    with pytest.raises(KeyboardInterrupt):
        read_columns(tmp_path)


@pytest.fixture
def csv_limit() -> Any:
    """What the reader sets for the whole process is put back."""
    limit = csv.field_size_limit()
    yield
    csv.field_size_limit(limit)


def write_both(folder: Path, texts: list[str]) -> tuple[Path, Path]:
    table = pl.DataFrame({"sample_id": [str(i) for i in range(len(texts))], "catalog_content": texts,
                          "price": [1.5 + i for i in range(len(texts))]})  # fmt: skip
    table.write_csv(folder / "t.csv")
    table.write_parquet(folder / "t.parquet")
    return folder / "t.csv", folder / "t.parquet"


def test_a_long_text_is_read_from_csv_as_from_parquet(tmp_path: Path, csv_limit: None) -> None:
    image = 'Product Description: <img src="data:image/png;base64,' + "iVBORw0KGgo" * 13_000 + '">\n'  # 143,000
    paths = write_both(tmp_path, ["tea\n", "jam\n" + image, "salt\n"])
    frames = [read_catalogue_file(path, labelled=True).frame for path in paths]
    assert frames[0].equals(frames[1])
    assert frames[0]["catalog_content"][1].endswith(image)


def test_a_text_beyond_the_limit_is_cut_and_counted(
    tmp_path: Path, csv_limit: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_checks, "TEXT_CHARACTERS", 5)
    for path in write_both(tmp_path, ["tea", "ÄÖÜß€", "marmalade", "butter"]):
        read = read_catalogue_file(path, labelled=True)
        assert read.frame["catalog_content"].to_list() == ["tea", "ÄÖÜß€", "marma", "butte"]
        assert read.notes.cut_texts == 2


def test_a_field_beyond_memory_says_so(tmp_path: Path, csv_limit: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_batch, "BATCH_CHARACTERS", 1_000)
    path, _ = write_both(tmp_path, ["tea", "jam," * 300, "salt"])
    with pytest.raises(CatalogueError, match=r"id '1': a text is longer than 1,000 characters \(1,\d\d\d were read"):
        read_catalogue_file(path, labelled=True)
    read = read_catalogue_file(path, labelled=True, config=QUARANTINE)
    assert read.frame["sample_id"].to_list() == ["0", "2"]
