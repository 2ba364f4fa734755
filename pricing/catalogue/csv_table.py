"""A CSV file as batches of rows: whole blocks of it at a time, and record by record from the first broken one on."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import polars as pl

from pricing.catalogue import raw_batch
from pricing.catalogue.csv_scan import raw_lines, read_header, scan_records
from pricing.catalogue.file_form import FileForm, open_text
from pricing.catalogue.raw_batch import RawBatch, RawTable
from pricing.catalogue.records import record_batches
from pricing.config.columns import ColumnsConfig

BLOCK_BYTES = 4_000_000
"""Bytes that are parsed at a time where nothing is broken."""

_BLOCKS = 4
"""Blocks within which a record has to end."""
# a line takes a few times the longest field's bytes; one without end, of a packed file, would fill the memory
_LINE = 4


class CsvTable(RawTable):
    """A CSV file."""

    def __init__(self, path: Path, form: FileForm) -> None:
        self._path = path
        # of the whole process, and 131,072 by itself: less than a description with an image written into it
        csv.field_size_limit(raw_batch.BATCH_CHARACTERS)
        self._longest = _LINE * raw_batch.BATCH_CHARACTERS
        with open_text(path, form) as stream:
            lines = raw_lines(stream, str(path), self._longest)
            header, self._lines, self._size = read_header(lines, str(path), form)
        super().__init__(path, form, header)

    def batches(self, wanted: dict[str, str], roles: ColumnsConfig | None) -> Iterator[RawBatch]:
        """As `RawTable.batches`.

        A block of whole records that Python's parser takes without complaint is what the strict scan makes of it. From
        the first one on that holds anything else, the strict scan reads.
        """
        places = [self.columns.index(name) for name in wanted.values()]
        row, line, begin = 0, self._lines, self._size
        for block in self._blocks():
            read = self._whole(block, list(wanted), places, row, line) if block else None
            if read is None:
                break
            batch, rows, lines = read
            yield batch
            row, line, begin = row + rows, line + lines, begin + len(block)
        else:
            return
        at_id = self.columns.index(roles.id) if roles else 0
        with open_text(self._path, self.form) as stream:
            _skip(stream, begin)
            lines_left = raw_lines(stream, self.name, self._longest, line)
            records = scan_records(lines_left, self.columns, self.form, roles, row, line)
            yield from record_batches(self.file, records, list(wanted), places, at_id)

    def _blocks(self) -> Iterator[bytes]:
        """The file behind its header in pieces that end where a record seems to end; b"" where none seems to."""
        with open_text(self._path, self.form) as stream:
            _skip(stream, self._size)
            block = b""
            while more := stream.read(BLOCK_BYTES):
                block += more
                end = _records_end(block)
                if end:
                    yield block[:end]
                    block = block[end:]
                elif len(block) > _BLOCKS * BLOCK_BYTES:
                    # a quote in an unquoted field: the strict scan is as fast as looking further
                    yield b""
                    return
            if block:
                yield block

    def _whole(
        self, block: bytes, wanted: list[str], places: list[int], row: int, line: int
    ) -> tuple[RawBatch, int, int] | None:
        """A batch of a block's records, its rows and lines; None where the strict scan has something to say."""
        rows, numbers, lines = [], [], []
        width, first, empty = len(self.columns), row, 0
        try:
            reader = csv.reader(
                io.StringIO(block.decode("utf-8"), newline="\n"), delimiter=self.form.separator, strict=True
            )
            begin = 0
            for values in reader:
                if values:
                    row += 1
                    if (not values[0] or values[0].isspace()) and not any(value.strip() for value in values):
                        empty += 1
                    elif len(values) != width:
                        return None
                    else:
                        rows.append(values)
                        numbers.append(row)
                        lines.append(line + begin + 1)
                begin = reader.line_num
        except (UnicodeDecodeError, csv.Error):
            return None
        columns = list(zip(*rows, strict=True)) or [()] * width
        data = {name: pl.Series(name, columns[place], pl.String) for name, place in zip(wanted, places, strict=True)}
        frame = pl.DataFrame(
            {**data, "row": pl.Series(numbers, dtype=pl.Int64), "line": pl.Series(lines, dtype=pl.Int64)}
        )
        return RawBatch(frame, [], empty), row - first, begin


def _records_end(block: bytes) -> int:
    """Where the last record of a block ends, by its line ends and quotes; 0 where none seems to.

    Of well-formed records each holds an even number of quotes. Elsewhere the end may be a wrong one, which a strict
    parser notices.
    """
    end = block.rfind(b"\n") + 1
    odd = block.count(b'"', 0, end) % 2
    while odd and end:
        before = block.rfind(b"\n", 0, end - 1) + 1
        odd = (odd + block.count(b'"', before, end)) % 2
        end = before
    return end


def _skip(stream: BinaryIO, size: int) -> None:
    while size:
        size -= len(stream.read(min(size, BLOCK_BYTES)))
