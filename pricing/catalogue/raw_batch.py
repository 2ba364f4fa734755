"""Rows of a catalogue as they stand in its file, before any value is judged; what all formats are read into."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pyarrow as pa

from pricing.catalogue.file_form import FileForm
from pricing.config.columns import ColumnsConfig
from pricing.errors import CatalogueError

BATCH_ROWS = 20_000
"""Rows that are in memory at a time ..."""
BATCH_CHARACTERS = 50_000_000
"""... or fewer, where they hold this much text."""
ANY = "any"
"""Role of a column whose values are read as text, whatever they are."""
NUMERIC = ("price", "number", "amount")
"""Roles whose values may be numbers of any kind."""
JOINED = {"image": "\n", "text": "\n", "category": " > ", ANY: "\n"}
"""Roles whose fields may be lists, and what stands between the values of one then."""


@dataclass(frozen=True)
class Rejected:
    """A row that cannot be used: file name, data row from 1, line of a text or sheet, id as found, why, kind of why."""

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


class RawTable(ABC):
    """A catalogue file or table, of which no more than the beginning is read yet.

    Attributes
    ----------
    name, file : str
        What it is called in messages: its path, and its name alone.
    form : FileForm
        How it is written.
    columns : list of str
        Names of all columns, as they stand in the file; a name may stand there twice.
    """

    def __init__(self, source: Path | pa.Table, form: FileForm, columns: list[str]) -> None:
        self.name, self.file = source_name(source), source_name(source, short=True)
        self.form = form
        self.columns = columns

    @abstractmethod
    def batches(self, wanted: dict[str, str], roles: ColumnsConfig | None) -> Iterator[RawBatch]:
        """Read wanted columns batch by batch.

        Parameters
        ----------
        wanted : dict of str to str
            Name by role (``ROLE:NAME``) to name among `columns`, where each stands once. Those of the role `ANY` are
            read as text, whatever they are.
        roles : ColumnsConfig or None
            Columns by which a product is known again after a broken row.

        Raises
        ------
        CatalogueError
            A wanted column holds nothing that its role can have, or the file is damaged.
        """

    def head(self, count: int) -> pl.DataFrame:
        """Return the first rows of all columns as text; "" for what is missing.

        Rows whose structure is broken, those that hold nothing, and columns whose name stands there twice are left out.
        Lists are joined by line breaks.

        Raises
        ------
        CatalogueError
            Most of these rows are broken.
        """
        wanted = {f"{ANY}:{name}": name for name in self.columns if self.columns.count(name) == 1}
        frames = [pl.DataFrame(schema=dict.fromkeys(wanted, pl.String))]
        broken: list[Rejected] = []
        for batch in self.batches(wanted, None):
            frames.append(batch.frame.select(*wanted))
            broken += batch.broken
            if sum(frame.height for frame in frames) >= count:
                break
        if len(broken) > sum(frame.height for frame in frames):
            raise CatalogueError(f"{self.name}: {len(broken):,} of the first rows cannot be read, such as {broken[0]}")
        return pl.concat(frames).head(count).rename(wanted)
