"""Catalogue files and tables as batches of raw rows: what is in them, before any value is judged."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import polars as pl
import pyarrow as pa

from pricing.catalogue.csv_scan import NOT_UTF8, scan_csv
from pricing.catalogue.first_line import first_line_problem
from pricing.catalogue.parquet_scan import ParquetBatch, parquet_columns, scan_parquet, scan_table
from pricing.catalogue.roles import raw_columns, role_name
from pricing.config.columns import CHALLENGE, ColumnsConfig
from pricing.errors import CatalogueError

BATCH_ROWS = 20_000
"""Rows that are in memory at a time ..."""
BATCH_CHARACTERS = 50_000_000
"""... or fewer, where they hold this much text."""


@dataclass(frozen=True)
class Rejected:
    """A row that cannot be used: file name, data row from 1, line (CSV only), id as found, why, and the kind of why."""

    file: str
    row: int
    line: int | None
    sample_id: str
    reason: str
    kind: str

    def __str__(self) -> str:
        where = f"row {self.row}" if self.line is None else f"row {self.row} (line {self.line})"
        return f"{where}, id {self.sample_id!r}: {self.reason}"


@dataclass(frozen=True)
class RawBatch:
    """Some rows of a file, in file order."""

    frame: pl.DataFrame
    """The columns of `pricing.catalogue.roles.raw_columns`, by role: text; price, numbers and amounts of a Parquet file
    as they are. ``row``, and ``line`` (null for Parquet). A column that is missing, and may be, is not there."""
    broken: list[Rejected] = field(default_factory=list)
    """Rows among them whose structure is broken."""
    empty: int = 0
    """Rows among them that hold nothing at all, as spreadsheets leave them at a file's end; they are in no table."""


def source_name(source: Path | pa.Table, *, short: bool = False) -> str:
    """Return what a source is called in messages: a file's path, or its name alone."""
    if isinstance(source, Path):
        return source.name if short else str(source)
    return "the table"


def raw_batches(source: Path | pa.Table, labelled: bool, roles: ColumnsConfig) -> Iterator[RawBatch]:
    """Read a catalogue file or table batch by batch.

    Parameters
    ----------
    source : Path or Table
        ``.csv`` (UTF-8) or ``.parquet``; a table in memory is judged as Parquet.
    labelled : bool
        Whether a price is needed.
    roles : ColumnsConfig
        Roles of the columns.

    Raises
    ------
    CatalogueError
        A file that is missing, empty, of another type, unreadable, or without a needed column.
    """
    if not isinstance(source, Path):
        name = source_name(source)
        wanted = _check_columns(name, source.column_names, labelled, roles)
        return _typed_batches(name, scan_table(name, source, wanted, BATCH_ROWS), roles)
    if check_file(source, labelled, roles) == "csv":
        return _csv_batches(source, labelled, roles)
    wanted = _check_columns(str(source), parquet_columns(source), labelled, roles)
    return _typed_batches(source.name, scan_parquet(source, wanted, BATCH_ROWS), roles)


def _csv_batches(path: Path, labelled: bool, roles: ColumnsConfig) -> Iterator[RawBatch]:
    header, records = scan_csv(path, BATCH_CHARACTERS)
    wanted = _check_columns(str(path), header, labelled, roles)
    places = [header.index(name) for name in wanted.values()]
    at_id = header.index(roles.id)
    columns: list[list[str]] = [[] for _ in wanted]
    rows: list[int] = []
    lines: list[int] = []
    broken: list[Rejected] = []
    characters = empty = 0

    def batch() -> RawBatch:
        data = {name: pl.Series(name, values, pl.String) for name, values in zip(wanted, columns, strict=True)}
        return RawBatch(pl.DataFrame(data | {"row": pl.Series(rows, dtype=pl.Int64),
                                             "line": pl.Series(lines, dtype=pl.Int64)}), broken, empty)  # fmt: skip

    for record in records:
        values = record.values
        if not values:
            empty += 1
        elif record.problem is not None:
            found = values[at_id].strip() if at_id < len(values) else ""
            broken.append(Rejected(path.name, record.row, record.line, found[:100], record.problem, record.kind))
        else:
            rows.append(record.row)
            lines.append(record.line)
            for column, place in zip(columns, places, strict=True):
                column.append(values[place])
                characters += len(values[place])
        if len(rows) + len(broken) == BATCH_ROWS or characters >= BATCH_CHARACTERS:
            yield batch()
            columns, rows, lines, broken, characters, empty = [[] for _ in wanted], [], [], [], 0, 0
    if rows or broken or empty:
        yield batch()


