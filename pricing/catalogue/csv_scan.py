"""The structure of a CSV catalogue: records, line numbers, encoding, quotes.

A fast CSV reader either stops at the first broken quote without saying which product it belongs to, or swallows it.
This scan walks the file once, strictly and in bounded memory, and finds the next whole record after a broken one.
"""

import csv
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import polars as pl

from pricing.catalogue import raw_batch
from pricing.catalogue.file_form import FileForm, open_text
from pricing.catalogue.raw_batch import RawBatch, RawTable, Rejected
from pricing.config.columns import ColumnsConfig
from pricing.errors import CatalogueError

NOT_UTF8 = (
    'it is not UTF-8 (it may be Windows-1252 or Latin-1); save the file as UTF-8, or set catalogue.encoding="cp1252"',
    "not UTF-8",
)
"""What is wrong with a row of another encoding, and the kind of it."""

# of a price as shops write it: "12,99 EUR", "$1,299.00"
_PRICE = re.compile(r"[^\d\s]{0,4}\s?[\d.,' ]*\d[\d.,' ]*-?\s?[^\d\s]{0,4}")
# a line takes a few times the longest field's bytes; one without end (of a packed file) would fill the memory
_LINE = 4


@dataclass(frozen=True)
class Record:
    """One data record of a CSV file.

    Attributes
    ----------
    row : int
        Data row, from 1 (the header is not counted).
    line : int
        Line of the file on which the record starts, from 1 (the header is line 1).
    values : list of str
        The record's fields as text; what could be made out of them where the record is broken. None of them where
        all are blank, however many there are.
    problem : str or None
        What is wrong with the record's structure, and what to do.
    kind : str
        What is wrong, without the figures; "" where nothing is.
    """

    row: int
    line: int
    values: list[str]
    problem: str | None = None
    kind: str = ""


@dataclass
class _Lines:
    """Lines of a file, decoded one by one, that can be pushed back.

    ``taken`` holds the lines handed out since the last :meth:`begin`, so that a broken record can be read again from
    its second line.
    """

    source: Iterator[bytes]
    taken: list[tuple[str, bool]] = field(default_factory=list)
    waiting: deque[tuple[str, bool]] = field(default_factory=deque)
    number: int = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if self.waiting:
            entry = self.waiting.popleft()
        else:
            raw = next(self.source)
            try:
                entry = (raw.decode("utf-8"), True)
            except UnicodeDecodeError:
                entry = (raw.decode("utf-8", errors="replace"), False)
        self.taken.append(entry)
        self.number += 1
        return entry[0]

    def begin(self) -> None:
        self.taken.clear()

    def back_to_second_line(self) -> None:
        again = self.taken[1:]
        self.waiting.extendleft(reversed(again))
        self.number -= len(again)
        self.taken.clear()

    @property
    def well_encoded(self) -> bool:
        return all(good for _, good in self.taken)


def scan_csv(
    stream: BinaryIO, name: str, form: FileForm, roles: ColumnsConfig | None, longest: int
) -> tuple[list[str], Iterator[Record]]:
    """Walk a CSV file strictly.

    Parameters
    ----------
    stream : file
        UTF-8 bytes behind the byte order mark, quotes doubled inside quoted fields; CRLF is fine.
    name : str
        The file in messages.
    form : FileForm
        Its separator, lines above the header and own encoding.
    roles : ColumnsConfig or None
        Columns by which a product is known again after a broken row.
    longest : int
        Maximum number of characters of a field; a longer one makes its record a broken one.

    Returns
    -------
    header : list of str
    records : iterator of Record
        Every record in file order; a broken one carries its problem. After a broken quote, the lines up to the next
        one that looks like a whole record belong to the broken record. Blank lines are skipped.

    Raises
    ------
    CatalogueError
        The file is empty or its header is not readable CSV; also while it is walked, where a line has no end.
    """
    lines = _Lines(_raw_lines(stream, name, _LINE * longest))
    for _ in range(form.lines_above):
        next(lines, None)
    # of the whole process, and 131,072 by itself: less than a description with an image written into it
    csv.field_size_limit(longest)
    at = form.lines_above + 1
    lines.begin()
    try:
        header = next(csv.reader(lines, delimiter=form.separator, strict=True))
    except StopIteration:
        raise CatalogueError(f"{name}: the file is empty; expected a header line and one product a row") from None
    except csv.Error as error:
        raise CatalogueError(f"{name}, line {at}: the header cannot be read ({error}); is this a CSV file?") from None
    if not lines.well_encoded:
        raise CatalogueError(f"{name}, line {at}: not UTF-8; save the file as UTF-8 CSV")
    header = [column.strip().removeprefix("\ufeff").strip() for column in header]
    return header, _records(lines, header, form, roles)


def _raw_lines(stream: BinaryIO, name: str, longest: int) -> Iterator[bytes]:
    number = 0
    while line := stream.readline(longest):
        number += 1
        if len(line) == longest:
            raise CatalogueError(f"{name}, line {number}: it has more than {longest:,} bytes; is this a CSV file?")
        yield line


