"""The values of a Parquet catalogue or a table: wanted columns as text and numbers, whatever Arrow types they have.

Types are judged and cast in Arrow. polars knows fewer of them (no decimal256, which BigQuery's BIGNUMERIC becomes),
and panics on some, with a Rust backtrace on stderr.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pricing.catalogue import raw_batch
from pricing.catalogue.csv_scan import NOT_UTF8
from pricing.catalogue.file_form import FileForm
from pricing.catalogue.raw_batch import ANY, JOINED, NUMERIC, RawBatch, RawTable, Rejected
from pricing.config.columns import ColumnsConfig
from pricing.errors import CatalogueError

UNREADABLE = (pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
"""What reading Parquet raises. polars' PanicException is a BaseException of its own: `Exception` would miss it."""
_BUFFER = 1 << 20


class ArrowTable(RawTable):
    """A Parquet file, or a table in memory."""

    def __init__(self, source: Path | pa.Table, form: FileForm) -> None:
        self._source = source
        if isinstance(source, Path):
            try:
                with pq.ParquetFile(source) as file:
                    columns = list(file.schema_arrow.names)
            except UNREADABLE as error:
                raise _unreadable(source, error) from None
        else:
            columns = source.column_names
        super().__init__(source, form, columns)

    def batches(self, wanted: dict[str, str], roles: ColumnsConfig | None) -> Iterator[RawBatch]:
        """As `RawTable.batches`."""
        once = list(dict.fromkeys(wanted.values()))
        if not isinstance(self._source, Path):
            table = self._source.select([self.columns.index(name) for name in once])
            yield from self._batches(table.schema, table.to_batches(max_chunksize=raw_batch.BATCH_ROWS), wanted)
            return
        try:
            # a row group's bytes would be fetched ahead, whole
            with pq.ParquetFile(self._source, pre_buffer=False, buffer_size=_BUFFER) as file:
                chunks = file.iter_batches(raw_batch.BATCH_ROWS, columns=once)
                yield from self._batches(file.schema_arrow, chunks, wanted)
        except UNREADABLE as error:
            raise _unreadable(self._source, error) from None

    def _batches(
        self, schema: pa.Schema, chunks: Iterable[pa.RecordBatch], wanted: dict[str, str]
    ) -> Iterator[RawBatch]:
        for role, name in wanted.items():
            _check_type(self.name, role, name, _plain(schema.field(name).type))
        at_id = next((role for role in wanted if role.startswith("id:")), next(iter(wanted)))
        start = 1
        for chunk in chunks:
            frame, places = _typed(chunk, wanted)
            there = ~_holds_nothing(frame)
            frame = frame.with_columns(
                row=pl.int_range(start, start + pl.len(), dtype=pl.Int64), line=pl.lit(None, dtype=pl.Int64)
            )
            start += frame.height
            broken = [
                Rejected(self.file, frame["row"][place], None, str(frame[at_id][place])[:100], *NOT_UTF8)
                for place in places
            ]
            kept = frame.filter(there & ~pl.col("row").is_in([entry.row for entry in broken]))
            yield RawBatch(kept, broken, frame.height - kept.height - len(broken))


def _holds_nothing(frame: pl.DataFrame) -> pl.Expr:
    """Whether every wanted value of a row is empty."""
    blank = [
        pl.col(name).str.strip_chars().fill_null("") == ""
        if dtype == pl.String
        else pl.col(name).fill_nan(None).is_null()
        for name, dtype in frame.schema.items()
    ]
    return pl.all_horizontal(blank)


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


def _is_list(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_list(dtype) or pa.types.is_large_list(dtype) or pa.types.is_fixed_size_list(dtype))


def _check_type(source: str, role: str, name: str, dtype: pa.DataType) -> None:
    role = role.partition(":")[0]
    if role == ANY:
        return
    good = _is_text(dtype) or pa.types.is_null(dtype)
    whole = pa.types.is_integer(dtype) or (pa.types.is_decimal(dtype) and dtype.scale == 0)
    number = whole or pa.types.is_floating(dtype) or pa.types.is_decimal(dtype)
    expected = "text"
    if role == "id":
        good, expected = good or whole, "text or whole numbers"
    elif role in ("category", "group"):
        good, expected = good or number or pa.types.is_boolean(dtype), "text or numbers"
    elif role in NUMERIC:
        good, expected = good or number or (role == "number" and pa.types.is_boolean(dtype)), "numbers"
    elif role == "time":
        good, expected = good or whole or pa.types.is_temporal(dtype), "dates, times or text"
    if role in JOINED and _is_list(dtype):
        good = _is_text(_plain(dtype.value_type))
    if not good:
        raise CatalogueError(f"{source}: column {name} has type {dtype}, expected {expected}; convert it")


def _typed(batch: pa.RecordBatch, wanted: dict[str, str]) -> tuple[pl.DataFrame, list[int]]:
    """Wanted columns as text, null as "", prices null, and numbers as Float64; places of rows that are not UTF-8."""
    series, broken = [], set()
    for name, column in wanted.items():
        role = name.partition(":")[0]
        values = _decoded(batch.column(column))
        if role in NUMERIC and not _is_text(values.type):
            series.append(pl.Series(name, _numbers(values), pl.Float64))
            continue
        text = _text(values, JOINED.get(role, ""))
        try:
            text.validate(full=True)
        except pa.ArrowInvalid:
            # slow, and rare: every value by itself
            text, places = _replaced(text)
            broken.update(places)
        made = pl.Series(name, text, pl.String)
        series.append(made if role == "price" else made.fill_null(""))
    return pl.DataFrame(series), sorted(broken)


def _text(values: pa.Array, between: str) -> pa.Array:
    """Values of any type as text; those of a list are joined, and a whole number has no decimal point."""
    if _is_list(values.type):
        values.flatten().validate(full=True)
        return pa.array(
            [between.join(str(one) for one in several or () if one is not None) for several in values.to_pylist()],
            pa.large_string(),
        )
    if pa.types.is_floating(values.type):
        numbers = pl.Series(values.cast(pa.float64())).fill_nan(None)
        return numbers.cast(pl.String).str.strip_suffix(".0").to_arrow().cast(pa.large_string())
    try:
        return values.cast(pa.large_string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        # of the role ANY alone
        return pa.array([None if one is None else str(one) for one in values.to_pylist()], pa.large_string())


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
