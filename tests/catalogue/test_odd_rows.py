"""Rows that are no products, rows without a price, and files as spreadsheets and warehouses leave them."""

from pathlib import Path

import polars as pl
import pytest

from pricing.catalogue.ingest import read_catalogue
from pricing.catalogue.reading import read_catalogue_file
from pricing.config.catalogue import CatalogueConfig
from pricing.errors import CatalogueError

QUARANTINE = CatalogueConfig(on_bad_rows="quarantine")

CASES = Path(__file__).parent / "cases"
HEADER = "sample_id,catalog_content,image_link,price\n"
SETTING = 'setting catalogue.on_unpriced_rows="price"'


def write(folder: Path, text: str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("case", ["sep_line", "sep_line_semicolons", "quoted_semicolons"])
def test_files_of_other_separators_are_read_as_the_rows_that_they_are(case: str) -> None:
    frame = read_catalogue_file(CASES / f"{case}.csv", labelled=True).frame
    assert frame["sample_id"].to_list() == [str(number) for number in range(100, 100 + frame.height)]
    assert frame.height > 10
    assert frame["catalog_content"].str.contains("^Item Name: .*\nBullet Point 1: ").all()
    assert frame["price"].min() > 0


def test_the_header_again_is_no_product() -> None:
    path = CASES / "header_again_test.csv"
    with pytest.raises(CatalogueError, match=r"1 bad row: row 13 \(line 62\), id 'sample_id': it is the header again"):
        read_catalogue_file(path, labelled=False)
    read = read_catalogue_file(path, labelled=False, config=QUARANTINE)
    assert "sample_id" not in read.frame["sample_id"].to_list()
    assert read.notes.left_out == {"the header again": 1}


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("sample_id,catalog_content,image_link,price", "the header again"),
        ("Sample_ID , CATALOG_CONTENT,Image_Link,Price", "the header again"),
        ("\ufeffsample_id,catalog_content,image_link,price", "the header again"),
        ("catalog_content,sample_id,image_link,price", "the header again"),
        ('sep=;,"",,', "Excel's sep= line"),
        ("Total,,,123.5", "a total"),
        ("Grand total:,,,123.5", "a total"),
        (",,,123.5", "no sample_id"),
        (" \t,tea,,2", "no sample_id"),
        ("nan,tea,,2", "no sample_id"),
        ("NULL,tea,,2", "no sample_id"),
        ("#N/A,tea,,2", "no sample_id"),
    ],
)
def test_rows_that_are_no_products_are_named_in_any_file(tmp_path: Path, row: str, kind: str, labelled: bool) -> None:
    if kind == "no sample_id" and row.startswith(",") and not labelled:
        row = ",tea,,"
    path = write(tmp_path, f"{HEADER}1,tea,,2\n{row}\n2,jam,,3\n")
    with pytest.raises(CatalogueError, match=r"1 bad row: row 2 \(line 3\), id "):
        read_catalogue_file(path, labelled=labelled)
    read = read_catalogue_file(path, labelled=labelled, config=QUARANTINE)
    assert read.frame["sample_id"].to_list() == ["1", "2"]
    assert read.notes.left_out == {kind: 1}


@pytest.mark.parametrize(
    "row", ["Total,Item Name: Total cereal,,3", "price,a price tag,,2", "sep,tea,,2", "sum,jam,,2"]
)
def test_products_with_such_words_stay(tmp_path: Path, row: str) -> None:
    assert read_catalogue_file(write(tmp_path, f"{HEADER}1,tea,,2\n{row}\n"), labelled=True).frame.height == 2


def test_empty_rows_hold_nothing_and_are_counted(tmp_path: Path) -> None:
    read = read_catalogue_file(CASES / "empty_rows_at_the_end.csv", labelled=True)
    assert read.frame["sample_id"].to_list() == [str(number) for number in range(100, 112)]
    assert read.notes.empty_rows > 0
    assert read.rejected == []
    # within a file, of any width; row numbers stay those of the spreadsheet
    path = write(tmp_path, f'{HEADER}1,tea,,2\n,,,\n,\n" ",,,\n2,jam,,free\n')
    with pytest.raises(CatalogueError, match=r"row 5 \(line 6\), id '2'"):
        read_catalogue_file(path, labelled=True)
    read = read_catalogue_file(path, labelled=True, config=QUARANTINE)
    assert (read.notes.empty_rows, read.frame.height) == (3, 1)
    # something in a column that is not read is still something
    path = write(tmp_path, "sample_id,catalog_content,note\n1,tea,\n,,ask Jo\n")
    with pytest.raises(CatalogueError, match="sample_id is empty"):
        read_catalogue_file(path, labelled=False)


