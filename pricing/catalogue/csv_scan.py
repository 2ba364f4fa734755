"""The structure of a CSV catalogue: records, line numbers, encoding, quotes.

A fast CSV reader either stops at the first broken quote without saying which product it belongs to, or swallows it.
This scan walks the file once, strictly and in bounded memory, and finds the next whole record after a broken one.
"""

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pricing.errors import CatalogueError

NOT_UTF8 = ("it is not UTF-8 (it may be Windows-1252 or Latin-1); save the file as UTF-8", "not UTF-8")
"""What is wrong with a row of another encoding, and the kind of it."""


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


def scan_csv(path: Path, longest: int) -> tuple[list[str], Iterator[Record]]:
    """Walk a CSV file strictly.

    Parameters
    ----------
    path : Path
        UTF-8, comma separated, quotes doubled inside quoted fields; a byte order mark and CRLF are fine.
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
        The file is empty or its header is not readable UTF-8 CSV.
    """
    lines = _Lines(_raw_lines(path))
    # of the whole process, and 131,072 by itself: less than a description with an image written into it
    csv.field_size_limit(longest)
    try:
        header = next(csv.reader(lines, strict=True))
    except StopIteration:
        raise CatalogueError(f"{path}: the file is empty; expected a header line and one product a row") from None
    except csv.Error as error:
        raise CatalogueError(f"{path}, line 1: the header cannot be read ({error}); is this a CSV file?") from None
    if not lines.well_encoded:
        raise CatalogueError(f"{path}, line 1: not UTF-8; save the file as UTF-8 CSV")
    return [name.strip().removeprefix("\ufeff").strip() for name in header], _records(lines, header)


def _raw_lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        mark = stream.read(3)
        if mark != b"\xef\xbb\xbf":
            stream.seek(0)
        yield from stream


def _records(lines: _Lines, header: list[str]) -> Iterator[Record]:
    width = len(header)
    names = [name.strip() for name in header]
    row = 0
    recovering = False
    reader = csv.reader(lines, strict=True)
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
            values = [text.split(",", 1)[0].strip('"').strip()]
            problem, kind = _explain(error, sum(len(taken) for taken, _ in lines.taken))
            lines.back_to_second_line()
            reader = csv.reader(lines, strict=True)
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
        if recovering and not _plausible(names, values):
            if len(lines.taken) > 1:
                lines.back_to_second_line()
                reader = csv.reader(lines, strict=True)
            continue
        recovering = False
        row += 1
        if not lines.well_encoded:
            problem, kind = NOT_UTF8
        elif len(values) != width:
            problem = (
                f"it has {len(values)} fields, expected {width}; quote every text that holds commas or line breaks"
            )
            kind = "another number of fields"
        yield Record(row, line, values, problem, kind)


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


def _plausible(names: list[str], values: list[str]) -> bool:
    """Whether a record read after a broken one is a product, and not a piece of the broken one's text."""
    if len(values) != len(names):
        return False
    fields = dict(zip(names, values, strict=True))
    number = fields.get("sample_id", "")
    if not number or number != number.strip() or any(blank in number for blank in " \t\r\n"):
        return False
    if any(blank in fields.get("image_link", "").strip() for blank in " \t\r\n"):
        return False
    if "price" in fields:
        try:
            float(fields["price"])
        except ValueError:
            return False
    return True