def _records(lines: _Lines, header: list[str], form: FileForm, roles: ColumnsConfig | None) -> Iterator[Record]:
    width = len(header)
    separator = form.separator
    row = 0
    recovering = False
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        lines.begin()
        line = lines.number + 1
        problem, kind = None, ""
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            text = lines.taken[0][0]
            values = [text.split(separator, 1)[0].strip('"').strip()]
            problem, kind = _explain(error, sum(len(taken) for taken, _ in lines.taken))
            lines.back_to_second_line()
            reader = csv.reader(lines, delimiter=separator, strict=True)
            # still inside the broken record
            if recovering:
                continue
            row += 1
            recovering = True
            yield Record(row, line, values, problem, kind)
            continue
        if not values:
            continue
        if not recovering and all(not value or value.isspace() for value in values):
            row += 1
            yield Record(row, line, [])
            continue
        if recovering and not _plausible(header, values, roles):
            if len(lines.taken) > 1:
                lines.back_to_second_line()
                reader = csv.reader(lines, delimiter=separator, strict=True)
            continue
        recovering = False
        row += 1
        if not lines.well_encoded:
            problem, kind = not_text(form.encoding)
        elif len(values) != width:
            problem = (
                f"it has {len(values)} fields, expected {width}; quote every text that holds separators or line breaks"
            )
            kind = "another number of fields"
        yield Record(row, line, values, problem, kind)


def not_text(encoding: str | None) -> tuple[str, str]:
    """Return what is wrong with a row that is no text in its file's encoding, and the kind of it."""
    if encoding in (None, "utf-8"):
        return NOT_UTF8
    shown = encoding.removesuffix("-le").removesuffix("-be").upper()
    return f"it is not {shown}; save the file as UTF-8", f"not {shown}"


def _explain(error: csv.Error, read: int) -> tuple[str, str]:
    """What a parser's error means, and its kind; `read` characters of the record were seen."""
    reason = str(error)
    if "new-line character" in reason:
        return (
            "a carriage return stands in a field without quotes; quote the field, and end lines with LF or CRLF",
            "carriage return without quotes",
        )
    if "field larger" in reason:
        return (
            f"a text is longer than {csv.field_size_limit():,} characters ({read:,} were read from here on), or its "
            "quotes do not match; close every quoted field, and shorten the text",
            "text too long",
        )
    return (
        f"its quotes do not match ({reason}); double every quote inside a quoted field, and close the field",
        "quotes do not match",
    )


def _plausible(names: list[str], values: list[str], roles: ColumnsConfig | None) -> bool:
    """Whether a record read after a broken one is a product, and not a piece of the broken one's text."""
    if len(values) != len(names):
        return False
    if roles is None:
        return True
    fields = dict(zip(names, values, strict=True))
    number = fields.get(roles.id, "")
    if not number or number != number.strip() or any(blank in number for blank in " \t\r\n"):
        return False
    links = [fields.get(name, "").strip() for name in roles.image]
    if any(blank in link and "://" not in link for link in links for blank in " \t\r\n"):
        return False
    if roles.price in fields and not _PRICE.fullmatch(fields[roles.price].strip()):
        try:
            float(fields[roles.price])
        except ValueError:
            return False
    return True


class CsvTable(RawTable):
    """A CSV file."""

    def __init__(self, path: Path, form: FileForm) -> None:
        self._path = path
        with open_text(path, form) as stream:
            header, _ = scan_csv(stream, str(path), form, None, raw_batch.BATCH_CHARACTERS)
        super().__init__(path, form, header)

    def batches(self, wanted: dict[str, str], roles: ColumnsConfig | None) -> Iterator[RawBatch]:
        """As `RawTable.batches`."""
        with open_text(self._path, self.form) as stream:
            _, records = scan_csv(stream, self.name, self.form, roles, raw_batch.BATCH_CHARACTERS)
            yield from self._batches(records, wanted, roles)

    def _batches(
        self, records: Iterator[Record], wanted: dict[str, str], roles: ColumnsConfig | None
    ) -> Iterator[RawBatch]:
        places = [self.columns.index(name) for name in wanted.values()]
        at_id = self.columns.index(roles.id) if roles else 0
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
                broken.append(Rejected(self.file, record.row, record.line, found[:100], record.problem, record.kind))
            else:
                rows.append(record.row)
                lines.append(record.line)
                for column, place in zip(columns, places, strict=True):
                    column.append(values[place])
                    characters += len(values[place])
            if len(rows) + len(broken) == raw_batch.BATCH_ROWS or characters >= raw_batch.BATCH_CHARACTERS:
                yield batch()
                columns, rows, lines, broken, characters, empty = [[] for _ in wanted], [], [], [], 0, 0
        if rows or broken or empty:
            yield batch()