def _typed_batches(name: str, batches: Iterator[ParquetBatch], roles: ColumnsConfig) -> Iterator[RawBatch]:
    start, at_id = 1, role_name("id", roles.id)
    for batch in batches:
        frame = batch.frame.with_columns(
            row=pl.int_range(start, start + pl.len(), dtype=pl.Int64), line=pl.lit(None, dtype=pl.Int64)
        )
        start += frame.height
        broken = [
            Rejected(name, frame["row"][place], None, frame[at_id][place][:100], *NOT_UTF8) for place in batch.broken
        ]
        there = ~_holds_nothing(batch.frame)
        kept = frame.filter(there & ~pl.col("row").is_in([entry.row for entry in broken]))
        yield RawBatch(kept, broken, frame.height - kept.height - len(broken))


def _holds_nothing(frame: pl.DataFrame) -> pl.Expr:
    """Whether every wanted value of a row is empty."""
    blank = [
        pl.col(name).str.strip_chars().fill_null("") == ""
        if dtype == pl.String
        else pl.col(name).fill_nan(None).is_null()
        for name, dtype in frame.schema.items()
    ]
    return pl.all_horizontal(blank)


def _needed(roles: ColumnsConfig, labelled: bool) -> list[str]:
    """Columns without which a file cannot be used: of the roles id, title, text and, to learn from, price.

    To learn from, every column that a shop's roles name must be there; the challenge's image_link need not.
    """
    if labelled and roles != CHALLENGE:
        return roles.named()
    texts = [roles.title] if roles.title else roles.text
    return [roles.id, *texts, *([roles.price] if labelled else [])]


def check_file(path: Path, labelled: bool, roles: ColumnsConfig) -> Literal["csv", "parquet"]:
    """Return a file's type, without reading more than its beginning.

    Raises
    ------
    CatalogueError
        It is missing, empty, of another type, encrypted, or its first line is no header.
    """
    suffix = path.suffix.lower()
    if not path.exists():
        raise CatalogueError(f"{path}: there is no such file; give the path of a .csv or .parquet catalogue")
    if not path.is_file():
        raise CatalogueError(f"{path}: is not a file; give the path of a .csv or .parquet catalogue")
    if suffix not in (".csv", ".parquet"):
        raise CatalogueError(f"{path}: files of type {suffix or '(none)'} are not read; expected .csv or .parquet")
    try:
        with path.open("rb") as stream:
            head = stream.read(4)
        problem = (
            None if suffix == ".parquet" or head == b"PAR1" else first_line_problem(path, _needed(roles, labelled))
        )
    except OSError as error:
        raise CatalogueError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    if not head:
        raise CatalogueError(f"{path}: the file is empty; expected a header and one product a row")
    if head == b"PARE":
        raise CatalogueError(f"{path}: the file is encrypted Parquet, for which no key is known; export it unencrypted")
    if (suffix == ".parquet") != (head == b"PAR1"):
        raise CatalogueError(
            f"{path}: the content is {'' if head == b'PAR1' else 'not '}Parquet, but the name ends in {suffix}; "
            "rename the file or export it again"
        )
    if problem:
        raise CatalogueError(f"{path}: {problem}")
    return "parquet" if suffix == ".parquet" else "csv"


def _check_columns(source: str, columns: list[str], labelled: bool, roles: ColumnsConfig) -> dict[str, str]:
    """The columns to read that are there: name by role to name in the file."""
    needed = _needed(roles, labelled)
    missing = [name for name in needed if name not in columns]
    if missing and roles != CHALLENGE:
        raise CatalogueError(
            f"{source}: missing columns {', '.join(missing)}, which the roles name (catalogue.columns, --columns); "
            f"found {', '.join(columns[:20]) or 'none'}; correct the roles, or give a file that has them"
        )
    if missing:
        raise CatalogueError(
            f"{source}: missing columns {', '.join(missing)}; found {', '.join(columns[:20]) or 'none'}; "
            f"expected {', '.join(needed)} and, if there are images, {', '.join(roles.image) or 'image_link'}"
        )
    wanted = {role: name for role, name in raw_columns(roles, labelled).items() if name in columns}
    twice = [name for name in wanted.values() if columns.count(name) > 1]
    if twice:
        raise CatalogueError(f"{source}: column {twice[0]} stands more than once in the header; keep one of them")
    return wanted
