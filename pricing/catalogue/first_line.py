"""What the first line of a text table says about the file: line ends, separators, Excel's ``sep=`` line.

A CSV parser reads any bytes as something, and then complains of what it made out of them. This judges the bytes.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import replace

from pricing.catalogue.file_form import SEPARATORS, FileForm
from pricing.catalogue.first_bytes import content_problem, name_advice, text_encoding

# more than any header; a header of 1,000 columns has some 20,000 bytes
SAMPLE = 65_536
# a title, a comment and some blank lines are found above a header, not more
_LINES_ABOVE = 20

# others are named where they are found, and read where they are set
_OTHERS = {
    "\x01": "the control character 1",
    "\x1f": "the control character 31",
    "^": "carets ('^')",
    "~": "tildes ('~')",
    ":": "colons (':')",
    "，": "full-width commas ('，')",
    " ": "blanks",
}
_SEPARATORS = {**SEPARATORS, **_OTHERS}

# a quote behind anything else is text: 5" pipe
_OPENS = ("", *_SEPARATORS)

_SEP_LINE = re.compile(r'\s*"?\s*sep\s*=\s*(?P<mark>\\t|[^"\w])?\s*"?[\s,;|]*', re.IGNORECASE)


def read_first_lines(
    head: bytes, form: FileForm, needed: Sequence[str], separator: str | None = None, encoding: str | None = None
) -> tuple[FileForm, str | None]:
    """Find out how a text table is written.

    UTF-8 and UTF-16 with and without a byte order mark, lines that end with LF, CRLF or CRCRLF, quoted fields, the
    usual separators and Excel's ``sep=`` line are fine. Blank lines, a title or a comment above the header are not.

    Parameters
    ----------
    head : bytes
        Beginning of the file, decompressed: `SAMPLE` bytes, or all of it.
    form : FileForm
        What is known by the file's name.
    needed : sequence of str
        Column names by which the header is known; without any, the separator is the one that all lines agree on.
    separator, encoding : str, optional
        What is declared, and so not detected. A byte order mark counts more than a declared encoding.

    Returns
    -------
    form : FileForm
        With encoding, mark, separator and lines above the header.
    problem : str or None
        What is wrong with the first lines and what to change, in one line without the path. None where nothing is,
        also where columns are only missing, which is the caller's to say.
    """
    if what := content_problem(head):
        return form, f"the content is {what}, not CSV; unpack or export it as UTF-8 CSV{name_advice(what)}"
    found, mark = text_encoding(head, encoding)
    if found is None:
        return form, "the content is binary (it holds NUL bytes), not CSV; export it as UTF-8 CSV"
    if found.startswith("utf-32"):
        return form, "line 1: the text is UTF-32; save the file as UTF-8 CSV"
    form = replace(form, encoding=found, mark=mark)
    text = head[mark:].decode(found, errors="replace").removeprefix("\ufeff")
    if (sign := text.lstrip()[:1]) and sign in "<{[":
        kind = "HTML or XML" if sign == "<" else "JSON"
        advice = "" if sign == "<" else ", or name a file of one object per line .jsonl"
        seen = f"line 1: the content looks like {kind} ({_shown(text)!r}), not CSV"
        return form, f"{seen}; export it as UTF-8 CSV{advice}"
    lines, bare_return, open_quote = _records(text)
    if not any(line.strip() for line in lines):
        return form, "the file holds nothing but blank lines; expected a header and one row per line under it"
    # what is wrong; what to do, and how to save the file
    wrong, advices, kept, settings = [], [], [], []
    if found == "utf-8" and not _is_utf8(head[mark:]):
        wrong.append("the text is not UTF-8 (it may be Windows-1252 or Latin-1)")
        kept.append("as UTF-8 CSV")
        settings.append('catalogue.encoding="cp1252"')
    if bare_return:
        wrong.append("lines end with a carriage return alone")
        kept.append("with line ends LF or CRLF")
    header = next(number for number, line in enumerate(lines) if line.strip())
    said = _SEP_LINE.fullmatch(lines[0])
    if said:
        form = replace(form, lines_above=1)
        lines = lines[1:]
        if not any(line.strip() for line in lines):
            return form, "the file holds nothing but Excel's sep= line; expected a header and one row per line under it"
        separator = separator or _said_separator(said["mark"], lines[0], needed)
        header = 0
    elif header:
        wrong.append("it is empty, not the header")
        advices.append(f"remove the {_lines(header)} above the header")
    elif below := _header_below(lines, needed, separator):
        wrong.append(f"it is {_shown(lines[0])!r}, and the header seems to be line {below + 1}")
        advices.append(f"remove the {_lines(below)} above the header")
        header = below
    # the last record of a sample may be half a one
    below_header = lines[header + 1 :] if len(head) < SAMPLE else lines[header + 1 : -1]
    form = replace(form, separator=separator or _separator(lines[header], below_header, needed))
    if form.separator in _OTHERS and separator is None:
        wrong.append(f"columns are separated by {_OTHERS[form.separator]}, not commas")
        kept.append("with commas")
        settings.append(f"catalogue.separator={json.dumps(form.separator, ensure_ascii=False)}")
    elif (inner := _wrapped(lines[header])) and _known(inner, ",", needed) > 1:
        wrong.append("the whole line stands in one pair of quotes")
        advices.append("remove the quotes around whole lines")
    if open_quote and not wrong:
        wrong.append("a quote is opened in the header and not closed")
        advices.append("close it, or write the columns' names without quotes")
    if kept:
        also = f", or set {' and '.join(settings)}" if settings else ""
        advices.append(f"save the file {' '.join(kept)}{also}")
    return form, f"line {form.lines_above + 1}: {', '.join(wrong)}; {' and '.join(advices)}" if wrong else None


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


def _separator(header: str, below: list[str], needed: Sequence[str]) -> str:
    """The separator of a table by the names that are known in its header, or else by what all its lines agree on."""
    # the first of equals: the comma
    best = max(_SEPARATORS, key=lambda mark: _known(header, mark, needed))
    # one name alone shows no separator: "sample_id" is the first field of a line under each of them
    if _known(header, best, needed) and len(_fields(header, best)) > 1:
        return best
    return max(SEPARATORS, key=lambda mark: _agreement(header, below, mark))


def _agreement(header: str, below: list[str], mark: str) -> tuple[bool, float, int]:
    """Whether a separator splits a header, how many of the lines it splits into as many fields, into how many."""
    count = len(_fields(header, mark))
    lines = [line for line in below if line.strip()]
    agreed = sum(len(_fields(line, mark)) == count for line in lines) / len(lines) if lines else 1.0
    return count > 1, agreed, count


def _said_separator(mark: str | None, header: str, needed: Sequence[str]) -> str | None:
    """The separator of Excel's line, unless the header shows that the line was saved by something else."""
    mark = "\t" if mark == "\\t" else mark
    if mark is None or any(_known(header, other, needed) > _known(header, mark, needed) for other in SEPARATORS):
        return None
    return mark


