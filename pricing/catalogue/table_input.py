"""Catalogues that are given as tables in memory: polars, pandas or pyarrow."""

import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pricing.catalogue.currency_columns import currency_columns
from pricing.catalogue.propose import HEAD_ROWS
from pricing.catalogue.raw_rows import open_catalogue
from pricing.catalogue.reading import Catalogue, read_catalogue_file
from pricing.catalogue.written_numbers import Mark
from pricing.config.catalogue import CatalogueConfig
from pricing.config.columns import CHALLENGE, ColumnsConfig
from pricing.errors import CatalogueError
from pricing.store.artifacts import file_digest


def as_file(source: Any, folder: Path, roles: ColumnsConfig = CHALLENGE) -> Path:
    """Return a path as it is; write a table as a Parquet file that is named by its content.

    Parameters
    ----------
    source : path, or polars DataFrame, pandas DataFrame or pyarrow Table
        Equal tables make one file, whatever library they are of.
    folder : Path
        Where the file is written; made where it is missing.
    roles : ColumnsConfig
        Roles of the columns.

    Raises
    ------
    CatalogueError
        Something else was given, or a column that is to be read holds values of several kinds.
    """
    if isinstance(source, str | os.PathLike):
        return Path(source)
    currencies = [] if roles == CHALLENGE else currency_columns(map(str, _names(source)), roles)
    table = _as_arrow(source, [*roles.named(), *currencies])
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{uuid.uuid4().hex}"
    pq.write_table(table, beside, compression="zstd")
    return beside.replace(folder / f"table-{file_digest(beside)[:32]}.parquet")


def check_declared(source: Any, config: CatalogueConfig) -> None:
    """Refuse a table to learn from that has not the challenge's columns where no roles are set; paths pass.

    Parameters
    ----------
    source : path, or polars DataFrame, pandas DataFrame or pyarrow Table
    config : CatalogueConfig

    Raises
    ------
    CatalogueError
        As `pricing.catalogue.raw_rows.open_catalogue`: it says which roles the columns seem to have.
    """
    names = _names(source)
    if names and config.columns is None and not {CHALLENGE.id, *CHALLENGE.text} <= {str(name) for name in names}:
        head = source.slice(0, HEAD_ROWS) if isinstance(source, pa.Table) else source.head(HEAD_ROWS)
        open_catalogue(_as_arrow(head, names), True, config)


def read_products(
    source: Any, config: CatalogueConfig | None = None, names: ColumnsConfig | None = None,
    marks: Mapping[str, Mark] | None = None,
) -> Catalogue:  # fmt: skip
    """Read products to price, of a file or a table; a table is checked row by row like a file, and no file is written.

    Parameters
    ----------
    source : path, or polars DataFrame, pandas DataFrame or pyarrow Table
    config : CatalogueConfig, optional
        As in `pricing.catalogue.reading.stream_catalogue_file`.
    names, marks
        As in `pricing.catalogue.reading.read_catalogue_file`.

    Raises
    ------
    CatalogueError
        As `as_file` and `pricing.catalogue.reading.stream_catalogue_file`.
    """
    config = config or CatalogueConfig()
    given = (
        Path(source) if isinstance(source, str | os.PathLike) else _as_arrow(source, (names or config.roles).named())
    )
    return read_catalogue_file(given, labelled=False, config=config, names=names, marks=marks)


def _names(source: Any) -> list[Any]:
    return getattr(source, "column_names", None) or list(getattr(source, "columns", ()))


def _as_arrow(source: Any, read: list[str]) -> pa.Table:
    """Return the columns that are read, as few Arrow types; all others stay by their names alone."""
    if isinstance(source, pl.DataFrame):
        others = [name for name in source.columns if name not in read]
        table = source.drop(others).to_arrow()
    elif isinstance(source, pa.Table):
        others = [name for name in source.column_names if name not in read]
        table = source.drop_columns(others)
    elif type(source).__module__.partition(".")[0] == "pandas" and hasattr(source, "columns"):
        named = [name for name in source.index.names if name in read and name not in source.columns]
        rows = source.reset_index(named) if named else source
        others = [str(name) for name in rows.columns if name not in read]
        table = _of_pandas(rows[[name for name in rows.columns if name in read]])
    else:
        raise CatalogueError(
            f"a catalogue is a path, or a polars, pandas or pyarrow table; got {type(source).__qualname__}"
        )
    for place, name in enumerate(table.column_names):
        table = table.set_column(place, name, _plain(table.column(place)))
    for name in others:
        table = table.append_column(name, pa.nulls(table.num_rows))
    return table.replace_schema_metadata(None)


def _of_pandas(frame: Any) -> pa.Table:
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CatalogueError(f"the table: cannot be read ({reason}); give each column values of one kind") from None


def _plain(column: pa.ChunkedArray) -> pa.Array:
    """Return one array; text is large_string, as which libraries' types of text are equal."""
    values = column.combine_chunks()
    # of several chunks that are too large for one
    if isinstance(values, pa.ChunkedArray):
        return values
    if isinstance(values, pa.DictionaryArray):
        values = values.dictionary_decode()
    text = pa.types.is_string(values.type) or pa.types.is_string_view(values.type)
    return values.cast(pa.large_string()) if text else values
