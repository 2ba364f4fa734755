"""What the first line of a text table says about the file: encoding, line ends, separators, Excel's ``sep=`` line.

A CSV parser reads any bytes as something, and then complains of what it made out of them. This judges the bytes.
"""

import re
from collections.abc import Sequence
from pathlib import Path

# more than any header; a header of 1,000 columns has some 20,000 bytes
_SAMPLE = 65_536
# a title, a comment and some blank lines are found above a header, not more
_LINES_ABOVE = 20

_MAGIC = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"PAR1": "Parquet",
    b"%PDF": "a PDF",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"SQLite format 3": "an SQLite database",
}

# longest first: UTF-32's begins with UTF-16's
_BYTE_ORDER_MARKS = {
    b"\xff\xfe\x00\x00": "utf-32-le",
    b"\x00\x00\xfe\xff": "utf-32-be",
    b"\xef\xbb\xbf": "utf-8",
    b"\xff\xfe": "utf-16-le",
    b"\xfe\xff": "utf-16-be",
}

_SEPARATORS = {
    ",": "commas",
    ";": "semicolons (';')",
    "\t": "tabs",
    "|": "vertical bars ('|')",
    "\x01": "the control character 1",
    "\x1f": "the control character 31",
    "^": "carets ('^')",
    "~": "tildes ('~')",
    ":": "colons (':')",
    "，": "full-width commas ('，')",
    " ": "blanks",
}
# taken for separators whatever the columns are called
_USUAL = ";\t|"

# a quote behind anything else is text: 5" pipe
_OPENS = ("", *_SEPARATORS)

_SEP_LINE = re.compile(r'\s*"?\s*sep\s*=\s*(?P<mark>\\t|[^"\w])?\s*"?[\s,;|]*', re.IGNORECASE)


def content_problem(head: bytes) -> str | None:
    """Return what a file is by its first bytes, where that is no text table ("an Excel workbook"); else None."""
    return next((what for magic, what in _MAGIC.items() if head.startswith(magic)), None)


