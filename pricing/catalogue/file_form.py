"""What a catalogue file is by its name, and its text as UTF-8 bytes, whatever it is stored as."""

import codecs
import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import pyarrow as pa

from pricing.errors import CatalogueError

Kind = Literal["CSV", "JSON lines", "Parquet", "Excel", "table"]

EXPECTED = ".csv, .tsv, .txt, .jsonl (each also as .gz or .zst), .parquet or .xlsx"
"""Endings of the files that are read, for messages."""
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
"""Separators of CSV files that are detected."""

_KINDS: dict[str, Kind] = {
    ".csv": "CSV", ".tsv": "CSV", ".txt": "CSV", ".jsonl": "JSON lines", ".ndjson": "JSON lines", ".json": "JSON lines",
    ".parquet": "Parquet", ".xlsx": "Excel", ".xlsm": "Excel",
}  # fmt: skip
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_TEXT_KINDS = ("CSV", "JSON lines")
_CHUNK = 1 << 18


@dataclass(frozen=True)
class FileForm:
    """How a catalogue file is written.

    Attributes
    ----------
    kind : str
        "table" for a table in memory.
    compression : str or None
        "gzip" or "zstd", of a CSV or JSON file.
    encoding : str or None
        Encoding of a CSV or JSON file.
    mark : int
        Number of bytes of the byte order mark.
    separator : str
        Sign between the fields of a CSV file.
    lines_above : int
        Lines above the header: 1 where Excel's ``sep=`` line is there.
    sheet : str or None
        Name of the sheet of an Excel workbook.
    """

    kind: Kind
    compression: str | None = None
    encoding: str | None = None
    mark: int = 0
    separator: str = ","
    lines_above: int = 0
    sheet: str | None = None

    @property
    def is_worth_saying(self) -> bool:
        """Whether anything was detected that is not what catalogues are by default."""
        plain = self.kind == "CSV" and (self.separator, self.encoding, self.compression) == (",", "utf-8", None)
        return not plain and self.kind not in ("Parquet", "table")

    def __str__(self) -> str:
        said: list[str] = [self.kind]
        if self.kind == "CSV":
            said.append(f"separated by {SEPARATORS.get(self.separator, repr(self.separator))}")
        if self.encoding is not None:
            said.append(self.encoding.removesuffix("-le").removesuffix("-be").upper().replace("CP", "Windows-"))
        said += [f"compressed with {self.compression}"] if self.compression else []
        said += [f"sheet {self.sheet!r}"] if self.sheet is not None else []
        return ", ".join(said)


def form_by_name(path: Path) -> FileForm:
    """Return kind and compression of a file by the end of its name.

    Raises
    ------
    CatalogueError
        The file is missing or no file, or files of its type are not read.
    """
    if not path.exists():
        raise CatalogueError(f"{path}: there is no such file; give the path of a catalogue: {EXPECTED}")
    if not path.is_file():
        raise CatalogueError(f"{path}: is not a file; give the path of a catalogue: {EXPECTED}")
    before, last = ["", "", *(suffix.lower() for suffix in path.suffixes)][-2:]
    compression = _COMPRESSIONS.get(last)
    suffix = before if compression else last
    kind = _KINDS.get(suffix)
    if kind is None or (compression and kind not in _TEXT_KINDS):
        found = suffix + last if compression else last or "(none)"
        advice = "; save it as .xlsx" if suffix in (".xls", ".xlsb", ".ods", ".numbers") else ""
        raise CatalogueError(f"{path}: files of type {found} are not read; expected {EXPECTED}{advice}")
    return FileForm(kind, compression)


def open_bytes(path: Path, compression: str | None) -> BinaryIO:
    """Open a file's bytes, decompressed.

    Raises
    ------
    CatalogueError
        The file cannot be opened; also while it is read, where it is damaged.
    """
    try:
        if compression is None:
            return path.open("rb")
        return _buffered(_Steps(path, pa.input_stream(str(path), compression=compression), None))
    except OSError as error:
        raise CatalogueError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None


def open_text(path: Path, form: FileForm) -> BinaryIO:
    """Open a text file's bytes as UTF-8, from behind its byte order mark.

    What is no text in the file's own encoding is no UTF-8 here either, so that one reader finds it in both.

    Raises
    ------
    CatalogueError
        As `open_bytes`.
    """
    stream = open_bytes(path, form.compression)
    stream.read(form.mark)
    if form.encoding in (None, "utf-8"):
        return stream
    return _buffered(_Steps(path, stream, form.encoding))


def _buffered(steps: io.RawIOBase) -> BinaryIO:
    return io.BufferedReader(steps, _CHUNK)


class _Steps(io.RawIOBase):
    """Bytes of a stream, with its errors made errors of the catalogue, and as UTF-8 where they are in an encoding."""

    def __init__(self, path: Path, source: BinaryIO, encoding: str | None) -> None:
        self._path = path
        self._source = source
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogateescape") if encoding == "cp1252" else None
        if encoding is not None and self._decoder is None:
            self._decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        while not self._rest:
            read = self._read(len(buffer))
            if self._decoder is None:
                self._rest = read
            else:
                self._rest = self._decoded(read)
            if not read:
                break
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count

    def close(self) -> None:
        self._source.close()
        super().close()

    def _read(self, size: int) -> bytes:
        try:
            return self._source.read(size)
        except OSError as error:
            raise CatalogueError(
                f"{self._path}: cannot be decompressed ({' '.join(str(error).split())}); copy or export the file again"
            ) from None

    def _decoded(self, read: bytes) -> bytes:
        assert self._decoder is not None
        try:
            text = self._decoder.decode(read, final=not read)
        except UnicodeDecodeError:
            # half a character at the file's end
            text = "\udcff"
        # surrogates, which stand for what is no text, become bytes that are no UTF-8
        return text.encode("utf-8", "surrogatepass")
