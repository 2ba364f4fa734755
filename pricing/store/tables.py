"""The tables that stages hand on: any of them, the folds of the labelled rows, and what a base model predicts."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pricing.errors import ArtifactError

__all__ = ["UNPRICED", "fold_parts", "fold_words", "read_split", "read_table", "write_predictions"]

UNPRICED = "unpriced.parquet"
"""Of the catalogue stage: rows of the labelled file that are priced like test rows, under their own ids."""


def read_table(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    """Read a Parquet table, whole or some of its columns.

    Raises
    ------
    ArtifactError
        The file is missing or damaged, or lacks a column.
    """
    try:
        return pl.read_parquet(path, columns=columns)
    except (OSError, pl.exceptions.PolarsError) as error:
        wanted = f" with the columns {', '.join(columns)}" if columns else ""
        raise ArtifactError(
            f"{path}: cannot be read as Parquet{wanted} ({error}); rebuild the stage that wrote it"
        ) from None


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


def fold_parts(split: pl.DataFrame, fold: int | None) -> dict[str, NDArray[np.bool_]]:
    """Which rows a fold learns from ("learn") and which it predicts ("valid", "holdout").

    Parameters
    ----------
    split : DataFrame
        n rows, see `read_split`.
    fold : int or None
        None is the refit, which learns from all rows.

    Returns
    -------
    dict of str to ndarray of bool
        Masks (n,); "learn" alone for the refit.

    Raises
    ------
    ArtifactError
        No row is left to learn from, or none to be judged on.
    """
    if fold is None:
        return {"learn": np.ones(split.height, dtype=bool)}
    train = (split["part"] == "train").to_numpy()
    here = train & (split["fold"] == fold).to_numpy()
    if not here.any() or here.sum() == train.sum():
        known = split.filter(pl.col("part") == "train")["fold"].unique().sort().to_list()
        raise ArtifactError(f"fold {fold} has {here.sum()} of {train.sum()} training rows; the folds are {known}")
    return {"learn": train & ~here, "valid": here, "holdout": ~train}


def fold_words(fold: int | None) -> str:
    """A fold as log lines name it; None is the refit on all labelled rows."""
    return "all labelled rows" if fold is None else f"fold {fold}"


def write_predictions(out: Path, parts: Mapping[str, tuple[pl.Series, NDArray[np.floating]]]) -> None:
    """Write a base model's predictions.parquet: ``sample_id``, ``part``, ``log_price``.

    Parameters
    ----------
    parts : mapping of str to (Series, ndarray)
        "valid", "holdout" or "test" to the ids (n,) and log prices (n,).
    """
    schema = {"sample_id": pl.String, "part": pl.String, "log_price": pl.Float64}
    tables = [
        pl.DataFrame({"sample_id": ids, "part": [name] * len(ids), "log_price": values}, schema=schema)
        for name, (ids, values) in parts.items()
    ]
    pl.concat(tables).write_parquet(out / "predictions.parquet")
