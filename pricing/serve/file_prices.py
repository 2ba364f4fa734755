"""Pricing a file chunk by chunk: it is checked whole before the first price, so that an answer that began ends well."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from starlette.exceptions import HTTPException

from pricing.catalogue.raw_batch import Rejected
from pricing.catalogue.reading import ReadingNotes, stream_catalogue_file
from pricing.errors import CatalogueError
from pricing.run.excel_safe import excel_safe
from pricing.serve.served_model import ENDS, ServedModel, price_table

CHUNK = 200
"""Rows that are priced at a time."""
_SCHEMA = {"id": pl.String, "price": pl.Float64, **dict.fromkeys(ENDS, pl.Float64), "trust": pl.String,
           "reason": pl.String, "error": pl.String}  # fmt: skip
_EXPANSION = 20
"""A Parquet file's values may be this many times the limit of the body: a few bytes can repeat a long text."""


@dataclass(frozen=True)
class PricedFile:
    """A file that was checked and can be priced.

    Attributes
    ----------
    path : Path
        The file; its ending, .csv or .parquet, says what it is.
    model : ServedModel
        What prices it.
    as_parquet : bool
        Whether the answer is Parquet; else it is CSV.
    """

    path: Path
    model: ServedModel
    as_parquet: bool

    def check(self) -> None:
        """Read the file once.

        Raises
        ------
        HTTPException
            413 for too many rows, or values that are far larger than the file; 422 for a file that cannot be read or
            has no row that can be priced.
        """
        settings, rows = self.model.settings, 0
        try:
            if self.path.suffix == ".parquet":
                _check_expansion(self.path, _EXPANSION * settings.max_body)
            for good, bad in self._stream(ReadingNotes()):
                rows += good.height + len(bad)
                if rows > settings.max_rows:
                    said = f"the file has more than {settings.max_rows:,} products; send it in parts"
                    raise HTTPException(413, said)
        except CatalogueError as error:
            raise HTTPException(422, str(error).replace(str(self.path), "the file")) from None

    def chunks(self) -> Iterator[tuple[bytes, int, int]]:
        """Yield the answer's bytes, with the numbers of priced and refused rows in them.

        A bad row stands in its place with its error. Rows without any value are skipped, and move the errors behind
        them within their batch.
        """
        write = _ParquetWriter() if self.as_parquet else _CsvWriter(self.model.settings.excel_safe)
        notes, before, empty = ReadingNotes(), 0, 0
        for good, bad in self._stream(notes):
            # number of good rows ahead of each bad one
            ahead = [min(entry.row - 1 - before - place, good.height) for place, entry in enumerate(bad)]
            for start in range(0, max(good.height, 1), CHUNK):
                end = start + CHUNK if start + CHUNK < good.height else good.height + 1
                here = [(at, entry) for at, entry in zip(ahead, bad, strict=True) if start <= at < end]
                table = self._priced(good.slice(start, CHUNK), start, here)
                refused = table["error"].len() - table["error"].null_count()
                yield write.rows(table), table.height - refused, refused
            before += good.height + len(bad) + notes.empty_rows - empty
            empty = notes.empty_rows
        yield write.end(), 0, 0

    def _stream(self, notes: ReadingNotes) -> Iterator[tuple[pl.DataFrame, list[Rejected]]]:
        return stream_catalogue_file(
            self.path, labelled=False, config=self.model.config.catalogue, notes=notes, marks=self.model.record.marks
        )

    def _priced(self, rows: pl.DataFrame, start: int, bad: list[tuple[int, Rejected]]) -> pl.DataFrame:
        """Prices of some rows, the first of which is number ``start`` of its batch, and bad rows among them."""
        most, places = self.model.settings.max_text, pl.int_range(start, start + rows.height, eager=True)
        rows = rows.with_columns(at=places, too_long=pl.col("catalog_content").str.len_chars() > most)
        said = pl.format("has {} characters; at most {} are read, shorten its texts",
                         pl.col("catalog_content").str.len_chars(), most)  # fmt: skip
        long = rows.filter("too_long").select("at", id="sample_id", error=said)
        good = rows.filter(~pl.col("too_long"))
        found = {"at": [at for at, _ in bad], "id": [entry.sample_id for _, entry in bad],
                 "error": [entry.reason for _, entry in bad]}  # fmt: skip
        parts = [pl.DataFrame(found, schema={"at": pl.Int64, "id": pl.String, "error": pl.String}), long]
        if good.height:
            priced = self.model.score(good.drop("at", "too_long"))
            parts.append(price_table(good["sample_id"], priced).with_columns(at=good["at"]))
        # a bad row stands before the good one that it is ahead of
        whole = pl.concat(parts, how="diagonal").sort("at", maintain_order=True)
        return whole.select(
            pl.col(name).cast(dtype) if name in whole.columns else pl.lit(None, dtype).alias(name)
            for name, dtype in _SCHEMA.items()
        )


class _CsvWriter:
    def __init__(self, safe: bool) -> None:
        self._safe, self._header = safe, True

    def rows(self, table: pl.DataFrame) -> bytes:
        header, self._header = self._header, False
        return (excel_safe(table) if self._safe else table).write_csv(include_header=header).encode()

    def end(self) -> bytes:
        return b""


class _ParquetWriter:
    """Parquet as it grows: one row group per chunk."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._writer: pq.ParquetWriter | None = None

    def rows(self, table: pl.DataFrame) -> bytes:
        arrow = table.to_arrow()
        if self._writer is None:
            self._writer = pq.ParquetWriter(cast(BinaryIO, self._sink), arrow.schema)
        self._writer.write_table(arrow)
        return self._sink.taken()

    def end(self) -> bytes:
        if self._writer is not None:
            self._writer.close()
        return self._sink.taken()


class _Sink(io.RawIOBase):
    """Keeps what is written until it is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._place = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._place += len(part)
        return len(part)

    def tell(self) -> int:
        return self._place

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _check_expansion(path: Path, most: int) -> None:
    """Refuse a Parquet file whose values are more than ``most`` bytes, before they are all in memory."""
    total = 0
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(64):
                total += batch.nbytes
                if total > most:
                    raise HTTPException(413, f"the file's values are more than {most:,} bytes; send it in parts")
    except (pa.ArrowException, OSError):
        return  # whoever reads it next says what is wrong
