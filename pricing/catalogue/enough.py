"""Whether a catalogue holds enough to learn from: rows, near-duplicate groups, different prices.

Asked once the catalogue is read, before anything is trained. What is needed is small, and follows from the folds and
the hold-out.
"""

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from pricing.catalogue.duplicates import title_keys
from pricing.catalogue.fewest_rows import FEWEST_ROWS
from pricing.catalogue.holdout import holdout_size
from pricing.catalogue.split import LABELLED
from pricing.config.catalogue import FoldsConfig, HoldoutConfig
from pricing.errors import CatalogueError
from pricing.store.tables import read_table

_ROWS_PER_FOLD = 2
"""With one row a fold has no middle and no spread of its own; with two every model and the stack were tried."""
_OUTSIDE_ONE = 10
"""Minimum number of rows outside of a fold, which its models learn from; CatBoost refuses some 3."""
_OUTSIDE_TWO = 4
"""Minimum number of rows outside of two folds, which the nested stack is fitted on."""


def rows_needed(folds: FoldsConfig, holdout: HoldoutConfig) -> tuple[int, int]:
    """Return the minimum number of rows with prices, and of those among them that are learnt from.

    With 5 folds and 15 % held out they are 24 and 20.
    """
    learnt = max(FEWEST_ROWS, _ROWS_PER_FOLD * folds.n_splits)
    return _before_holdout(learnt, holdout.fraction), learnt


def _before_holdout(learnt: int, fraction: float) -> int:
    """Smallest number of units that leaves `learnt` of them outside the hold-out."""
    units = learnt + 1
    while units - holdout_size(units, fraction) < learnt:
        units += 1
    return units


def check_learnable(name: str, catalogue: Path, folds: FoldsConfig, holdout: HoldoutConfig) -> None:
    """Refuse a catalogue that holds too little to learn from.

    Parameters
    ----------
    name : str
        What the labelled file is called in messages.
    catalogue : Path
        Output of `pricing.catalogue.ingest.read_catalogue`.
    folds, holdout : FoldsConfig, HoldoutConfig

    Raises
    ------
    CatalogueError
        Too few rows with prices, one price alone, or fewer near-duplicate groups than the folds need.
    """
    price = read_table(catalogue / LABELLED, ["price"])["price"]
    needed, learnt = rows_needed(folds, holdout)
    splits, held = folds.n_splits, f"{holdout.fraction:.0%} held out"
    if len(price) < needed:
        rows = "1 row has a price" if len(price) == 1 else f"{len(price)} rows have a price"
        raise CatalogueError(
            f"{name}: {rows}, expected at least {needed}: {held}, and {learnt} to learn from in {splits} folds; give "
            "more products"
        )
    if price.min() == price.max():
        raise CatalogueError(
            f"{name}: all {len(price)} prices are {price[0]:g}, so that there is nothing to learn; give products of "
            "different prices"
        )
    groups_needed = _before_holdout(splits, holdout.fraction) if folds.kind == "grouped" else 0
    groups = _count_titles(catalogue / LABELLED, groups_needed)
    if groups < groups_needed:
        raise CatalogueError(
            f"{name}: the {len(price)} rows have only {groups} different titles, and rows of one title stay in one "
            f"fold; expected at least {groups_needed}: {held}, and one for each of {splits} folds; give other "
            "products, or set folds.n_splits lower or folds.kind to random"
        )


def _count_titles(path: Path, needed: int) -> int:
    """Return the number of different titles, counted until there are enough: a million are not all read."""
    groups: set[str] = set()
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(1_000, columns=["sample_id", "catalog_content"]):
            if len(groups) >= needed:
                break
            rows = pl.DataFrame(pl.from_arrow(batch))
            keys = pl.DataFrame({"key": title_keys(rows["catalog_content"]), "id": rows["sample_id"]})
            groups.update(keys.select(pl.coalesce("key", pl.format("id {}", "id"))).to_series().unique())
    return len(groups)


def check_folds(name: str, table: pl.DataFrame, folds: FoldsConfig, holdout: HoldoutConfig) -> None:
    """Refuse folds that leave too little to learn from, because large groups of near-duplicates stay together.

    Parameters
    ----------
    name : str
        What the file is called in the message.
    table : DataFrame
        As `pricing.catalogue.folds.make_folds` returns it.

    Raises
    ------
    CatalogueError
        Too few rows outside of the hold-out, or outside of one or two folds.
    """
    sizes = table.filter(pl.col("part") == "train")["fold"].value_counts(sort=True)["count"].to_list()
    learnt, needed = sum(sizes), rows_needed(folds, holdout)[1]
    advice = "near-duplicates stay together; give more products, or set folds.kind to random"
    if learnt < needed:
        raise CatalogueError(
            f"{name}: {table.height - learnt} of {table.height} rows fall into the hold-out and {learnt} are left to "
            f"learn from, expected at least {needed}: {advice} or holdout.fraction lower"
        )
    if learnt - sizes[0] < _OUTSIDE_ONE or (len(sizes) > 2 and learnt - sum(sizes[:2]) < _OUTSIDE_TWO):
        raise CatalogueError(
            f"{name}: the folds have {', '.join(map(str, sizes))} rows, expected at least {_OUTSIDE_ONE} outside of "
            f"each and {_OUTSIDE_TWO} outside of any two: {advice}"
        )