def _header_below(lines: list[str], needed: Sequence[str], separator: str | None) -> int | None:
    """Place of the header, where the first line names no needed column: the line that names all, or a table's first."""
    if len(lines) > 1 and re.match(r'\s*"?# ?(required|optional)\b', lines[0], re.IGNORECASE):
        # Meta's template says so above each column
        return 1
    # one alone may be a word of a title: "Price list"
    if needed and any(_known(lines[0], mark, needed) >= min(2, len(needed)) for mark in _SEPARATORS):
        return None
    split = ((place, line, mark) for place, line in enumerate(lines) if needed for mark in _SEPARATORS)
    named = (place for place, line, mark in split
             if _known(line, mark, needed) == len(needed) and len(_fields(line, mark)) > 1)  # fmt: skip
    return next(named, None) or _table_below(lines, separator)


def _table_below(lines: list[str], separator: str | None) -> int | None:
    """Place of the first line of a table of three columns or more, where the first line names less than half."""
    tables = []
    for mark in (separator,) if separator else SEPARATORS:
        widths = [len(_fields(line, mark)) for line in lines[1:] if line.strip()]
        width = max(widths, key=widths.count, default=0)
        agreed = widths.count(width) / max(len(widths), 1)
        places = [place for place, line in enumerate(lines) if 2 * sum(map(bool, _fields(line, mark))) >= width]
        if width > 1 and agreed > 0.5 and places:
            tables.append((agreed, places[0] == 0, width, places[0]))
    _, first, width, place = max(tables, default=(0.0, True, 0, 0))
    return None if first or width < 3 else place


def _lines(count: int) -> str:
    return "line" if count == 1 else f"{count} lines"


def _shown(text: str) -> str:
    line = text.strip().splitlines()[0] if text.strip() else ""
    return line if len(line) <= 40 else f"{line[:40]}..."
