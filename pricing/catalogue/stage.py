"""The catalogue stages: read the files, assign hold-out and folds."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pricing.catalogue.duplicates import duplicate_groups
from pricing.catalogue.folds import make_folds
from pricing.catalogue.reading import SCHEMA, Rejected, read_catalogue_file, write_rejected
from pricing.config.catalogue import CatalogueConfig, FoldsConfig, HoldoutConfig

logger = logging.getLogger(__name__)


def read_catalogue(train: Path, test: Path | None, config: CatalogueConfig, out: Path) -> None:
    """Read and check the catalogue files.

    Parameters
    ----------
    train : Path
        Labelled rows, CSV or Parquet.
    test : Path or None
        Rows to price.
    config : CatalogueConfig
    out : Path
        Empty folder. Gets train.parquet (sample_id, catalog_content, image_link, price), test.parquet (the same
        without price; no rows without a test file), summary.json and, when quarantining, rejected.csv.

    Raises
    ------
    CatalogueError
        A file that cannot be used, or bad rows that are not quarantined.
    """
    learned = read_catalogue_file(train, labelled=True, on_bad_rows=config.on_bad_rows)
    rejected: list[Rejected] = list(learned.rejected)
    asked = pl.DataFrame(schema={name: dtype for name, dtype in SCHEMA.items() if name != "price"})
    rejected_test: list[Rejected] = []
    if test is not None:
        read = read_catalogue_file(test, labelled=False, on_bad_rows=config.on_bad_rows)
        asked, rejected_test = read.frame, read.rejected
    learned.frame.write_parquet(out / "train.parquet")
    asked.write_parquet(out / "test.parquet")
    if config.on_bad_rows == "quarantine":
        write_rejected([*rejected, *rejected_test], out / "rejected.csv")
    price = learned.frame["price"].to_numpy()
    levels = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
    summary = {
        "train": {**_describe(learned.frame), "rejected": len(rejected)},
        "test": {**_describe(asked), "rejected": len(rejected_test)},
        "ids_in_both": asked.join(learned.frame, on="sample_id", how="semi").height,
        "price": {f"q{round(100 * level):03d}": float(np.quantile(price, level)) for level in levels}
        | {"mean": float(price.mean())},
    }
    _write_json(summary, out / "summary.json")
    logger.info("catalogue: %d rows with prices, %d to price, %d left out", len(price), asked.height,
                len(rejected) + len(rejected_test))  # fmt: skip


def assign_folds(catalogue: Path, folds: FoldsConfig, holdout: HoldoutConfig, seed: int, out: Path) -> None:
    """Assign every labelled row to the hold-out or to a fold.

    Parameters
    ----------
    catalogue : Path
        Output of :func:`read_catalogue`.
    folds, holdout : FoldsConfig, HoldoutConfig
    seed : int
        Seed of the folds; the hold-out is the same for every seed.
    out : Path
        Empty folder. Gets folds.parquet (sample_id, group, part, fold; catalogue order) and summary.json.

    Raises
    ------
    CatalogueError
        Too few products for the number of folds.
    """
    frame = pl.read_parquet(catalogue / "train.parquet")
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
    table.write_parquet(out / "folds.parquet")
    sizes = groups.value_counts()["count"]
    summary = {
        "kind": folds.kind,
        "groups": len(sizes),
        "largest_group": int(sizes.max()),  # type: ignore[arg-type]
        "rows_sharing_a_group": int(sizes.filter(sizes > 1).sum()),
        "parts": _balance(table.with_columns(frame["price"])),
    }
    _write_json(summary, out / "summary.json")
    logger.info("folds: %d rows in %d groups, the largest of %d", frame.height, len(sizes), summary["largest_group"])


def _describe(frame: pl.DataFrame) -> dict[str, int]:
    links = frame["image_link"].drop_nulls()
    return {
        "rows": frame.height,
        "without_text": int((frame["catalog_content"].str.strip_chars() == "").sum()),
        "without_image_link": frame.height - len(links),
        "distinct_image_links": links.n_unique(),
        "repeated_texts": frame.height - frame["catalog_content"].n_unique(),
    }


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


def _write_json(record: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")
