"""A table written piece by piece: its bytes depend on its rows alone."""

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.catalogue import csv_table, row_groups
from pricing.catalogue.ingest import read_catalogue
from pricing.catalogue.row_groups import RowGroups
from pricing.config.catalogue import CatalogueConfig

TABLE = pl.DataFrame({"id": [str(number) for number in range(23)], "price": [number / 3 for number in range(23)]})


def written(path: Path, cuts: list[int]) -> bytes:
    with RowGroups(path, TABLE.schema) as file:
        for start, end in zip([0, *cuts], [*cuts, TABLE.height], strict=True):
            file.write(TABLE.slice(start, end - start))
    assert pl.read_parquet(path).equals(TABLE)
    return path.read_bytes()


@given(cuts=st.lists(st.integers(0, 23), max_size=6).map(sorted))
def test_pieces_of_any_size_give_the_same_file(tmp_path_factory: pytest.TempPathFactory, cuts: list[int]) -> None:
    folder = tmp_path_factory.mktemp("groups")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_groups, "GROUP_ROWS", 5)
        assert written(folder / "a.parquet", cuts) == written(folder / "b.parquet", [])
    assert pq.ParquetFile(folder / "a.parquet").metadata.num_row_groups == 5


def test_a_catalogue_gives_one_file_whatever_it_is_written_as(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_groups, "GROUP_ROWS", 5)
    monkeypatch.setattr(csv_table, "BLOCK_BYTES", 100)
    table = TABLE.select(sample_id="id", catalog_content=pl.format("tea {}", "id"), price=pl.col("price") + 1)
    table.write_csv(tmp_path / "a.csv")
    table.write_parquet(tmp_path / "b.parquet")
    table.write_ndjson(tmp_path / "c.jsonl")
    stored = []
    for name in ("a.csv", "b.parquet", "c.jsonl"):
        (tmp_path / name[0]).mkdir()
        read_catalogue(tmp_path / name, None, CatalogueConfig(), tmp_path / name[0])
        stored.append((tmp_path / name[0] / "labelled.parquet").read_bytes())
    assert stored == stored[:1] * 3


def test_a_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    with RowGroups(tmp_path / "t.parquet", TABLE.schema):
        pass
    assert pl.read_parquet(tmp_path / "t.parquet").equals(TABLE.clear())
