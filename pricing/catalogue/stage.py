"""The catalogue stages: read the files, assign hold-out and folds."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from pricing.artifacts import write_json
from pricing.catalogue.duplicates import duplicate_groups
from pricing.catalogue.folds import make_folds
from pricing.catalogue.links import tidy_links
from pricing.catalogue.reading import SCHEMA, Rejected, stream_catalogue_file, write_rejected
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
    rejected, several = _write_checked(train, True, config, out / "train.parquet")
    rejected_test, several_test = _write_checked(test, False, config, out / "test.parquet")
    if config.on_bad_rows == "quarantine":
        write_rejected([*rejected, *rejected_test], out / "rejected.csv")
    learned, asked = pl.scan_parquet(out / "train.parquet"), pl.scan_parquet(out / "test.parquet")
    price = learned.select("price").collect()["price"].to_numpy()
    levels = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
    test_figures = _describe(asked)
    summary = {
        "train": {**_describe(learned), "rejected": len(rejected), "several_image_links": several},
        "test": {**test_figures, "rejected": len(rejected_test), "several_image_links": several_test},
        "ids_in_both": _collect(
            asked.select("sample_id").join(learned.select("sample_id"), on="sample_id", how="semi").select(pl.len())
        )["len"],
        "price": {f"q{round(100 * level):03d}": float(np.quantile(price, level)) for level in levels}
        | {"mean": float(price.mean())},
    }
    write_json(out / "summary.json", summary)
    logger.info("catalogue: %d rows with prices, %d to price, %d left out", len(price), test_figures["rows"],
                len(rejected) + len(rejected_test))  # fmt: skip
    if several + several_test:
        logger.warning("%d rows hold several image links; the first one of each is used", several + several_test)


def _write_checked(path: Path | None, labelled: bool, config: CatalogueConfig, out: Path) -> tuple[list[Rejected], int]:
    """Check a file and write its good rows, batch by batch; the rows left out, and how many hold several links."""
    empty = pl.DataFrame(schema={name: dtype for name, dtype in SCHEMA.items() if labelled or name != "price"})
    schema = empty.to_arrow().schema
    rejected: list[Rejected] = []
    several = 0
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        if path is not None:
            for good, bad in stream_catalogue_file(path, labelled=labelled, on_bad_rows=config.on_bad_rows):
                writer.write_table(good.to_arrow().cast(schema))
                rejected += bad
                several += tidy_links(good["image_link"])[1]
    return rejected, several


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
    write_json(out / "summary.json", summary)
    logger.info("folds: %d rows in %d groups, the largest of %d", frame.height, len(sizes), summary["largest_group"])


def _describe(frame: pl.LazyFrame) -> dict[str, int]:
    text, link = pl.col("catalog_content"), pl.col("image_link")
    written = text.filter(text.str.strip_chars() != "")
    return _collect(
        frame.select(
            pl.len().alias("rows"),
            (text.str.strip_chars() == "").sum().alias("without_text"),
            link.is_null().sum().alias("without_image_link"),
            link.drop_nulls().n_unique().alias("distinct_image_links"),
            # by hash, since a million texts are a gigabyte
            (written.len() - written.hash().n_unique()).alias("repeated_texts"),
        )
    )


def _collect(figures: pl.LazyFrame) -> dict[str, int]:
    """The one row of a table of counts."""
    return {name: int(value) for name, value in figures.collect(engine="streaming").row(0, named=True).items()}


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
