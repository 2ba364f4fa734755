"""Tables of anybody's predictions: read as text, and checked column by column before a model is made of one.

A column is a model because nothing else is known of it, so what is no model has to be recognised. A row number, as
pandas and R write it into a file's first column, is the best model there is where the rows are sorted by price: nested
SMAPE 7.9, and 79.6 on new rows (26.9 and 27.3 without it).
"""

import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import polars as pl

from pricing.catalogue.file_form import FileForm, open_text
from pricing.catalogue.first_line import SAMPLE, read_first_lines
from pricing.catalogue.parquet_scan import UNREADABLE, read_parquet_table
from pricing.errors import PredictionsError
from pricing.members.predictions import RESERVED
from pricing.metrics.smape import Floats

_ROW_NUMBERS = re.compile(
    r"(unnamed: ?\d.*|index|level_\d+|__index_level_\d+__|row[._ ]?names?|\.\.\.\d+|_duplicated_\d+|)"
)
"""Names that pandas ("Unnamed: 0", "index", "level_0"), pyarrow, R ("row.names", "...1") and polars give to a row
number or to a column without a name, in small letters."""
_MAYBE_ROW_NUMBERS = re.compile(
    r"(x(\.?\d+)?|v1|rn|rows?|idx|id|ids|i|n|#|no\.?|nr\.?|num|number|s\.?no\.?|seq|rank|line|counter|"
    r"(row|record|obs|line)[._ ]?(id|idx|index|n|nr|no|num|number))"
)
"""Names under which integers that rise from row to row are a row number, though rows may be missing between them."""
_FEW = 10
"""Rows below which prices may be consecutive integers by chance."""


def quoted(names: list[str]) -> str:
    """Names for a message: quoted, so that an empty one is seen; ``none`` where there are none."""
    return ", ".join(repr(name) for name in names) or "none"


@dataclass
class Clipped:
    """What `PredictionTable.prices` floored.

    Attributes
    ----------
    floor : float
        The price that stands for predictions that were not positive.
    ids : dict of str to list of str
        Column to the ids of the rows that were floored in it.
    """

    floor: float
    ids: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class PredictionTable:
    """One file of predictions.

    Attributes
    ----------
    path : Path
        For messages.
    frame : DataFrame
        ``sample_id`` as text; the other columns of a CSV file are text until they are asked for.
    """

    path: Path
    frame: pl.DataFrame

    @property
    def ids(self) -> pl.Series:
        """sample_id of the rows."""
        return self.frame["sample_id"]

    def prices(self, column: str, clipped: Clipped | None = None) -> Floats:
        """A column of prices, finite and above 0, of shape (n,).

        Parameters
        ----------
        column : str
            Its name.
        clipped : Clipped, optional
            Zero and negative numbers become its floor, and are noted in it. A missing value, NaN or an infinity is
            refused all the same: nothing is known of what the model would have said. None refuses both.

        Raises
        ------
        PredictionsError
            Such a value, named with the column and the id; a column that holds no numbers.
        """
        raw = self.frame[column]
        if not (raw.dtype == pl.String or raw.dtype.is_numeric() or raw.dtype == pl.Null):
            raise PredictionsError(f"{self.path}: column {column!r} has type {raw.dtype}, expected numbers; convert it")
        if raw.dtype == pl.String:
            raw = raw.str.strip_chars()
        values = raw.cast(pl.Float64, strict=False)
        # comparisons with a missing value are missing, so that it has to be asked for by name
        finite = values.is_finite().fill_null(False)
        low = finite & (values <= 0).fill_null(False)
        bad = ~finite if clipped is not None else ~finite | low
        if bad.any():
            row = int(bad.arg_true()[0])
            found = "missing" if self.frame[column][row] is None else f"{self.frame[column][row]!r}"
            more = ""
            if column != "price" and low.any():
                more = "; give prices, not logs; --on-bad-predictions clip floors them at the smallest known price"
            if clipped is not None:
                more = "; clip is for zero and negative numbers only"
            raise PredictionsError(
                f"{self.path}: column {column!r}, sample_id {self.ids[row]!r}: {found}; expected a finite price above "
                f"0 ({bad.sum()} such values in this column){more}"
            )
        if clipped is not None and low.any():
            clipped.ids[column] = self.ids.filter(low).to_list()
            values = pl.select(pl.when(low).then(clipped.floor).otherwise(values)).to_series()
        return values.to_numpy()


def read_pair(oof: Path, test: Path) -> tuple[PredictionTable, PredictionTable, tuple[str, ...]]:
    """Read and match both files.

    Parameters
    ----------
    oof, test : Path
        CSV or Parquet; see `pricing.run.standalone.stack_predictions`.

    Returns
    -------
    labelled, new : PredictionTable
    names : tuple of str
        The models' columns, sorted.

    Raises
    ------
    PredictionsError
        A file cannot be read, a column is missing, there twice, no model, or not known to both files, an id is missing
        or there twice.
    """
    labelled, new = _read(oof, ("sample_id", "price")), _read(test, ("sample_id",))
    for table in (labelled, new):
        _refuse_row_numbers(table)
    names = tuple(sorted(set(labelled.frame.columns) - RESERVED))
    _check_columns(labelled, new, names)
    return labelled, new, names


