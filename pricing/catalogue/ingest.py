"""The first step of a run: read and check the catalogue files."""

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from pricing.catalogue.links import tidy_links
from pricing.catalogue.reading import ReadingNotes, Rejected, catalogue_schema, rejected_table, stream_catalogue_file
from pricing.catalogue.reading_words import reading_words, unread_words
from pricing.catalogue.row_groups import RowGroups
from pricing.catalogue.split import LABELLED, UNLABELLED, UNPRICED
from pricing.catalogue.written_numbers import Mark
from pricing.config.catalogue import CatalogueConfig
from pricing.errors import CatalogueError
from pricing.store.artifacts import write_json

logger = logging.getLogger(__name__)


def read_catalogue(train: Path, test: Path | None, config: CatalogueConfig, out: Path) -> None:
    """Read and check the catalogue files.

    Rows without a price, where they are to be priced, join the rows of the test file: nothing is learnt from them,
    and every stage prices them like the others. They are the last rows of unlabelled.parquet, and in unpriced.parquet.

    Parameters
    ----------
    train : Path
        Labelled rows, in any format that `open_table` reads.
    test : Path or None
        Rows to price.
    config : CatalogueConfig
    out : Path
        Empty folder. Gets labelled.parquet (sample_id, catalog_content, image_link, the declared
        columns of `pricing.catalogue.roles.declared_types`, price), unlabelled.parquet (the
        same without price; no rows without a test file), summary.json and, when quarantining, rejected.csv;
        unpriced.parquet (as unlabelled.parquet), when rows without a price are priced. In unlabelled.parquet such a row
        has another sample_id where the test file has a row of its id.

    Raises
    ------
    CatalogueError
        A file that cannot be used, bad rows that are not quarantined, or no row with a price.
    """
    notes = {"train": ReadingNotes(), "test": ReadingNotes()}
    prices_asked = config.on_unpriced_rows == "price"
    rejected = _write_train(train, config, out, notes["train"])
    rejected_test, asked_rows = _write_test(test, config, out, notes["test"], notes["train"].marks)
    if config.on_bad_rows == "quarantine":
        rejected_table([*rejected, *rejected_test]).write_csv(out / "rejected.csv")
    learned, asked = pl.scan_parquet(out / LABELLED), pl.scan_parquet(out / UNLABELLED).head(asked_rows)
    price = learned.select("price").collect()["price"].to_numpy()
    if not len(price):
        raise CatalogueError(f"{train}: no row has a price, so that there is nothing to learn from; give some prices")
    levels = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
    unpriced = _describe(pl.scan_parquet(out / UNPRICED))["rows"] if prices_asked else 0
    summary = {
        "train": {**_describe(learned), **notes["train"].counts(), "unpriced": unpriced},
        "test": {**_describe(asked), **notes["test"].counts()},
        "ids_in_both": _collect(
            asked.select("sample_id").join(learned.select("sample_id"), on="sample_id", how="semi").select(pl.len())
        )["len"],
        "price": {f"q{round(100 * level):03d}": float(np.quantile(price, level)) for level in levels}
        | {"mean": float(price.mean())},
        **({"currency": notes["train"].currency} if notes["train"].currency else {}),
    }
    write_json(out / "summary.json", summary)
    if unused := notes["train"].unused_columns:
        logger.info("%s: columns %s are not used; pricing columns %s proposes roles for them", train.name,
                    ", ".join(unused), train)  # fmt: skip
    for path, noted in ((train, notes["train"]), (test, notes["test"])):
        if path is None:
            continue
        if noted.said():
            logger.info("%s: %s", path.name, noted.said())
        for words in [*reading_words(noted.read), *unread_words(noted.read)]:
            logger.info("%s: %s", path.name, words)
        if noted.several_image_links:
            count = noted.several_image_links
            logger.info("%s: %d rows hold several image links; the first that can be had is used", path.name, count)
    logger.info("catalogue: %d rows with prices, %d to price, %d without a price to price too, %d left out", len(price),
                asked_rows, unpriced, len(rejected) + len(rejected_test))  # fmt: skip


def _write_train(path: Path, config: CatalogueConfig, out: Path, notes: ReadingNotes) -> list[Rejected]:
    """Check the labelled file and write its good rows, batch by batch; the rows left out."""
    rejected: list[Rejected] = []
    with ExitStack() as stack:
        train = stack.enter_context(RowGroups(out / LABELLED, catalogue_schema(config, True)))
        unpriced = None
        if config.on_unpriced_rows == "price":
            unpriced = stack.enter_context(RowGroups(out / UNPRICED, catalogue_schema(config, False)))
        for good, bad in stream_catalogue_file(path, labelled=True, config=config, notes=notes):
            notes.several_image_links += tidy_links(good["image_link"])[1]
            train.write(good.filter(pl.col("price").is_not_null()))
            if unpriced is not None:
                unpriced.write(good.filter(pl.col("price").is_null()).drop("price"))
            rejected += bad
    return rejected


def _write_test(
    path: Path | None, config: CatalogueConfig, out: Path, notes: ReadingNotes, marks: Mapping[str, Mark]
) -> tuple[list[Rejected], int]:
    """Check the file to price and write its good rows, then those without a price; the rows left out, and its own."""
    rejected: list[Rejected] = []
    rows, known = 0, pl.Series("sample_id", [], pl.String)
    with RowGroups(out / UNLABELLED, catalogue_schema(config, False)) as test:
        if path is not None:
            for good, bad in stream_catalogue_file(path, labelled=False, config=config, notes=notes, marks=marks):
                notes.several_image_links += tidy_links(good["image_link"])[1]
                test.write(good)
                rows += good.height
                known = known.append(good["sample_id"])
                rejected += bad
        if config.on_unpriced_rows == "price":
            taken = set(known) | set(pl.read_parquet(out / UNPRICED, columns=["sample_id"])["sample_id"])
            with pq.ParquetFile(out / UNPRICED) as unpriced:
                for batch in unpriced.iter_batches():
                    frame = pl.DataFrame(pl.from_arrow(batch))
                    test.write(frame.with_columns(_renamed(frame["sample_id"], known, taken)))
    return rejected, rows


def _renamed(ids: pl.Series, known: pl.Series, taken: set[str]) -> pl.Series:
    """Ids of rows without a price, with another one where the test file has a row of the same id."""
    free = ids.to_list()
    for place in ids.is_in(known.implode()).arg_true():
        while free[place] in taken:
            free[place] += " (unpriced)"
        taken.add(free[place])
    return pl.Series("sample_id", free, pl.String)


def _describe(frame: pl.LazyFrame) -> dict[str, int]:
    text, link = pl.col("catalog_content"), pl.col("image_link")
    written = text.filter(text.str.strip_chars() != "")
    figures = [
        pl.len().alias("rows"),
        (text.str.strip_chars() == "").sum().alias("without_text"),
        link.is_null().sum().alias("without_image_link"),
        # by hash, since a million texts are a gigabyte
        link.drop_nulls().hash().n_unique().alias("distinct_image_links"),
        (written.len() - written.hash().n_unique()).alias("repeated_texts"),
    ]
    # one after the other: of a million rows 255 MiB at most, and 640 MiB together
    return {name: count for figure in figures for name, count in _collect(frame.select(figure)).items()}


def _collect(figures: pl.LazyFrame) -> dict[str, int]:
    """The one row of a table of counts."""
    return {name: int(value) for name, value in figures.collect(engine="streaming").row(0, named=True).items()}
