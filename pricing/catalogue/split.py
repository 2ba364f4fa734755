"""How a catalogue is split: its tables, and which labelled row is held out or in which fold."""

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pricing.errors import ArtifactError
from pricing.store.tables import read_table

SPLITS = ("labelled", "unlabelled")
"""The rows that have a price to learn from, and those to price."""
LABELLED, UNLABELLED = (f"{split}.parquet" for split in SPLITS)
"""Tables of the catalogue step's output."""
UNPRICED = "unpriced.parquet"
"""Table of that output with the unlabelled rows that stood without a price in the training file."""


def read_split(folds: Path, ids: pl.Series) -> pl.DataFrame:
    """Read the folds stage's output.

    Parameters
    ----------
    folds : Path
        Its folder.
    ids : Series
        (n,) sample_id of the catalogue's labelled rows.

    Returns
    -------
    DataFrame
        n rows, those of ``ids`` in their order: ``sample_id``, ``group``, ``part`` ("train" or "holdout"), ``fold``.

    Raises
    ------
    ArtifactError
        The table is missing or damaged, or its rows are others or in another order.
    """
    path = folds / "folds.parquet"
    split = read_table(path, ["sample_id", "group", "part", "fold"])
    if not split["sample_id"].equals(ids):
        raise ArtifactError(
            f"{path}: its {split.height} rows are not the catalogue's {len(ids)}, in the same order; "
            "assign the folds of this catalogue again"
        )
    return split


def fold_roles(split: pl.DataFrame, fold: int | None) -> dict[str, NDArray[np.bool_]]:
    """Return which rows a fold learns from (``train``) and which it predicts (``valid``, ``holdout``).

    Parameters
    ----------
    split : DataFrame
        n rows, see `read_split`.
    fold : int or None
        None is the refit, which learns from all rows.

    Returns
    -------
    dict of str to ndarray of bool
        Masks of shape (n,) by role; ``train`` alone for the refit.

    Raises
    ------
    ArtifactError
        No row is left to learn from, or none to be judged on.
    """
    if fold is None:
        return {"train": np.ones(split.height, dtype=bool)}
    train = (split["part"] == "train").to_numpy()
    here = train & (split["fold"] == fold).to_numpy()
    if not here.any() or here.sum() == train.sum():
        known = split.filter(pl.col("part") == "train")["fold"].unique().sort().to_list()
        raise ArtifactError(f"fold {fold} has {here.sum()} of {train.sum()} training rows; the folds are {known}")
    return {"train": train & ~here, "valid": here, "holdout": ~train}


def fold_words(fold: int | None) -> str:
    """A fold as log lines name it; None is the refit on all labelled rows."""
    return "all labelled rows" if fold is None else f"fold {fold}"


def fold_name(fold: int | None) -> str:
    """Return a fold's name in paths and keys; the refit has a name of its own."""
    return "refit" if fold is None else f"fold_{fold}"