def first_line_problem(path: Path, needed: Sequence[str]) -> str | None:
    """Return what is wrong with the beginning of a text table and what to change, in one line.

    UTF-8 with and without a byte order mark, lines that end with LF, CRLF or CRCRLF, and quoted fields are fine.
    Blank lines, a title or a comment above the header are not: the header is the first line.

    Parameters
    ----------
    path : Path
        An existing file. Its first 64 KiB are read.
    needed : sequence of str
        Column names by which the header is known.

    Returns
    -------
    str or None
        "line 1: ...; save the file ..." without the path, for an error of the caller's own class. None where nothing
        is wrong, also where columns are only missing, which is the caller's to say.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    with path.open("rb") as stream:
        head = stream.read(_SAMPLE)
    if what := content_problem(head):
        return f"the content is {what}, not CSV; unpack or export it as UTF-8 CSV"
    encoding, start = _encoding(head)
    if encoding is None:
        return "the content is binary (it holds NUL bytes), not CSV; export it as UTF-8 CSV"
    text = head[start:].decode(encoding, errors="replace").removeprefix("\ufeff")
    if (mark := text.lstrip()[:1]) and mark in "<{[":
        kind = "HTML or XML" if mark == "<" else "JSON"
        return f"line 1: the content looks like {kind} ({_shown(text)!r}), not CSV; export it as UTF-8 CSV"
    lines, bare_return, open_quote = _records(text)
    if not any(line.strip() for line in lines):
        return "the file holds nothing but blank lines; expected a header and one row per line under it"
    # what is wrong; what to do, and how to save the file
    wrong, advice, kept = [], [], []
    if encoding != "utf-8":
        wrong.append(f"the text is {encoding[:6].upper()}, not UTF-8")
    elif not _is_utf8(head[start:]):
        wrong.append("the text is not UTF-8 (it may be Windows-1252 or Latin-1)")
    if wrong:
        kept.append("as UTF-8 CSV")
    if bare_return:
        wrong.append("lines end with a carriage return alone")
        kept.append("with line ends LF or CRLF")
    header = next(number for number, line in enumerate(lines) if line.strip())
    if _SEP_LINE.fullmatch(lines[header]):
        shown = lines[header].strip(" ").replace("\t", "\\t")
        wrong.append(f"it is Excel's line {shown!r}, not the header".replace("\\\\", "\\"))
        advice.append(f"remove line {header + 1}")
        header = min(header + 1, len(lines) - 1)
    elif header:
        wrong.append("it is empty, not the header")
        advice.append(f"remove the {_lines(header)} above the header")
    elif below := _header_below(lines, needed):
        wrong.append(f"it is {_shown(lines[0])!r}, and the header seems to be line {below + 1}")
        advice.append(f"remove the {_lines(below)} above the header")
        header = below
    if separator := _other_separator(lines[header], needed):
        wrong.append(f"columns are separated by {_SEPARATORS[separator]}, not commas")
        kept.append("with commas" + (" and decimal points" if separator == ";" else ""))
    elif (inner := _wrapped(lines[header])) and _known(inner, ",", needed) > 1:
        wrong.append("the whole line stands in one pair of quotes")
        advice.append("remove the quotes around whole lines")
    if open_quote and not wrong:
        wrong.append("a quote is opened in the header and not closed")
        advice.append("close it, or write the columns' names without quotes")
    if kept:
        advice.append(f"save the file {' '.join(kept)}")
    return f"line 1: {', '.join(wrong)}; {' and '.join(advice)}" if wrong else None


def _encoding(head: bytes) -> tuple[str | None, int]:
    """The encoding by its mark or its zeros, and the bytes of the mark; None for what is no text."""
    for mark, name in _BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return name, len(mark)
    # a NUL in a later line is that row's own matter
    first = head.lstrip(b"\r\n").partition(b"\n")[0]
    if b"\x00" not in first:
        return "utf-8", 0
    even, odd = head[0:100:2], head[1:100:2]
    # the header is ASCII, so that every second byte is zero; texts of other scripts follow later
    if odd.count(0) > 0.7 * len(odd) and not even.count(0):
        return "utf-16-le", 0
    if even.count(0) > 0.7 * len(even) and not odd.count(0):
        return "utf-16-be", 0
    return None, 0


def _is_utf8(head: bytes) -> bool:
    """Whether the header's own line is UTF-8; a later row of another encoding is that row's fault."""
    first = re.match(rb"\s*[^\r\n]*", head)
    line = first[0] if first else b""
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        # the sample ends within a letter
        return len(line) == len(head) and error.reason == "unexpected end of data"
    return True


def _records(text: str) -> tuple[list[str], bool, bool]:
    """The first records as text, whatever separates their fields.

    Returns
    -------
    records : list of str
        At most 21; line breaks within quotes belong to the record, and blank ones are kept.
    bare_return : bool
        A carriage return outside quotes ends the first record that is not blank, without a line feed.
    open_quote : bool
        The first record's quotes are not closed within the sample.
    """
    records: list[str] = []
    bare_return = quoted = False
    start = place = 0
    while place < len(text) and len(records) <= _LINES_ABOVE:
        sign = text[place]
        if quoted:
            if sign == '"':
                if text[place + 1 : place + 2] == '"':
                    place += 1
                else:
                    quoted = False
        elif sign == '"' and text[start:place].rstrip(" ")[-1:] in _OPENS:
            quoted = True
        elif sign in "\r\n":
            records.append(text[start:place])
            returns = re.compile(r"\r+\n|\r|\n").match(text, place)
            end = returns.end() if returns else place + 1
            if not any(record.strip() for record in records[:-1]) and records[-1].strip():
                bare_return = not text[place:end].endswith("\n") and end < len(text)
            start, place = end, end
            continue
        place += 1
    # where the quotes do not match, the line alone is judged
    if quoted and len(records) == 0:
        return [re.split(r"[\r\n]", text, maxsplit=1)[0]], False, True
    if start < len(text) and len(records) <= _LINES_ABOVE:
        records.append(text[start:])
    return records, bare_return, False


def _fields(line: str, separator: str) -> list[str]:
    """A header's names; a separator within quotes separates nothing."""
    mark = re.escape(separator)
    parts = re.findall(rf'(?:^|(?<={mark}))(?:\s*"(?:[^"]|"")*"[^{mark}]*|[^{mark}]*)', line)
    return [part.strip().strip('"').strip() for part in parts]


def _wrapped(line: str) -> str | None:
    """What stands in the one pair of quotes around a whole line, if there is one."""
    names = _fields(line, ",")
    return names[0].replace('""', '"') if len(names) == 1 and line.strip().startswith('"') else None


def _known(line: str, separator: str, needed: Sequence[str]) -> int:
    """How many of the needed names are fields of a line."""
    names = {name.casefold() for name in _fields(line, separator)}
    return sum(name.casefold() in names for name in needed)


def _other_separator(line: str, needed: Sequence[str]) -> str | None:
    """The separator of a header, where it is no comma."""
    # the first of equals: the comma
    best = max(_SEPARATORS, key=lambda mark: _known(line, mark, needed))
    if best == "," and not _known(line, ",", needed) and len(_fields(line, ",")) == 1:
        best = max(_USUAL, key=lambda mark: len(_fields(line, mark)))
        return best if len(_fields(line, best)) > 1 else None
    # one name alone shows no separator: "sample_id" is the first field of a line under each of them
    return best if best != "," and len(_fields(line, best)) > 1 else None


def _header_below(lines: list[str], needed: Sequence[str]) -> int | None:
    """Place of the first line that names all needed columns, where the first line names none."""
    if any(_known(lines[0], mark, needed) for mark in _SEPARATORS):
        return None
    return next(
        (place for place, line in enumerate(lines)
         if any(_known(line, mark, needed) == len(needed) and len(_fields(line, mark)) > 1 for mark in _SEPARATORS)),
        None,
    )  # fmt: skip


def _lines(count: int) -> str:
    return "line" if count == 1 else f"{count} lines"


def _shown(text: str) -> str:
    line = text.strip().splitlines()[0] if text.strip() else ""
    return line if len(line) <= 40 else f"{line[:40]}..."
