"""The structure of a CSV catalogue: records, line numbers, encoding, quotes.

A fast CSV reader either stops at the first broken quote without saying which product it belongs to, or swallows it.
This scan walks the lines once, strictly and in bounded memory, and finds the next whole record after a broken one.
"""

import csv
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from pricing.catalogue.file_form import FileForm
from pricing.catalogue.records import Record
from pricing.config.columns import ColumnsConfig
from pricing.errors import CatalogueError

NOT_UTF8 = (
    'it is not UTF-8 (it may be Windows-1252 or Latin-1); save the file as UTF-8, or set catalogue.encoding="cp1252"',
    "not UTF-8",
)
"""What is wrong with a row of another encoding, and the kind of it."""

# of a price as shops write it: "12,99 EUR", "$1,299.00"
_PRICE = re.compile(r"[^\d\s]{0,4}\s?[\d.,' ]*\d[\d.,' ]*-?\s?[^\d\s]{0,4}")


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
    size: int = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if self.waiting:
            entry = self.waiting.popleft()
        else:
            raw = next(self.source)
            self.size += len(raw)
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


def read_header(lines: Iterator[bytes], name: str, form: FileForm) -> tuple[list[str], int, int]:
    """Read a CSV file's header, and nothing behind it.

    Parameters
    ----------
    lines : iterator of bytes
        As of `raw_lines`.
    name : str
        The file in messages.
    form : FileForm
        Its separator, and the lines above the header.

    Returns
    -------
    header : list of str
    number, size : int
        Lines and bytes up to the header's end.

    Raises
    ------
    CatalogueError
        The file is empty or its header is not readable CSV.
    """
    taken = _Lines(lines)
    for _ in range(form.lines_above):
        next(taken, None)
    taken.begin()
    at = form.lines_above + 1
    try:
        header = next(csv.reader(taken, delimiter=form.separator, strict=True))
    except StopIteration:
        raise CatalogueError(f"{name}: the file is empty; expected a header line and one product a row") from None
    except csv.Error as error:
        raise CatalogueError(f"{name}, line {at}: the header cannot be read ({error}); is this a CSV file?") from None
    if not taken.well_encoded:
        raise CatalogueError(f"{name}, line {at}: not UTF-8; save the file as UTF-8 CSV")
    return [column.strip().removeprefix("\ufeff").strip() for column in header], taken.number, taken.size


def raw_lines(stream: BinaryIO, name: str, longest: int, number: int = 0) -> Iterator[bytes]:
    """Yield a stream's lines.

    Parameters
    ----------
    stream : file
        UTF-8 bytes.
    name : str
        The file in messages.
    longest : int
        Maximum number of bytes per line: a packed file may hold one without end.
    number : int
        Lines before the first one.

    Raises
    ------
    CatalogueError
        A line is longer.
    """
    while line := stream.readline(longest):
        number += 1
        if len(line) == longest:
            raise CatalogueError(f"{name}, line {number}: it has more than {longest:,} bytes; is this a text table?")
        yield line


def scan_records(
    lines: Iterator[bytes], header: list[str], form: FileForm, roles: ColumnsConfig | None, row: int, number: int
) -> Iterator[Record]:
    """Walk the records of a CSV file strictly, from the beginning of one of them.

    Parameters
    ----------
    lines : iterator of bytes
        As of `raw_lines`; UTF-8, quotes doubled inside quoted fields; CRLF is fine.
    header : list of str
        Names of the columns.
    form : FileForm
        The file's separator and own encoding.
    roles : ColumnsConfig or None
        Columns by which a product is known again after a broken row.
    row, number : int
        Data rows and lines before these ones.

    Yields
    ------
    Record
        Every record in file order; a broken one carries its problem. After a broken quote, the lines up to the next
        one that looks like a whole record belong to the broken record. Blank lines are skipped.
    """
    yield from _records(_Lines(lines, number=number), header, form, roles, row)


def _records(
    lines: _Lines, header: list[str], form: FileForm, roles: ColumnsConfig | None, row: int
) -> Iterator[Record]:
    width = len(header)
    separator = form.separator
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
                f"it has {len(values)} fields, expected {width}; quote every field that holds separators or line "
                "breaks, also prices such as 12,99"
            )
            if len(values) > width and not any(values[width:]):
                problem += "; if the row only ends in separators, remove them or give the header as many"
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
        return any(value.strip() for value in values)
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
