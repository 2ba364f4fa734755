"""The values of a Parquet catalogue or a table: wanted columns as text and numbers, whatever Arrow types they have.

Types are judged and cast in Arrow. polars knows fewer of them (no decimal256, which BigQuery's BIGNUMERIC becomes),
and panics on some, with a Rust backtrace on stderr.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pricing.errors import CatalogueError

UNREADABLE = (pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
"""What reading Parquet raises. polars' PanicException is a BaseException of its own: `Exception` would miss it."""


@dataclass(frozen=True)
class ParquetBatch:
    """Some rows of a file, in file order.

    Attributes
    ----------
    frame : DataFrame
        The wanted columns: String, null as "", and the price as Float64 with nulls, or as String where it is text.
    broken : list of int
        Places in `frame` of rows whose text is not UTF-8; the wrong bytes are replaced.
    """

    frame: pl.DataFrame
    broken: list[int]


def parquet_columns(path: Path) -> list[str]:
    """Return the names of a file's columns.

    Raises
    ------
    CatalogueError
        The file is not readable Parquet.
    """
    try:
        with pq.ParquetFile(path) as file:
            return list(file.schema_arrow.names)
    except UNREADABLE as error:
        raise _unreadable(path, error) from None


def scan_parquet(path: Path, wanted: dict[str, str], rows: int) -> Iterator[ParquetBatch]:
    """Read wanted columns batch by batch.

    Parameters
    ----------
    path : Path
        An existing file.
    wanted : dict of str to str
        Name by role to name among `parquet_columns`, where each stands once.
    rows : int
        Maximum number of rows per batch.

    Raises
    ------
    CatalogueError
        A wanted column has a type that holds neither text nor numbers, or the file is damaged or encrypted.
    """
    try:
        with pq.ParquetFile(path) as file:
            yield from _checked(str(path), file.schema_arrow, file.iter_batches(rows, columns=_once(wanted)), wanted)
    except UNREADABLE as error:
        raise _unreadable(path, error) from None


def scan_table(name: str, table: pa.Table, wanted: dict[str, str], rows: int) -> Iterator[ParquetBatch]:
    """As `scan_parquet`, of a table in memory; ``name`` stands for it in messages."""
    yield from _checked(name, table.schema, table.select(_once(wanted)).to_batches(max_chunksize=rows), wanted)


def _checked(
    source: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], wanted: dict[str, str]
) -> Iterator[ParquetBatch]:
    for role, name in wanted.items():
        _check_type(source, role, name, _plain(schema.field(name).type))
    for batch in batches:
        yield _typed(batch, wanted)


def read_parquet_table(path: Path) -> pl.DataFrame:
    """Read a whole table: decimals and half floats as Float64, whole decimals as text, categories as their values.

    Raises
    ------
    Exception
        One of `UNREADABLE`, for an error of the caller's own class.
    """
    with pq.ParquetFile(path) as file:
        table = file.read()
    table.validate(full=True)
    series = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        values = _decoded(column.combine_chunks())
        if pa.types.is_decimal(values.type) and values.type.scale == 0:
            # ids of more digits than a double holds
            values = values.cast(pa.large_string())
        number = pa.types.is_decimal(values.type) or pa.types.is_float16(values.type)
        series.append(pl.Series(name, _numbers(values) if number else values))
    return pl.DataFrame(series)


def _unreadable(path: Path, error: BaseException) -> CatalogueError:
    reason = " ".join(str(error).split())[:300]
    return CatalogueError(f"{path}: is not a readable Parquet file ({reason}); export it again")


def _plain(dtype: pa.DataType) -> pa.DataType:
    """The type of the values themselves: of a dictionary's entries, of what an extension is stored in."""
    if isinstance(dtype, pa.BaseExtensionType):
        return _plain(dtype.storage_type)
    return _plain(dtype.value_type) if pa.types.is_dictionary(dtype) else dtype


def _is_text(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_string(dtype) or pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype))


_NUMERIC = ("price", "number", "amount")
"""Roles whose values may be numbers of any kind."""


def _once(wanted: dict[str, str]) -> list[str]:
    """The columns to read, each once, whatever its roles."""
    return list(dict.fromkeys(wanted.values()))


def _check_type(source: str, role: str, name: str, dtype: pa.DataType) -> None:
    role = role.partition(":")[0]
    good = _is_text(dtype) or pa.types.is_null(dtype)
    whole = pa.types.is_integer(dtype) or (pa.types.is_decimal(dtype) and dtype.scale == 0)
    if role in ("id", "category", "group"):
        good, expected = good or whole or (role != "id" and pa.types.is_boolean(dtype)), "text or whole numbers"
    elif role in _NUMERIC:
        good, expected = good or whole or pa.types.is_floating(dtype) or pa.types.is_decimal(dtype), "numbers"
        good = good or (role == "number" and pa.types.is_boolean(dtype))
    elif role == "time":
        good, expected = good or whole or pa.types.is_temporal(dtype), "dates, times or text"
    else:
        expected = "text"
    if not good:
        raise CatalogueError(f"{source}: column {name} has type {dtype}, expected {expected}; convert it")


def _typed(batch: pa.RecordBatch, wanted: dict[str, str]) -> ParquetBatch:
    series, broken = [], set()
    for role, name in wanted.items():
        kind = role.partition(":")[0]
        values = _decoded(batch.column(name))
        if kind in _NUMERIC and not _is_text(values.type):
            series.append(pl.Series(role, _numbers(values), pl.Float64))
            continue
        text = values.cast(pa.large_string())
        try:
            text.validate(full=True)
        except pa.ArrowInvalid:
            # slow, and rare: every value by itself
            text, places = _replaced(text)
            broken.update(places)
        series.append(pl.Series(role, text, pl.String).fill_null("") if kind != "price" else pl.Series(role, text))
    return ParquetBatch(pl.DataFrame(series), sorted(broken))


def _decoded(values: pa.Array) -> pa.Array:
    """The values themselves: of an extension's storage, of a dictionary's entries."""
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    return values.dictionary_decode() if isinstance(values, pa.DictionaryArray) else values


def _numbers(values: pa.Array) -> pl.Series:
    """Prices as Float64, each the double nearest to what is stored."""
    if pa.types.is_decimal(values.type):
        # Arrow's own cast multiplies: 19.90 would become 19.900000000000002
        return pl.Series(values.cast(pa.large_string())).cast(pl.Float64)
    return pl.Series(values.cast(pa.float64()))


def _replaced(text: pa.Array) -> tuple[pa.Array, list[int]]:
    """Texts with what is not UTF-8 replaced, and the places of those rows."""
    found, places = [], []
    for place, value in enumerate(text.cast(pa.large_binary()).to_pylist()):
        try:
            found.append(None if value is None else value.decode("utf-8"))
        except UnicodeDecodeError:
            found.append(value.decode("utf-8", errors="replace"))
            places.append(place)
    return pa.array(found, pa.large_string()), places
