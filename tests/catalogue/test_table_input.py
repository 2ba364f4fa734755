"""Catalogues given as tables: the same rows, checks and messages as a file's."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from pricing.catalogue.ingest import read_catalogue
from pricing.catalogue.reading import read_catalogue_file
from pricing.catalogue.table_input import as_file, read_products
from pricing.config.catalogue import CatalogueConfig
from pricing.errors import CatalogueError

ROWS = pl.DataFrame({
    "sample_id": ["1", "2", "3"], "catalog_content": ["Tea ☕", "Salt", "Rice"], "image_link": ["a.jpg", None, "c.jpg"],
    "price": [1.5, 2.0, 3.25], "stock": [1, 2, 3],
})  # fmt: skip
LIBRARIES = {"polars": pl.DataFrame.clone, "pandas": pl.DataFrame.to_pandas, "pyarrow": pl.DataFrame.to_arrow}


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> Any:
    return LIBRARIES[request.param]


def test_a_table_is_read_as_its_file_is(tmp_path: Path, library: Any) -> None:
    ROWS.write_csv(tmp_path / "rows.csv")
    expected = read_catalogue_file(tmp_path / "rows.csv", labelled=False).frame
    assert read_products(library(ROWS)).frame.equals(expected)
    assert read_products(tmp_path / "rows.csv").frame.equals(expected)
    assert read_products(str(tmp_path / "rows.csv")).frame.equals(expected)
    (tmp_path / "out").mkdir()
    path = as_file(library(ROWS), tmp_path / "tables")
    read_catalogue(path, path, CatalogueConfig(), tmp_path / "out")
    labelled = read_catalogue_file(tmp_path / "rows.csv", labelled=True).frame
    assert pl.read_parquet(tmp_path / "out" / "labelled.parquet").equals(labelled)
    assert pl.read_parquet(tmp_path / "out" / "unlabelled.parquet").equals(expected)


def test_a_file_is_named_by_the_tables_content_whatever_library_it_is_of(tmp_path: Path) -> None:
    paths = [as_file(make(ROWS), tmp_path / "new") for make in LIBRARIES.values()]
    paths += [as_file(ROWS.to_pandas().astype({"catalog_content": "category"}), tmp_path / "new")]
    paths += [as_file(table, tmp_path / "new") for table in (pl.concat([ROWS[:1], ROWS[1:]]), ROWS.to_arrow().slice(0))]
    assert len(set(paths)) == 1
    assert list((tmp_path / "new").iterdir()) == paths[:1]
    assert as_file(ROWS.with_columns(pl.col("price") + 1), tmp_path / "new") != paths[0]
    for path in (tmp_path / "a.csv", str(tmp_path / "a.csv")):
        assert as_file(path, tmp_path / "new") == tmp_path / "a.csv"


def test_products_are_read_without_touching_a_file(library: Any) -> None:
    table = library(ROWS)
    read_products(table)  # imports
    opened: list[Any] = []
    here = True
    sys.addaudithook(lambda event, arguments: opened.append(arguments[0]) if here and event == "open" else None)
    read_products(table)
    here = False
    assert opened == []


def test_bad_rows_of_a_table_are_named(library: Any) -> None:
    twice = pl.concat([ROWS, ROWS.tail(1)])
    with pytest.raises(
        CatalogueError, match=r"^the table: 1 bad row: row 4, id '3': duplicate id, first used in row 3"
    ):
        read_products(library(twice))
    read = read_products(library(twice), CatalogueConfig(on_bad_rows="quarantine"))
    assert read.frame.height == 3
    assert [(entry.file, entry.row, entry.kind) for entry in read.rejected] == [("the table", 4, "duplicate id")]
    with pytest.raises(CatalogueError, match=r"^the table: there are no data rows"):
        read_products(library(ROWS.clear()))


def test_missing_columns_are_said_beside_those_that_are_there(tmp_path: Path, library: Any) -> None:
    with pytest.raises(CatalogueError, match=r"^the table: missing columns catalog_content; found sample_id, .*stock"):
        read_products(library(ROWS.drop("catalog_content")))
    path = as_file(library(ROWS.drop("price")), tmp_path)
    with pytest.raises(CatalogueError, match=r"missing columns price; found sample_id, .*stock; expected"):
        read_catalogue(path, None, CatalogueConfig(), tmp_path)


def test_pandas_ways_of_writing_a_table(tmp_path: Path) -> None:
    """Ids as index, numbers as ids, NaN for what is missing, columns that Arrow cannot hold and nobody reads."""
    frame = ROWS.to_pandas().assign(sample_id=[7, 8, 9], odd=[object(), {1}, "x"]).set_index("sample_id")
    frame["image_link"] = ["a.jpg", np.nan, "c.jpg"]
    frame["price"] = frame["price"].astype("float32")
    found = read_products(frame).frame
    assert found["sample_id"].to_list() == ["7", "8", "9"]
    assert found["image_link"].to_list() == ["a.jpg", None, "c.jpg"]
    assert read_catalogue_file(as_file(frame, tmp_path), labelled=True).frame["price"].to_list() == [1.5, 2.0, 3.25]
    frame["catalog_content"] = ["Tea", 3, ["a"]]
    with pytest.raises(CatalogueError, match=r"^the table: cannot be read .*give each column values of one kind"):
        read_products(frame)


@pytest.mark.parametrize("given", [[1, 2], None, {"sample_id": []}, pd.Series([1])])
def test_anything_else_is_refused(tmp_path: Path, given: object) -> None:
    for read in (read_products, lambda table: as_file(table, tmp_path)):
        with pytest.raises(
            CatalogueError, match=rf"a path, or a polars, pandas or pyarrow table; got {type(given).__name__}"
        ):
            read(given)


def test_a_column_of_a_type_that_holds_no_text_is_refused() -> None:
    table = pa.table({"sample_id": ["1"], "catalog_content": [1.5]})
    with pytest.raises(CatalogueError, match="the table: column catalog_content has type double, expected text"):
        read_products(table)
