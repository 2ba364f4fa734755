"""The second step of a run: near-duplicates, the hold-out, the folds."""

import logging
from datetime import datetime, time
from pathlib import Path
from typing import Any

import polars as pl

from pricing.catalogue.duplicates import duplicate_groups
from pricing.catalogue.enough import check_folds, check_learnable
from pricing.catalogue.folds import make_folds
from pricing.catalogue.split import LABELLED
from pricing.config.catalogue import FoldsConfig, HoldoutConfig
from pricing.store.artifacts import write_json

logger = logging.getLogger(__name__)


def assign_folds(catalogue: Path, folds: FoldsConfig, holdout: HoldoutConfig, seed: int, out: Path) -> None:
    """Assign every labelled row to the hold-out or to a fold.

    Parameters
    ----------
    catalogue : Path
        Output of `pricing.catalogue.ingest.read_catalogue`.
    folds, holdout : FoldsConfig, HoldoutConfig
    seed : int
        Seed of the folds; the hold-out is the same for every seed.
    out : Path
        Empty folder. Gets folds.parquet (sample_id, group, part, fold; catalogue order) and summary.json, which has
        ``latest`` where the catalogue has times: the hold-out's ``share`` of the rows, ``since`` when each of its
        groups has a row, and the number of ``rows_without_time`` among those that are learnt from.

    Raises
    ------
    CatalogueError
        Too few products for the number of folds and the hold-out, all of one price, or too few with a time.
    """
    check_learnable("the catalogue", catalogue, folds, holdout)
    frame = pl.read_parquet(catalogue / LABELLED)
    groups = duplicate_groups(frame, max_titles_per_link=folds.max_titles_per_link)
    table = make_folds(
        frame,
        groups,
        kind=folds.kind,
        n_splits=folds.n_splits,
        bins=folds.price_bins,
        holdout=holdout.fraction,
        seed=seed,
        times=frame["time"] if "time" in frame.columns else None,
    )
    check_folds("the catalogue", table, folds, holdout)
    table.write_parquet(out / "folds.parquet")
    sizes = groups.value_counts()["count"]
    summary = {
        "kind": folds.kind,
        "groups": len(sizes),
        "largest_group": int(sizes.max()),  # type: ignore[arg-type]
        "rows_sharing_a_group": int(sizes.filter(sizes > 1).sum()),
        "parts": _balance(table.with_columns(frame["price"])),
    }
    if "time" in frame.columns:
        summary["latest"] = _latest(table.with_columns(frame["time"]))
    write_json(out / "summary.json", summary)
    logger.info("folds: %d rows in %d groups, the largest of %d", frame.height, len(sizes), summary["largest_group"])


def _latest(table: pl.DataFrame) -> dict[str, Any]:
    """Describe a hold-out that is the latest part, and say so in the log."""
    held, learnt = (table.filter(pl.col("part") == part) for part in ("holdout", "train"))
    since: datetime = held.group_by("group").agg(pl.col("time").max())["time"].min()  # type: ignore[assignment]
    shown = since.date().isoformat() if since.time() == time() else since.isoformat(sep=" ")
    share, undated = held.height / table.height, learnt["time"].null_count()
    logger.info("hold-out: the latest %.0f %%, from %s on; %d rows without a time are learnt from",
                100 * share, shown, undated)  # fmt: skip
    return {"share": share, "since": shown, "rows_without_time": undated}


def _balance(table: pl.DataFrame) -> dict[str, Any]:
    """Rows and price quartiles of the hold-out and of each fold."""
    name = pl.when(pl.col("part") == "holdout").then(pl.lit("holdout")).otherwise(pl.format("fold_{}", "fold"))
    figures = (
        table.group_by(name.alias("name"))
        .agg(
            pl.len().alias("rows"),
            pl.col("group").n_unique().alias("groups"),
            pl.col("price").quantile(0.25, "linear").alias("price_q25"),
            pl.col("price").median().alias("price_median"),
            pl.col("price").quantile(0.75, "linear").alias("price_q75"),
        )
        .sort("name")
    )
    return {row.pop("name"): row for row in figures.to_dicts()}
