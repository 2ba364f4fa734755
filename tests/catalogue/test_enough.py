"""What is too little to learn from is said when the file is read."""

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest

from pricing.catalogue.assign_folds import assign_folds
from pricing.catalogue.enough import check_learnable, rows_needed
from pricing.catalogue.ingest import read_catalogue
from pricing.config.catalogue import CatalogueConfig, FoldsConfig, HoldoutConfig
from pricing.errors import CatalogueError

NAMES = [f"{first} {second}" for first in ("green", "black", "white", "herbal", "mint", "plain", "smoked", "sweet")
         for second in ("lentils", "tea leaves", "sea salt", "honey", "oat flakes", "noodles")]  # fmt: skip


def write(folder: Path, rows: int, *, titles: int = 48, prices: int = 1000) -> Path:
    path = folder / "train.csv"
    pl.DataFrame({
        "sample_id": [str(i) for i in range(rows)],
        "catalog_content": [f"Item Name: {NAMES[i % titles]}, {i} oz" for i in range(rows)],
        "price": [1.25 + i % prices for i in range(rows)],
    }).write_csv(path)  # fmt: skip
    return path


def check(path: Path, folds: FoldsConfig | None = None, config: CatalogueConfig | None = None) -> None:
    with TemporaryDirectory(dir=path.parent) as catalogue:
        read_catalogue(path, None, config or CatalogueConfig(), Path(catalogue))
        check_learnable(str(path), Path(catalogue), folds or FoldsConfig(), HoldoutConfig())


@pytest.mark.parametrize("rows", [1, 5, 12, 22])
def test_too_few_rows_with_the_number_needed_and_why(tmp_path: Path, rows: int) -> None:
    said = rf"train\.csv: {rows} rows? ha(s|ve) a price, expected at least 23: 15% held out, and 20 to learn from in 5"
    with pytest.raises(CatalogueError, match=said):
        check(write(tmp_path, rows))


@pytest.mark.parametrize("rows", [23, 30])
def test_little_is_needed(tmp_path: Path, rows: int) -> None:
    path = write(tmp_path, rows)
    check(path)
    (tmp_path / "catalogue").mkdir()
    (tmp_path / "folds").mkdir()
    read_catalogue(path, None, CatalogueConfig(), tmp_path / "catalogue")
    assign_folds(tmp_path / "catalogue", FoldsConfig(), HoldoutConfig(), 0, tmp_path / "folds")
    parts = json.loads((tmp_path / "folds" / "summary.json").read_text())["parts"]
    assert sum(part["rows"] for name, part in parts.items() if name != "holdout") >= 20


@pytest.mark.parametrize(("n_splits", "fraction"), [(2, 0.15), (5, 0.15), (10, 0.01), (20, 0.15), (3, 0.49)])
def test_the_number_is_the_smallest_that_leaves_enough(n_splits: int, fraction: float) -> None:
    rows, learnt = rows_needed(FoldsConfig(n_splits=n_splits), HoldoutConfig(fraction=fraction))
    assert learnt == max(20, 2 * n_splits)
    assert rows - max(1, round(fraction * rows)) >= learnt
    assert rows - 1 - max(1, round(fraction * (rows - 1))) < learnt


def test_rows_without_a_price_do_not_count(tmp_path: Path) -> None:
    path = write(tmp_path, 30)
    frame = pl.read_csv(path).with_columns(price=pl.when(pl.int_range(pl.len()) < 25).then("price"))
    frame.write_csv(path)
    config = CatalogueConfig(on_unpriced_rows="price")
    check(path, config=config)
    with pytest.raises(CatalogueError, match="25 rows have a price, expected at least 47"):
        check(path, FoldsConfig(n_splits=20), config)


def test_one_price_alone(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"all 40 prices are 1\.25, so that there is nothing to learn"):
        check(write(tmp_path, 40, prices=1))
    check(write(tmp_path, 40, prices=2))


@pytest.mark.parametrize(
    ("sizes", "seen"),
    [([12, *[1] * 14], r"\d+ of 26 rows fall into the hold-out and \d+ are left to learn from, expected at least 20"),
     ([25, *[1] * 7], r"the folds have \d+, .* rows, expected at least 10 outside of each")],
)  # fmt: skip
def test_one_large_group_may_leave_too_little(tmp_path: Path, sizes: list[int], seen: str) -> None:
    """The hold-out or a fold swallows it whole; said before anything is trained."""
    names = [NAMES[group] for group, size in enumerate(sizes) for _ in range(size)]
    said = set()
    for first in range(12):  # which group is held out depends on its hash
        frame = pl.DataFrame({
            "sample_id": [str(i) for i in range(len(names))],
            "catalog_content": [f"Item Name: {NAMES[(NAMES.index(name) + first) % 48]}" for name in names],
            "image_link": [None] * len(names), "price": [1.0 + i for i in range(len(names))],
        }, schema_overrides={"image_link": pl.String})  # fmt: skip
        frame.write_parquet(tmp_path / "labelled.parquet")
        (tmp_path / str(first)).mkdir()
        try:
            assign_folds(tmp_path, FoldsConfig(n_splits=3), HoldoutConfig(), 0, tmp_path / str(first))
        except CatalogueError as error:
            said.add(str(error))
    assert any(re.search(seen, one) for one in said), said
    assert all("near-duplicates stay together; give more products, or set folds.kind" in one for one in said)


def test_near_duplicates_of_each_other(tmp_path: Path) -> None:
    path = write(tmp_path, 40, titles=4)
    with pytest.raises(
        CatalogueError, match=r"40 rows have only 4 different titles.*at least 6: 15% held out, and one"
    ):
        check(path)
    check(path, FoldsConfig(kind="random"))
    check(path, FoldsConfig(n_splits=3))
    check(write(tmp_path, 40, titles=6))
