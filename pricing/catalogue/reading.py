"""Catalogue files: CSV and Parquet into checked tables, with every bad row named, in bounded memory."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import polars as pl

from pricing.catalogue.raw_rows import SCHEMA, Rejected, raw_batches
from pricing.catalogue.row_checks import RowChecker
from pricing.errors import CatalogueError

__all__ = ["SCHEMA", "Catalogue", "OnBadRows", "Rejected", "check_catalogue_file", "read_catalogue_file",
           "stream_catalogue_file", "write_rejected"]  # fmt: skip

OnBadRows = Literal["refuse", "quarantine"]

_NAMED_ROWS = 5


@dataclass(frozen=True)
class Catalogue:
    """A read file.

    Attributes
    ----------
    frame : pl.DataFrame
        sample_id String, catalog_content String (never null), image_link String or null, and price Float64 for a
        labelled file; rows in file order.
    rejected : list of Rejected
        Rows left out, in file order; empty unless ``on_bad_rows="quarantine"``.
    """

    frame: pl.DataFrame
    rejected: list[Rejected] = field(default_factory=list)


def stream_catalogue_file(
    path: Path, *, labelled: bool, on_bad_rows: OnBadRows = "refuse"
) -> Iterator[tuple[pl.DataFrame, list[Rejected]]]:
    """Read one catalogue file batch by batch and check it.

    Needed columns are sample_id, catalog_content and, for a labelled file, price. A missing or empty image_link is
    null, an empty text is "". Other columns are ignored, a price in an unlabelled file too. Prices are kept as they
    are, float artefacts included; ids are text with surrounding blanks removed.

    Parameters
    ----------
    path : Path
        ``.csv`` (UTF-8) or ``.parquet``.
    labelled : bool
        Whether the rows have prices to learn from.
    on_bad_rows : {"refuse", "quarantine"}
        Refuse the file, naming the first bad rows, or go on without them.

    Yields
    ------
    tuple of DataFrame and list of Rejected
        Good rows, as :class:`Catalogue` describes, and those left out; both in file order. What was yielded before an
        error is worth nothing.

    Raises
    ------
    CatalogueError
        A file that is missing, empty, without data rows, of another type, or without a needed column; bad rows when
        refusing, at the file's end, so that all of them are counted; no good row when quarantining.
    """
    checker = RowChecker(path.name, labelled)
    good_rows = bad_rows = 0
    named: list[Rejected] = []
    for batch in raw_batches(path, labelled):
        good, bad = checker.check(batch)
        good_rows += good.height
        bad_rows += len(bad)
        named += bad[: _NAMED_ROWS - len(named)]
        if on_bad_rows == "quarantine" or not bad_rows:
            yield good, bad
    if good_rows + bad_rows == 0:
        raise CatalogueError(f"{path}: there are no data rows under the header; expected one product a row")
    if bad_rows and on_bad_rows == "refuse":
        raise CatalogueError(_refusal(path, named, bad_rows))
    if good_rows == 0:
        raise CatalogueError(f"{path}: no usable row is left; {_refusal(path, named, bad_rows)}")


def read_catalogue_file(path: Path, *, labelled: bool, on_bad_rows: OnBadRows = "refuse") -> Catalogue:
    """Read one catalogue file whole; parameters and errors are those of :func:`stream_catalogue_file`."""
    schema = {name: dtype for name, dtype in SCHEMA.items() if labelled or name != "price"}
    frames, rejected = [pl.DataFrame(schema=schema)], []
    for good, bad in stream_catalogue_file(path, labelled=labelled, on_bad_rows=on_bad_rows):
        frames.append(good)
        rejected += bad
    return Catalogue(pl.concat(frames), rejected)


def check_catalogue_file(path: Path, *, labelled: bool, on_bad_rows: OnBadRows = "refuse") -> None:
    """Only raise what :func:`stream_catalogue_file` raises."""
    for _ in stream_catalogue_file(path, labelled=labelled, on_bad_rows=on_bad_rows):
        pass


def write_rejected(rejected: list[Rejected], path: Path) -> None:
    """Write the rows left out as CSV: file, row, sample_id, reason."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["file", "row", "sample_id", "reason"])
        writer.writerows([entry.file, entry.row, entry.sample_id, entry.reason] for entry in rejected)


def _refusal(path: Path, named: list[Rejected], count: int) -> str:
    first = "; ".join(str(entry) for entry in named)
    more = f"; and {count - len(named)} more" if count > len(named) else ""
    rows = "1 bad row" if count == 1 else f"{count} bad rows"
    return f"{path}: {rows}: {first}{more}. Correct them, or leave them out with --on-bad-rows quarantine"
