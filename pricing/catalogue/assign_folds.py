"""The second step of a run: near-duplicates, the hold-out, the folds."""

import logging
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
        Empty folder. Gets folds.parquet (sample_id, group, part, fold; catalogue order) and summary.json.

    Raises
    ------
    CatalogueError
        Too few products for the number of folds and the hold-out, or all of one price.
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
    write_json(out / "summary.json", summary)
    logger.info("folds: %d rows in %d groups, the largest of %d", frame.height, len(sizes), summary["largest_group"])


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
