"""Whether a labelled file holds enough to learn from: rows, near-duplicate groups, different prices.

Asked when the file is read, before anything is trained. What is needed is small, and follows from the folds and the
hold-out.
"""

from pathlib import Path

import polars as pl

from pricing.catalogue.duplicates import title_keys
from pricing.catalogue.fewest_rows import FEWEST_ROWS
from pricing.catalogue.folds import holdout_size
from pricing.catalogue.reading import stream_catalogue_file
from pricing.config.catalogue import CatalogueConfig, FoldsConfig, HoldoutConfig
from pricing.errors import CatalogueError

__all__ = ["LearnableRows", "check_folds", "check_training_file", "rows_needed"]

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


class LearnableRows:
    """Counts of a labelled file, batch by batch, in little memory.

    Parameters
    ----------
    name : str
        What the file is called in messages.
    folds, holdout : FoldsConfig, HoldoutConfig
    """

    def __init__(self, name: str, folds: FoldsConfig, holdout: HoldoutConfig) -> None:
        self._name, self._folds, self._holdout = name, folds, holdout
        self._rows = 0
        self._lowest = self._highest = float("nan")
        self._groups: set[str] = set()
        self._groups_needed = _before_holdout(folds.n_splits, holdout.fraction) if folds.kind == "grouped" else 0

    def add(self, frame: pl.DataFrame) -> None:
        """Take in some rows: sample_id, catalog_content, price (null where there is none)."""
        priced = frame.filter(pl.col("price").is_not_null())
        if priced.is_empty():
            return
        ends = [float(value) for value in priced.select(low=pl.col("price").min(), high=pl.col("price").max()).row(0)]
        self._lowest, self._highest = min(ends[0], self._lowest), max(ends[1], self._highest)
        self._rows += priced.height
        for part in priced.iter_slices(1_000):
            if len(self._groups) >= self._groups_needed:  # the titles of a million rows are neither read nor kept
                break
            keys = pl.DataFrame({"key": title_keys(part["catalog_content"]), "id": part["sample_id"]})
            self._groups.update(keys.select(pl.coalesce("key", pl.format("id {}", "id"))).to_series().unique())

    def check(self) -> None:
        """Refuse what is too little.

        Raises
        ------
        CatalogueError
            Too few rows with prices, one price alone, or fewer near-duplicate groups than the folds need.
        """
        needed, learnt = rows_needed(self._folds, self._holdout)
        splits, held = self._folds.n_splits, f"{self._holdout.fraction:.0%} held out"
        if self._rows < needed:
            rows = "1 row has a price" if self._rows == 1 else f"{self._rows} rows have a price"
            raise CatalogueError(
                f"{self._name}: {rows}, expected at least {needed}: {held}, and {learnt} to learn from in {splits} "
                "folds; give more products"
            )
        if self._lowest == self._highest:
            raise CatalogueError(
                f"{self._name}: all {self._rows} prices are {self._lowest:g}, so that there is nothing to learn; give "
                "products of different prices"
            )
        if len(self._groups) < self._groups_needed:
            raise CatalogueError(
                f"{self._name}: the {self._rows} rows have only {len(self._groups)} different titles, and rows of one "
                f"title stay in one fold; expected at least {self._groups_needed}: {held}, and one for each of "
                f"{splits} folds; give other products, or set folds.n_splits lower or folds.kind to random"
            )


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


def check_training_file(
    path: Path, catalogue: CatalogueConfig, folds: FoldsConfig | None = None, holdout: HoldoutConfig | None = None
) -> None:
    """Refuse a labelled file that cannot be read or, with folds and hold-out given, holds too little to learn from.

    Raises
    ------
    CatalogueError
        As `pricing.catalogue.reading.stream_catalogue_file` and `LearnableRows.check`.
    """
    found = LearnableRows(str(path), folds, holdout) if folds and holdout else None
    for good, _ in stream_catalogue_file(
        path, labelled=True, on_bad_rows=catalogue.on_bad_rows, on_unpriced_rows=catalogue.on_unpriced_rows
    ):
        if found:
            found.add(good)
    if found:
        found.check()