def test_a_file_of_empty_rows_has_no_rows(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="no data rows"):
        read_catalogue_file(write(tmp_path, f"{HEADER},,,\n,,,\n"), labelled=True)


UNPRICED = ["", "nan", "NaN", "null", " NULL "]


@pytest.mark.parametrize("price", UNPRICED)
def test_a_row_without_a_price_is_refused_with_the_setting_that_prices_it(tmp_path: Path, price: str) -> None:
    path = write(tmp_path, f"{HEADER}1,tea,,2\n2,jam,,{price}\n")
    with pytest.raises(CatalogueError) as caught:
        read_catalogue_file(path, labelled=True)
    assert SETTING in str(caught.value)
    frame = read_catalogue_file(path, labelled=True, config=CatalogueConfig(on_unpriced_rows="price")).frame
    assert frame["price"].to_list() == [2.0, None]


@pytest.mark.parametrize("price", ["free", "0", "-1", "n/a", "none", "inf", "$5 each"])
def test_a_wrong_price_is_no_missing_one(tmp_path: Path, price: str) -> None:
    path = write(tmp_path, f"{HEADER}1,tea,,2\n2,jam,,{price}\n")
    with pytest.raises(CatalogueError) as caught:
        read_catalogue_file(path, labelled=True, config=CatalogueConfig(on_unpriced_rows="price"))
    assert SETTING not in str(caught.value)
    assert "--on-bad-rows quarantine (setting catalogue.on_bad_rows)" in str(caught.value)


@pytest.mark.parametrize("parquet", [False, True])
def test_rows_without_a_price_join_those_to_price(tmp_path: Path, parquet: bool) -> None:
    """The id 2 is in the test file too: both are priced, and the labelled file's own id is kept beside."""
    train = pl.DataFrame({
        "sample_id": ["1", "2", "3", "2", "4", "", "5"], "catalog_content": list("abcdefg"),
        "price": [1.0, None, 2.0, 4.0, None, None, float("nan") if parquet else None],
    })  # fmt: skip
    path = tmp_path / ("t.parquet" if parquet else "t.csv")
    train.write_parquet(path) if parquet else train.write_csv(path)
    test = write(tmp_path, "sample_id,catalog_content\n2,x\n9,y\n", "test.csv")
    (tmp_path / "out").mkdir()
    config = CatalogueConfig(on_bad_rows="quarantine", on_unpriced_rows="price")
    read_catalogue(path, test, config, tmp_path / "out")
    tables = {
        name: pl.read_parquet(tmp_path / "out" / f"{name}.parquet") for name in ("labelled", "unlabelled", "unpriced")
    }
    assert tables["labelled"].select("sample_id", "price").rows() == [("1", 1.0), ("3", 2.0)]
    assert tables["unpriced"].select("sample_id", "catalog_content").rows() == [("2", "b"), ("4", "e"), ("5", "g")]
    assert tables["unlabelled"]["catalog_content"].to_list() == ["x", "y", "b", "e", "g"]
    assert tables["unlabelled"]["sample_id"].to_list() == ["2", "9", "2 (unpriced)", "4", "5"]
    summary = pl.read_json(tmp_path / "out" / "summary.json").row(0, named=True)
    assert summary["train"]["unpriced"] == 3
    assert summary["train"]["rejected"] == 2
    assert summary["train"]["rejected_reasons"] == {"duplicate id": 1, "no sample_id": 1}
    assert (summary["test"]["rows"], summary["test"]["rejected"], summary["ids_in_both"]) == (2, 0, 0)


def test_without_a_test_file_rows_without_a_price_are_priced_alone(tmp_path: Path) -> None:
    path = write(tmp_path, f"{HEADER}1,tea,,2\n2,jam,,\n")
    (tmp_path / "out").mkdir()
    read_catalogue(path, None, CatalogueConfig(on_unpriced_rows="price"), tmp_path / "out")
    assert pl.read_parquet(tmp_path / "out" / "unlabelled.parquet")["sample_id"].to_list() == ["2"]
    path = write(tmp_path, f"{HEADER}2,jam,,\n")
    (tmp_path / "none").mkdir()
    with pytest.raises(CatalogueError, match="no row has a price"):
        read_catalogue(path, None, CatalogueConfig(on_unpriced_rows="price"), tmp_path / "none")
