"""Catalogues, of files or tables, into checked tables, with every bad row named, in bounded memory."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from pricing.catalogue.raw_batch import Rejected
from pricing.catalogue.raw_rows import open_catalogue, unused_columns
from pricing.catalogue.renaming import model_names
from pricing.catalogue.roles import declared_types, raw_columns
from pricing.catalogue.row_checks import NO_PRICE, TEXT_CHARACTERS, RowChecker
from pricing.catalogue.typed_values import ValueReader
from pricing.catalogue.written_numbers import Mark
from pricing.config.catalogue import CatalogueConfig
from pricing.config.columns import ColumnsConfig
from pricing.errors import CatalogueError

_NAMED_ROWS = 5


@dataclass
class ReadingNotes:
    """What was read otherwise than it stands in a file, counted while it is read.

    Attributes
    ----------
    left_out : dict of str to int
        Kind of fault to the number of rows left out for it, the commonest first once the file is read.
    empty_rows : int
        Rows without any value, which spreadsheets leave at a file's end. They are skipped wherever they stand.
    cut_texts : int
        Rows whose text was cut after 1,000,000 characters.
    several_image_links : int
        Rows whose image_link holds several, of which the first that can be had is used; counted by the catalogue
        stage.
    form : str
        How the file is written, where it is no CSV with commas in UTF-8 and no Parquet.
    missing_columns : tuple of str
        Columns that a role names and that the file, which is not to learn from, does not have; read as missing.
    read : dict of str to dict
        Column, by role, to what its values were read as, once the file is read; see `ValueReader.notes`.
    marks : dict of str to str
        Column of numbers to its decimal mark.
    currency : str
        Currency of the prices; "" where none is known.
    unused_columns : list of str
        Columns of the file that no role names.
    """

    left_out: dict[str, int] = field(default_factory=dict)
    empty_rows: int = 0
    cut_texts: int = 0
    several_image_links: int = 0
    form: str = ""
    missing_columns: tuple[str, ...] = ()
    read: dict[str, dict[str, Any]] = field(default_factory=dict)
    marks: dict[str, Mark] = field(default_factory=dict)
    currency: str = ""
    unused_columns: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, Any]:
        """Return the counts as summary.json and run.json have them."""
        return {
            "rejected": sum(self.left_out.values()),
            "rejected_reasons": self.left_out,
            "empty_rows": self.empty_rows,
            "cut_texts": self.cut_texts,
            "several_image_links": self.several_image_links,
            # a plain catalogue has none of these
            **({"form": self.form} if self.form else {}),
            **({"missing_columns": [*self.missing_columns]} if self.missing_columns else {}),
            **({"read": self.read} if self.read else {}),
            **({"marks": self.marks} if self.marks else {}),
            **({"unused_columns": self.unused_columns} if self.unused_columns else {}),
        }

    def said(self) -> str:
        """Say how the file is written, what was skipped and cut, and which columns are missing; "" for nothing."""
        said = [self.form] if self.form else []
        if self.empty_rows:
            said.append("1 empty row skipped" if self.empty_rows == 1 else f"{self.empty_rows} empty rows skipped")
        if self.cut_texts:
            texts = "1 text" if self.cut_texts == 1 else f"{self.cut_texts} texts"
            said.append(f"{texts} cut after {TEXT_CHARACTERS:,} characters")
        if self.missing_columns:
            said.append(f"read as missing: {', '.join(self.missing_columns)}")
        return ", ".join(said)


@dataclass(frozen=True)
class Catalogue:
    """A read file.

    Attributes
    ----------
    frame : pl.DataFrame
        As `catalogue_schema`; texts are never null, image links may be; rows in file order.
    rejected : list of Rejected
        Rows left out, in file order; empty unless ``on_bad_rows="quarantine"``.
    notes : ReadingNotes
        Counts of what was left out, skipped and cut.
    """

    frame: pl.DataFrame
    rejected: list[Rejected] = field(default_factory=list)
    notes: ReadingNotes = field(default_factory=ReadingNotes)


def catalogue_schema(config: CatalogueConfig, labelled: bool) -> dict[str, pl.DataType]:
    """Return the columns of a read catalogue and their types; the price, of labelled files alone, is the last one."""
    texts = dict.fromkeys(("sample_id", "catalog_content", "image_link"), pl.String())
    return {**texts, **declared_types(config.roles), **({"price": pl.Float64()} if labelled else {})}


def stream_catalogue_file(
    source: Path | pa.Table,
    *,
    labelled: bool,
    config: CatalogueConfig | None = None,
    notes: ReadingNotes | None = None,
    marks: Mapping[str, Mark] | None = None,
) -> Iterator[tuple[pl.DataFrame, list[Rejected]]]:
    """Read one catalogue file, or a table, batch by batch and check it.

    Needed are the columns of the roles id, title or text and, for a labelled file, price. A missing or empty image_link
    is null, an empty text is "". Columns without a role are ignored, a price in an unlabelled file too. Prices
    are kept as they are, float artefacts included; ids are text with surrounding blanks removed. A text is cut after
    1,000,000 characters. Rows without any value are skipped, at a file's end (Excel's ``,,,``) or within it.

    Parameters
    ----------
    source : Path or Table
        A file as `open_table` opens it; a table in memory is judged as Parquet.
    labelled : bool
        Whether the rows have prices to learn from.
    config : CatalogueConfig, optional
        The columns' roles; separator and encoding, where they are set.
        ``on_bad_rows``: refuse the file, naming the first bad rows, or go on without them.
        ``on_unpriced_rows``: whether a row of a labelled file whose price is empty, NaN or null is a bad row, or a good
        one with the price null. No other word counts as no price.
    notes : ReadingNotes, optional
        Is filled while the file is read.
    marks : mapping of str to str, optional
        As `ValueReader` takes them: those of the catalogue learnt from.

    Yields
    ------
    tuple of DataFrame and list of Rejected
        Good rows, as :class:`Catalogue` describes, and those left out; both in file order. What was yielded before an
        error is worth nothing.

    Raises
    ------
    CatalogueError
        A file that is missing, empty, without data rows, of another type, or without a needed column; bad rows when
        refusing, at the file's end, so that all of them are counted; no good row when quarantining; prices of two
        currencies; values that nothing tells the decimal mark of.
    """
    config = config or CatalogueConfig()
    table, wanted = open_catalogue(source, labelled, config)
    values = ValueReader(table, wanted, labelled, config, marks or {})
    checker = RowChecker(table.file, labelled, config, values)
    notes = ReadingNotes() if notes is None else notes
    good_rows = bad_rows = 0
    named: list[Rejected] = []
    notes.form = str(table.form) if table.form.is_worth_saying else ""
    if config.columns is not None:
        asked = raw_columns(config.roles, labelled).values()
        notes.missing_columns = tuple(dict.fromkeys(name for name in asked if name not in table.columns))
    notes.unused_columns = unused_columns(table, config.roles)
    for batch in table.batches(wanted | values.counted, config.roles):
        good, bad = checker.check(batch)
        good_rows += good.height
        bad_rows += len(bad)
        named += bad[: _NAMED_ROWS - len(named)]
        notes.empty_rows += batch.empty
        notes.cut_texts = checker.cut_texts
        for entry in bad:
            notes.left_out[entry.kind] = notes.left_out.get(entry.kind, 0) + 1
        if config.on_bad_rows == "quarantine" or not bad_rows:
            yield good, bad
    values.check()
    notes.read, notes.marks, notes.currency = values.notes(), values.marks, values.currency
    notes.left_out = dict(sorted(notes.left_out.items(), key=lambda item: (-item[1], item[0])))
    name = table.name
    if good_rows + bad_rows == 0:
        raise CatalogueError(f"{name}: there are no data rows under the header; expected one product per row")
    if bad_rows and config.on_bad_rows == "refuse":
        raise CatalogueError(_refusal(name, named, notes))
    if good_rows == 0:
        raise CatalogueError(f"{name}: no usable row is left; {_refusal(name, named, notes)}")


def read_catalogue_file(
    source: Path | pa.Table, *, labelled: bool, config: CatalogueConfig | None = None,
    names: ColumnsConfig | None = None, marks: Mapping[str, Mark] | None = None,
) -> Catalogue:  # fmt: skip
    """Read one catalogue file or table whole; parameters and errors are those of `stream_catalogue_file`.

    ``names`` are the roles as the file calls its columns, where it has other names than ``config``, whose names the
    read catalogue and ``marks`` have.
    """
    config = config or CatalogueConfig()
    asked = config.model_copy(update={"columns": names or config.columns})
    frames, rejected, notes = [pl.DataFrame(schema=catalogue_schema(asked, labelled))], [], ReadingNotes()
    called = model_names(asked.roles, config.roles)
    own = {name: mark for name in declared_types(asked.roles) if (mark := (marks or {}).get(called.get(name, name)))}
    for good, bad in stream_catalogue_file(source, labelled=labelled, config=asked, notes=notes, marks=own):
        frames.append(good)
        rejected += bad
    return Catalogue(pl.concat(frames).rename(called), rejected, notes)


def rejected_table(rejected: list[Rejected]) -> pl.DataFrame:
    """Return the rows left out as a table: file, row, sample_id, reason."""
    columns = {"file": pl.String, "row": pl.Int64, "sample_id": pl.String, "reason": pl.String}
    return pl.DataFrame({name: [getattr(entry, name) for entry in rejected] for name in columns}, schema=columns)


def _refusal(source: str, named: list[Rejected], notes: ReadingNotes) -> str:
    count = sum(notes.left_out.values())
    first = "; ".join(str(entry) for entry in named)
    more = f"; and {count - len(named)} more" if count > len(named) else ""
    rows = "1 bad row" if count == 1 else f"{count} bad rows"
    # deployments and Python have settings only
    advice = "Correct them, or leave them out with --on-bad-rows quarantine (setting catalogue.on_bad_rows)"
    if notes.left_out.get(NO_PRICE):
        advice += '; rows without a price are priced with the setting catalogue.on_unpriced_rows="price"'
    return f"{source}: {rows}: {first}{more}. {advice}"