def _read(path: Path, needed: tuple[str, ...]) -> PredictionTable:
    header: list[str] = []
    try:
        if path.suffix.lower() == ".parquet":
            table = read_parquet_table(path)
        else:
            with path.open("rb") as stream:
                form, problem = read_first_lines(stream.read(SAMPLE), FileForm("CSV"), needed)
            if problem:
                raise PredictionsError(f"{path}: {problem}")
            with open_text(path, form) as stream:
                content = stream.read()
            read = partial(pl.read_csv, content, separator=form.separator, skip_rows=form.lines_above)
            table = read(infer_schema=False, null_values="")
            # spreadsheets leave them at a file's end
            table = table.filter(~pl.all_horizontal(pl.all().is_null()))
            header = [name or "" for name in read(has_header=False, n_rows=1, infer_schema=False).row(0)]
    except (*UNREADABLE, UnicodeDecodeError) as error:
        # R's write.table gives the row numbers no name at all
        if "more fields" in str(error):
            found = "has rows of more fields than its header; a row number without a name? Write the file without it"
            raise PredictionsError(f"{path}: {found}") from None
        reason = " ".join(str(error).split())
        raise PredictionsError(f"{path}: cannot be read ({reason}); expected a CSV or .parquet file") from None
    twice = sorted({name for name in header if name.strip() and header.count(name) > 1})
    # the second one would be read under a name of polars' own, as a model of its own
    if twice:
        raise PredictionsError(
            f"{path}: column {twice[0]!r} is there more than once; a model has one name and one column"
        )
    if "sample_id" not in table.columns:
        raise PredictionsError(f"{path}: has no column 'sample_id', only {quoted(table.columns)}")
    if not len(table):
        raise PredictionsError(f"{path}: has no rows")
    ids = table["sample_id"].cast(pl.String)
    if ids.null_count():
        raise PredictionsError(f"{path}: row {int(ids.is_null().arg_true()[0]) + 1} has no sample_id")
    if ids.n_unique() != len(ids):
        raise PredictionsError(f"{path}: sample_id {ids.filter(ids.is_duplicated())[0]!r} is there more than once")
    return PredictionTable(path, table.with_columns(ids))


def _refuse_row_numbers(table: PredictionTable) -> None:
    for place, name in enumerate(table.frame.columns, start=1):
        if name in RESERVED:
            continue
        if not name.strip() and table.frame[name].null_count() == len(table.frame):
            raise PredictionsError(
                f"{table.path}: column {name!r} (number {place} of {table.frame.width}) has no name and no values; "
                "write the file without it, or without the comma at the end of each line"
            )
        known = _ROW_NUMBERS.fullmatch(name.strip().lower()) is not None
        if known or _counts_rows(table.frame[name], _MAYBE_ROW_NUMBERS.fullmatch(name.strip().lower()) is not None):
            raise PredictionsError(
                f"{table.path}: column {name!r} (number {place} of {table.frame.width}) looks like a row number; write "
                "the file without it (pandas: index=False, R: row.names = FALSE)"
            )


def _counts_rows(column: pl.Series, suspected: bool) -> bool:
    """Whether the values are consecutive integers, in any order; under a suspected name, whether they rise."""
    if column.null_count() or len(column) < _FEW or not (column.dtype == pl.String or column.dtype.is_numeric()):
        return False
    text = column.str.strip_chars() if column.dtype == pl.String else column
    values = text.cast(pl.Float64, strict=False)
    if values.null_count() or not values.is_finite().all() or (values != values.round()).any():
        return False
    steps = values.diff(null_behavior="drop")
    return bool((values.sort().diff(null_behavior="drop") == 1).all() or (suspected and (steps > 0).all()))


def _check_columns(labelled: PredictionTable, new: PredictionTable, names: tuple[str, ...]) -> None:
    known, given = labelled.frame.columns, new.frame.columns
    if "price" not in known:
        raise PredictionsError(f"{labelled.path}: has no column 'price', only {quoted(known)}")
    taken = sorted((RESERVED - {"sample_id", "price", "fold"}) & (set(known) | set(given)))
    if taken:
        raise PredictionsError(f"a model cannot be called {taken[0]!r}; rename its column")
    if not names:
        raise PredictionsError(
            f"{labelled.path}: has no model's column beside 'sample_id', 'price' and 'fold', only {quoted(known)}"
        )
    found = set(given) - {"sample_id"}
    missing, extra = sorted(set(names) - found), sorted(found - set(names))
    if missing or extra:
        raise PredictionsError(
            f"{new.path}: models are matched by name; columns missing: {quoted(missing)}, unknown: {quoted(extra)}; "
            f"expected 'sample_id' and {quoted(list(names))}"
        )
