"""Reading catalogue files: what is accepted, and how each kind of bad input is named."""

import csv
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.catalogue import raw_batch
from pricing.catalogue.ingest import read_catalogue
from pricing.catalogue.reading import catalogue_schema, read_catalogue_file
from pricing.config.catalogue import CatalogueConfig
from pricing.errors import CatalogueError

QUARANTINE = CatalogueConfig(on_bad_rows="quarantine")

HEADER = b"sample_id,catalog_content,image_link,price\n"
GOOD = b"1,Item Name: tea,http://x.invalid/1.jpg,4.5\n"


def write(folder: Path, content: bytes, name: str = "train.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


# row that is bad, its data row, id and a word of the reason; a good row stands before and after it
BAD_ROWS = {
    "zero price": (b"2,b,,0\n", "2", "not positive"),
    "negative price": (b"2,b,,-3.5\n", "2", "not positive"),
    "unparsable price": (b"2,b,,free\n", "2", "free is not a number"),
    "price of a unit": (b"2,b,,$5 per kg\n", "2", "not a number"),
    "empty price": (b"2,b,,\n", "2", "price is empty"),
    "NaN price": (b"2,b,,nan\n", "2", "price is nan"),
    "infinite price": (b"2,b,,inf\n", "2", "not finite"),
    "overflowing price": (b"2,b,,1e999\n", "2", "not finite"),
    "duplicate id": (b"1,b,,3\n", "1", "duplicate id, first used in row 1"),
    "empty id": (b"  ,b,,3\n", "", "sample_id is empty"),
    "Latin-1": (b"2,caf\xe9,,3\n", "2", "not UTF-8"),
    "too few fields": (b"2,b\n", "2", "2 fields, expected 4"),
    "too many fields": (b"2,a, b,,3\n", "2", "5 fields, expected 4"),
    "quote not closed": (b'2,"Item Name: b\nUnit: Oz\n,http://x.invalid/2,3\n', "2", "quotes do not match"),
    "bare carriage return": (b"2,b\rc,,3\n", "2", "carriage return"),
    "quotes not doubled": (b'2,"say "cheese" please",,3\n', "2", "quotes do not match"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_is_refused_and_named(tmp_path: Path, case: str) -> None:
    row, number, reason = BAD_ROWS[case]
    path = write(tmp_path, HEADER + GOOD + row + b'3,"Item Name: c\nUnit: Oz\n",,5\n')
    with pytest.raises(CatalogueError) as caught:
        read_catalogue_file(path, labelled=True)
    message = str(caught.value)
    assert "train.csv" in message
    assert f"row 2 (line 3), id '{number}'" in message
    assert reason in message
    assert "--on-bad-rows quarantine" in message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("case", BAD_ROWS)
def test_quarantine_keeps_exactly_the_rows_around_it(tmp_path: Path, case: str) -> None:
    row, number, reason = BAD_ROWS[case]
    path = write(tmp_path, HEADER + GOOD + row + b'3,"Item Name: c\nUnit: Oz\n",,5\n4,d,,6\n')
    (tmp_path / "out").mkdir()
    read_catalogue(path, None, QUARANTINE, tmp_path / "out")
    frame = pl.read_parquet(tmp_path / "out" / "labelled.parquet")
    assert frame["sample_id"].to_list() == ["1", "3", "4"]
    assert frame["catalog_content"][1] == "Item Name: c\nUnit: Oz\n"
    assert frame["price"].to_list() == [4.5, 5.0, 6.0]
    with (tmp_path / "out" / "rejected.csv").open(encoding="utf-8", newline="") as stream:
        rejected = list(csv.DictReader(stream))
    assert [(one["file"], one["row"], one["sample_id"]) for one in rejected] == [("train.csv", "2", number)]
    assert reason in rejected[0]["reason"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("train.csv", b"", "empty"),
        ("train.csv", HEADER, "no data rows"),
        ("train.csv", b"sample_id,price\n1,2\n", "image_link) are not there, and no roles are declared"),
        ("train.csv", b"sample_id,catalog_content,price,price\n1,a,2,3\n", "more than once"),
        (
            "train.csv",
            b"\x1f\x8b\x08rest",
            "gzip archive, not CSV; unpack or export it as UTF-8 CSV, or let its name end",
        ),
        ("train.csv.gz", HEADER + GOOD, "cannot be decompressed"),
        ("train.parquet.gz", b"\x1f\x8b\x08rest", ".parquet.gz are not read"),
        ("train.xls", b"\xd0\xcf\x11\xe0", ".xls are not read; expected .csv"),
        ("train.csv", b"PK\x03\x04rest", "zip archive"),
        ("train.csv", b"PAR1rest", "Parquet"),
        ("train.parquet", HEADER + GOOD, "not Parquet"),
        ("train.parquet", b"PAR1 and then nothing", "not a readable Parquet file"),
        ("train.csv", HEADER + b"1,a,,0\n", "0 is not positive"),
        ("train.csv", HEADER + b"1,a,,1e16\n", "1e16 is above 1e15"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = write(tmp_path, content, name)
    for mode in ("refuse", "quarantine"):
        with pytest.raises(CatalogueError) as caught:
            read_catalogue_file(path, labelled=True, config=CatalogueConfig(on_bad_rows=mode))
        assert name in str(caught.value)
        assert words in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="no such file"):
        read_catalogue_file(tmp_path / "none.csv", labelled=True)
    with pytest.raises(CatalogueError, match="not a file"):
        read_catalogue_file(tmp_path, labelled=True)


def test_only_the_first_bad_rows_are_spelled_out(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + GOOD + b"".join(b"%d,x,,0\n" % number for number in range(10, 30)))
    with pytest.raises(CatalogueError, match=r"20 bad rows: row 2 \(line 3\).* and 15 more"):
        read_catalogue_file(path, labelled=True)


def test_mark_crlf_extra_columns_and_missing_link(tmp_path: Path) -> None:
    body = b'\xef\xbb\xbfextra,sample_id,catalog_content,price\r\nq,7,"a ""b""\r\nc, d",4.890000000000001\r\n,8,,1\r\n'
    frame = read_catalogue_file(write(tmp_path, body), labelled=True).frame
    assert frame.rows() == [("7", 'a "b"\r\nc, d', None, 4.890000000000001), ("8", "", None, 1.0)]
    assert dict(frame.schema) == catalogue_schema(CatalogueConfig(), True)


def test_an_odd_quote_inside_an_unquoted_field_is_text(tmp_path: Path) -> None:
    frame = read_catalogue_file(write(tmp_path, HEADER + b'1,5" pipe,,3\n2,6 pipe,,4\n'), labelled=True).frame
    assert frame["catalog_content"].to_list() == ['5" pipe', "6 pipe"]


def test_the_test_file_needs_no_price_and_ignores_one(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + b"1,a,,not a price\n2,b,,\n", "test.csv")
    assert read_catalogue_file(path, labelled=False).frame.columns == ["sample_id", "catalog_content", "image_link"]


def test_a_bad_row_that_was_dropped_does_not_make_its_id_a_duplicate(tmp_path: Path) -> None:
    """The id 2 has a bad price first and a good one later: the good row is the only one, and stays."""
    path = write(tmp_path, HEADER + b"2,a,,0\n2,b,,3\n")
    read = read_catalogue_file(path, labelled=True, config=QUARANTINE)
    assert read.frame["price"].to_list() == [3.0]
    assert [entry.row for entry in read.rejected] == [1]


def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    table = pl.DataFrame({"price": [1, 2], "sample_id": [10, 11], "catalog_content": ["a", None], "more": [0, 0]})
    table.write_parquet(tmp_path / "t.parquet")
    frame = read_catalogue_file(tmp_path / "t.parquet", labelled=True).frame
    assert frame.rows() == [("10", "a", None, 1.0), ("11", "", None, 2.0)]
    table.with_columns(price=pl.Series([0.0, np.nan]), sample_id=pl.Series([10, 10])).write_parquet(
        tmp_path / "bad.parquet"
    )
    with pytest.raises(
        CatalogueError, match=r"row 1, id '10': price 0.0 is not positive.*row 2, id '10': price is NaN"
    ):
        read_catalogue_file(tmp_path / "bad.parquet", labelled=True)
    table.with_columns(sample_id=pl.Series([1.5, 2.5])).write_parquet(tmp_path / "type.parquet")
    with pytest.raises(CatalogueError, match="column sample_id has type double"):
        read_catalogue_file(tmp_path / "type.parquet", labelled=True)


texts = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\x00"), max_size=30)


@given(st.lists(st.tuples(texts, st.floats(1e-3, 1e6)), min_size=1, max_size=8))
def test_whatever_a_csv_writer_writes_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)  # CRLF, so a bare carriage return is quoted
        writer.writerow(["sample_id", "catalog_content", "image_link", "price"])
        writer.writerows([number, text, "", repr(price)] for number, (text, price) in enumerate(rows))
    frame = read_catalogue_file(path, labelled=True).frame
    assert frame["catalog_content"].to_list() == [text for text, _ in rows]
    assert frame["price"].to_list() == [price for _, price in rows]


@given(
    rows=st.lists(
        st.tuples(st.sampled_from("abcde"), st.sampled_from(["1", "0", "x", "2.5"])), min_size=1, max_size=12
    ),
    size=st.integers(1, 5),
    parquet=st.booleans(),
)
def test_a_file_is_judged_as_one_however_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], size: int, parquet: bool
) -> None:
    """Batches of any size give what a plain loop over the rows gives, duplicates over their borders included."""
    folder = tmp_path_factory.mktemp("cut")
    table = pl.DataFrame(rows, schema=["sample_id", "price"], orient="row").with_columns(catalog_content=pl.lit("t"))
    path = folder / ("t.parquet" if parquet else "t.csv")
    table.write_parquet(path) if parquet else table.write_csv(path)
    kept: dict[str, int] = {}
    bad = []
    for number, (name, price) in enumerate(rows, start=1):
        if price in ("0", "x"):
            bad.append((number, "not positive" if price == "0" else "not a number"))
        elif name in kept:
            bad.append((number, f"first used in row {kept[name]};"))
        else:
            kept[name] = number
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw_batch, "BATCH_ROWS", size)
        if not kept:
            with pytest.raises(CatalogueError, match="no usable row is left"):
                read_catalogue_file(path, labelled=True, config=QUARANTINE)
            return
        read = read_catalogue_file(path, labelled=True, config=QUARANTINE)
    assert read.frame.rows() == [(name, "t", None, float(rows[number - 1][1])) for name, number in kept.items()]
    assert [entry.row for entry in read.rejected] == [number for number, _ in bad]
    assert all(word in entry.reason for entry, (_, word) in zip(read.rejected, bad, strict=True))


def test_stage_without_a_test_file_and_same_bytes_twice(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + GOOD)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        read_catalogue(path, None, CatalogueConfig(), tmp_path / name)
    asked = pl.read_parquet(tmp_path / "a" / "unlabelled.parquet")
    assert asked.shape == (0, 3)
    for file in ("labelled.parquet", "unlabelled.parquet", "summary.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert not (tmp_path / "a" / "rejected.csv").exists()


def test_real_rows_come_out_as_pythons_csv_module_sees_them(real_rows: Path) -> None:
    frame = read_catalogue_file(real_rows / "train.csv", labelled=True).frame
    with (real_rows / "train.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert frame["sample_id"].to_list() == [row["sample_id"] for row in rows]
    assert frame["catalog_content"].to_list() == [row["catalog_content"] for row in rows]
    assert frame["price"].to_list() == [float(row["price"]) for row in rows]
