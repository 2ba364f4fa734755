"""Catalogue files: CSV and Parquet into one checked table, with every bad row named."""

import csv
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import polars as pl

from pricing.catalogue.csv_scan import Record, scan_csv
from pricing.errors import CatalogueError

OnBadRows = Literal["refuse", "quarantine"]

SCHEMA = {"sample_id": pl.String, "catalog_content": pl.String, "image_link": pl.String, "price": pl.Float64}
_MAGIC = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\x1f\x8b": "a gzip archive",
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
}
_NAMED_ROWS = 5
_BATCH = 50_000


@dataclass(frozen=True)
class Rejected:
    """A row that cannot be used: file name, data row from 1, line (CSV only), id as found, and why."""

    file: str
    row: int
    line: int | None
    sample_id: str
    reason: str

    def __str__(self) -> str:
        where = f"row {self.row}" if self.line is None else f"row {self.row} (line {self.line})"
        return f"{where}, id {self.sample_id!r}: {self.reason}"


@dataclass(frozen=True)
class Catalogue:
    """A read file.

    Attributes
    ----------
    frame : pl.DataFrame
        sample_id String, catalog_content String (never null), image_link String or null, and price Float64 for a
        labelled file; rows in file order.
    rejected : list of Rejected
        Rows left out, in file order; empty unless ``on_bad_rows="quarantine"``.
    """

    frame: pl.DataFrame
    rejected: list[Rejected] = field(default_factory=list)


def read_catalogue_file(path: Path, *, labelled: bool, on_bad_rows: OnBadRows = "refuse") -> Catalogue:
    """Read one catalogue file and check it.

    Needed columns are sample_id, catalog_content and, for a labelled file, price. A missing or empty image_link is
    null, an empty text is "". Other columns are ignored, a price in an unlabelled file too. Prices are kept as they
    are, float artefacts included; ids are text with surrounding blanks removed.

    Parameters
    ----------
    path : Path
        ``.csv`` (UTF-8) or ``.parquet``.
    labelled : bool
        Whether the rows have prices to learn from.
    on_bad_rows : {"refuse", "quarantine"}
        Refuse the file, naming the first bad rows, or go on without them.

    Raises
    ------
    CatalogueError
        A file that is missing, empty, without data rows, of another type, or without a needed column; bad rows when
        refusing; no good row when quarantining.
    """
    kind = _check_file(path)
    broken: list[Rejected] = []
    if kind == "parquet":
        frame = _read_parquet(path, labelled)
    else:
        frame, broken = _read_csv(path, labelled)
    if frame.height + len(broken) == 0:
        raise CatalogueError(f"{path}: there are no data rows under the header; expected one product a row")
    frame, bad = _check_rows(frame, path, labelled)
    rejected = sorted([*broken, *bad], key=lambda entry: entry.row)
    if rejected and on_bad_rows == "refuse":
        raise CatalogueError(_refusal(path, rejected))
    if frame.height == 0:
        raise CatalogueError(f"{path}: no usable row is left; {_refusal(path, rejected)}")
    return Catalogue(frame, rejected)


