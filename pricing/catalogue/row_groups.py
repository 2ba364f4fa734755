"""Writing a table piece by piece into a Parquet file whose bytes depend on its rows alone."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl
import pyarrow.parquet as pq

GROUP_ROWS = 20_000
"""Rows of a row group; the last one has the rest."""


class RowGroups:
    """A Parquet file to write, compressed with zstd.

    Parameters
    ----------
    path : Path
    schema : mapping of str to DataType
        Columns and their types.
    """

    def __init__(self, path: Path, schema: Mapping[str, pl.DataType]) -> None:
        self._waiting = pl.DataFrame(schema=schema)
        self._schema = self._waiting.to_arrow().schema
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        if kind is None and self._waiting.height:
            self._group(self._waiting)
        self._writer.close()

    def write(self, frame: pl.DataFrame) -> None:
        """Add rows, as many or few as there are."""
        self._waiting = pl.concat([self._waiting, frame], rechunk=True)
        while self._waiting.height >= GROUP_ROWS:
            self._group(self._waiting.head(GROUP_ROWS))
            self._waiting = self._waiting.slice(GROUP_ROWS)

    def _group(self, frame: pl.DataFrame) -> None:
        self._writer.write_table(frame.to_arrow().cast(self._schema))
