"""What a file is by its first bytes: which kind of file, and in which encoding its text is."""

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


def content_problem(head: bytes) -> str | None:
    """Return what a file is by its first bytes, where that is no text table ("an Excel workbook"); else None."""
    return next((what for magic, what in _MAGIC.items() if head.startswith(magic)), None)


def name_advice(what: str) -> str:
    """Return which ending of its name makes a file be read that `content_problem` calls so; "" for none."""
    ending = {"a gzip archive": ".csv.gz", "a zstd archive": ".csv.zst", "Parquet": ".parquet"}.get(what)
    ending = ".xlsx" if what == _MAGIC[b"PK\x03\x04"] else ending
    return f", or let its name end in {ending}" if ending else ""


def text_encoding(head: bytes, declared: str | None = None) -> tuple[str | None, int]:
    """Return a text's encoding and the number of bytes of its mark; None for what is no text.

    Parameters
    ----------
    head : bytes
        Beginning of the file.
    declared : str, optional
        Is believed where there is no byte order mark.
    """
    for mark, name in _BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return name, len(mark)
    if declared not in (None, "utf-16"):
        return declared, 0
    # a NUL in a later line is that row's own matter
    first = head.lstrip(b"\r\n").partition(b"\n")[0]
    if b"\x00" not in first and declared is None:
        return "utf-8", 0
    even, odd = head[0:100:2], head[1:100:2]
    # the header is ASCII, so that every second byte is zero; texts of other scripts follow later
    if odd.count(0) > 0.7 * len(odd) and not even.count(0):
        return "utf-16-le", 0
    if even.count(0) > 0.7 * len(even) and not odd.count(0):
        return "utf-16-be", 0
    return ("utf-16-le", 0) if declared else (None, 0)