def write_rejected(rejected: list[Rejected], path: Path) -> None:
    """Write the rows left out as CSV: file, row, sample_id, reason."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["file", "row", "sample_id", "reason"])
        writer.writerows([entry.file, entry.row, entry.sample_id, entry.reason] for entry in rejected)


def _refusal(path: Path, rejected: list[Rejected]) -> str:
    named = "; ".join(str(entry) for entry in rejected[:_NAMED_ROWS])
    more = f"; and {len(rejected) - _NAMED_ROWS} more" if len(rejected) > _NAMED_ROWS else ""
    rows = "1 bad row" if len(rejected) == 1 else f"{len(rejected)} bad rows"
    return f"{path}: {rows}: {named}{more}. Correct them, or leave them out with --on-bad-rows quarantine"


def _check_file(path: Path) -> Literal["csv", "parquet"]:
    suffix = path.suffix.lower()
    if not path.exists():
        raise CatalogueError(f"{path}: there is no such file; give the path of a .csv or .parquet catalogue")
    if not path.is_file():
        raise CatalogueError(f"{path}: is not a file; give the path of a .csv or .parquet catalogue")
    if suffix not in (".csv", ".parquet"):
        raise CatalogueError(f"{path}: files of type {suffix or '(none)'} are not read; expected .csv or .parquet")
    try:
        with path.open("rb") as stream:
            head = stream.read(4)
    except OSError as error:
        raise CatalogueError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    if not head:
        raise CatalogueError(f"{path}: the file is empty; expected a header and one product a row")
    if (suffix == ".parquet") != (head == b"PAR1"):
        raise CatalogueError(
            f"{path}: the content is {'' if head == b'PAR1' else 'not '}Parquet, but the name ends in {suffix}; "
            "rename the file or export it again"
        )
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            raise CatalogueError(f"{path}: the content is {what}, not CSV; unpack or export it as UTF-8 CSV")
    return "parquet" if suffix == ".parquet" else "csv"


def _check_columns(path: Path, columns: list[str], labelled: bool) -> list[str]:
    """The columns to read, in the order of SCHEMA."""
    needed = ["sample_id", "catalog_content", *(["price"] if labelled else [])]
    missing = [name for name in needed if name not in columns]
    if missing:
        raise CatalogueError(
            f"{path}: missing columns {', '.join(missing)}; found {', '.join(columns[:20]) or 'none'}; "
            f"expected {', '.join(needed)} and, if there are pictures, image_link"
        )
    wanted = [name for name in SCHEMA if name in columns and (labelled or name != "price")]
    twice = [name for name in wanted if columns.count(name) > 1]
    if twice:
        raise CatalogueError(f"{path}: column {twice[0]} stands more than once in the header; keep one of them")
    return wanted


def _read_csv(path: Path, labelled: bool) -> tuple[pl.DataFrame, list[Rejected]]:
    """Raw text columns plus ``row`` and ``line``, and the rows whose structure is broken."""
    header, records = scan_csv(path)
    wanted = _check_columns(path, header, labelled)
    places = [header.index(name) for name in wanted]
    at_id = header.index("sample_id")
    broken: list[Rejected] = []
    where: list[tuple[int, int]] = []
    checksum, characters = 0, 0
    for record in records:
        if record.problem is not None:
            broken.append(_broken(path, record, at_id))
            continue
        where.append((record.row, record.line))
        checksum = zlib.crc32(record.values[at_id].encode() + b"\0", checksum)
        characters += sum(len(record.values[place]) for place in places)
    position = pl.DataFrame(where, schema={"row": pl.Int64, "line": pl.Int64}, orient="row")
    if not broken:
        frame = _polars_csv(path, header, wanted)
        # polars takes an odd quote inside an unquoted field for the start of one; then the strict scan decides
        if frame is not None and _agrees(frame, position.height, checksum, characters):
            return frame.hstack(position), broken
    return _from_records(path, wanted, places).hstack(position), broken


def _polars_csv(path: Path, header: list[str], wanted: list[str]) -> pl.DataFrame | None:
    try:
        frame = pl.read_csv(path, has_header=True, infer_schema=False, columns=[header.index(name) for name in wanted])
    except (pl.exceptions.PolarsError, OSError):
        return None
    frame.columns = [name.strip().removeprefix("\ufeff").strip() for name in frame.columns]
    return frame.select(wanted).with_columns(pl.all().fill_null(""))


def _agrees(frame: pl.DataFrame, rows: int, checksum: int, characters: int) -> bool:
    if frame.height != rows:
        return False
    ids = frame["sample_id"].to_list()
    found = frame.select(pl.sum_horizontal(pl.all().str.len_chars().sum())).item() if rows else 0
    return found == characters and zlib.crc32("".join(f"{one}\0" for one in ids).encode()) == checksum


def _from_records(path: Path, wanted: list[str], places: list[int]) -> pl.DataFrame:
    schema = dict.fromkeys(wanted, pl.String)
    frames = [pl.DataFrame(schema=schema)]
    batch: list[list[str]] = []
    for record in scan_csv(path)[1]:
        if record.problem is None:
            batch.append([record.values[place] for place in places])
        if len(batch) == _BATCH:
            frames.append(pl.DataFrame(batch, schema=schema, orient="row"))
            batch = []
    if batch:
        frames.append(pl.DataFrame(batch, schema=schema, orient="row"))
    return pl.concat(frames)


def _broken(path: Path, record: Record, at_id: int) -> Rejected:
    found = record.values[at_id].strip() if at_id < len(record.values) else ""
    return Rejected(path.name, record.row, record.line, found[:100], record.problem or "")


def _read_parquet(path: Path, labelled: bool) -> pl.DataFrame:
    try:
        schema = pl.read_parquet_schema(path)
        wanted = _check_columns(path, list(schema), labelled)
        for name in wanted:
            _check_type(path, name, schema[name])
        frame = pl.read_parquet(path, columns=wanted)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise CatalogueError(f"{path}: is not a readable Parquet file ({error}); export it again") from None
    text = [name for name in wanted if name != "price"]
    return frame.select(
        *(pl.col(name).cast(pl.String).fill_null("") for name in text),
        *(["price"] if labelled else []),
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("row"),
        pl.lit(None, dtype=pl.Int64).alias("line"),
    )


def _check_type(path: Path, name: str, dtype: pl.DataType) -> None:
    text = dtype in (pl.String, pl.Categorical) or isinstance(dtype, pl.Enum)
    good = text or dtype == pl.Null
    if name == "sample_id":
        good, expected = text or dtype.is_integer(), "text or whole numbers"
    elif name == "price":
        good, expected = text or dtype.is_numeric(), "numbers"
    else:
        expected = "text"
    if not good:
        raise CatalogueError(f"{path}: column {name} has type {dtype}, expected {expected}; convert it")


def _check_rows(frame: pl.DataFrame, path: Path, labelled: bool) -> tuple[pl.DataFrame, list[Rejected]]:
    """Typed good rows, and the bad ones with the first reason of each."""
    text = pl.col("image_link").str.strip_chars() if "image_link" in frame.columns else pl.lit("")
    frame = frame.with_columns(
        pl.col("sample_id").str.strip_chars(),
        pl.when(text == "").then(None).otherwise(text).cast(pl.String).alias("image_link"),
    )
    reasons = [pl.when(pl.col("sample_id") == "").then(pl.lit("sample_id is empty; give each product an id"))]
    if labelled:
        shown = pl.col("price").cast(pl.String).fill_null("")
        number = pl.col("price").str.strip_chars() if frame["price"].dtype == pl.String else pl.col("price")
        frame = frame.with_columns(number.cast(pl.Float64, strict=False).alias("number"))
        value = pl.col("number")
        advice = "expected a positive number such as 4.99"
        reasons += [
            pl.when(shown.str.strip_chars() == "").then(pl.lit(f"price is empty; {advice}")),
            pl.when(value.is_null()).then(pl.format("price {} is not a number; {}", shown, pl.lit(advice))),
            pl.when(~value.is_finite()).then(pl.format("price {} is not finite; {}", shown, pl.lit(advice))),
            pl.when(value <= 0).then(pl.format("price {} is not positive; {}", shown, pl.lit(advice))),
        ]
    frame = frame.with_columns(pl.coalesce(reason.otherwise(None) for reason in reasons).alias("reason"))
    # a duplicate repeats an id that an earlier usable row has; the first one is the one that stays
    first = pl.col("row").filter(pl.col("reason").is_null()).min().over("sample_id")
    repeated = pl.col("reason").is_null() & (pl.col("row") > first)
    advice = "; ids must be unique, keep one of them"
    frame = frame.with_columns(
        pl.when(repeated)
        .then(pl.format("duplicate id, first used in row {}{}", first, pl.lit(advice)))
        .otherwise("reason")
        .alias("reason")
    )
    bad = [
        Rejected(path.name, row, line, number, reason)
        for row, line, number, reason in frame.filter(pl.col("reason").is_not_null())
        .select("row", "line", "sample_id", "reason")
        .iter_rows()
    ]
    good = frame.filter(pl.col("reason").is_null())
    price = [pl.col("number").alias("price")] if labelled else []
    return good.select("sample_id", "catalog_content", "image_link", *price), bad
