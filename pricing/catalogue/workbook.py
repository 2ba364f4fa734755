"""A sheet of an Excel workbook as batches of rows: values as the cells show them, read row by row."""

import datetime
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from pricing.catalogue.file_form import FileForm
from pricing.catalogue.raw_batch import RawBatch, RawTable
from pricing.catalogue.records import MachineNumber, Record, record_batches
from pricing.config.columns import ColumnsConfig
from pricing.errors import CatalogueError

_LINES_ABOVE = 20
"""Rows among which the header is looked for, to say what stands above it."""
_SHARED_TEXTS = 500_000_000
"""Maximum number of bytes of the texts that a workbook holds for all its cells: they are in memory at once."""


class WorkbookTable(RawTable):
    """A sheet of an Excel workbook: the first visible one whose first row is a header, or holds anything.

    Text stays text, with leading zeros. A whole number has no decimal point, and the leading zeros of a format such as
    ``00000``; a date is ISO 8601; a formula is its last result.
    """

    def __init__(self, path: Path, form: FileForm, needed: Sequence[str]) -> None:
        self._path = path
        with _workbook(path) as book:
            sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
            tops = {sheet.title: top for sheet in sheets if (top := _top(sheet))}
        if not tops:
            raise CatalogueError(f"{path}: the workbook holds no rows; expected a header and one product per row")
        title = next(iter(tops))
        for known in dict.fromkeys((tuple(needed), ())):
            if good := [name for name, top in tops.items() if _is_header(top[0][1], top, known)]:
                title = good[0]
                break
            at = next((number for number, names in tops[title][1:] if _is_header(names, tops[title], known)), None)
            if at:
                raise CatalogueError(
                    f"{path}, sheet {title!r}: the header seems to be row {at}; remove the rows above it and save the "
                    "file"
                )
        self._header_row, header = tops[title][0]
        super().__init__(path, replace(form, sheet=title), header)

    def batches(self, wanted: dict[str, str], roles: ColumnsConfig | None) -> Iterator[RawBatch]:
        """As `RawTable.batches`."""
        at_id = next((place for place, name in enumerate(wanted) if name.startswith("id:")), 0)
        yield from record_batches(self.file, self._records(wanted), list(wanted), range(len(wanted)), at_id)

    def _records(self, wanted: dict[str, str]) -> Iterator[Record]:
        places = [self.columns.index(name) for name in wanted.values()]
        with _workbook(self._path) as book:
            for number, cells in _rows(book[self.form.sheet], self._header_row + 1):
                row = number - self._header_row
                values = [_shown(cells[place]) if place < len(cells) else "" for place in places]
                held = any(value.strip() for value in values) or any(_shown(cell).strip() for cell in cells)
                yield Record(row, number, values if held else [])


@contextmanager
def _workbook(path: Path) -> Iterator[Any]:
    """An open workbook; whatever its reader says of a damaged one as an error of the catalogue."""
    try:
        import openpyxl
    except ImportError:
        raise CatalogueError(
            f"{path}: reading Excel files needs openpyxl, which is not installed; "
            "pip install 'smart-product-pricing[excel]', or save the file as CSV"
        ) from None
    try:
        with path.open("rb") as stream:
            if stream.read(4) == b"\xd0\xcf\x11\xe0":
                raise CatalogueError(f"{path}: the workbook has a password or is an old one; save it as .xlsx without")
            with zipfile.ZipFile(stream) as parts:
                texts = sum(part.file_size for part in parts.infolist() if part.filename.endswith("sharedStrings.xml"))
            if texts > _SHARED_TEXTS:
                raise CatalogueError(f"{path}: the workbook's texts have {texts:,} bytes; save the sheet as CSV")
            with warnings.catch_warnings():
                # of styles and extensions that hold no values
                warnings.simplefilter("ignore")
                book = openpyxl.load_workbook(stream, read_only=True, data_only=True)
            yield book
    except (CatalogueError, GeneratorExit):
        raise
    # its reader raises whatever comes of the XML that it finds
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise CatalogueError(f"{path}: is not a readable Excel workbook ({reason}); save it again as .xlsx") from None


def _rows(sheet: Any, first: int = 1) -> Iterator[tuple[int, Sequence[Any]]]:
    """Numbers and cells of a sheet's rows, whatever size it says it has."""
    sheet.reset_dimensions()
    yield from enumerate(sheet.iter_rows(min_row=first), start=first)


def _top(sheet: Any) -> list[tuple[int, list[str]]]:
    """The first rows that hold anything: number and names."""
    rows = ((number, [_shown(cell).strip() for cell in cells]) for number, cells in _rows(sheet))
    top = [(number, names) for number, names in islice(rows, _LINES_ABOVE) if any(names)]
    return [(number, names[: max(place for place, name in enumerate(names, 1) if name)]) for number, names in top]


def _is_header(names: list[str], top: list[tuple[int, list[str]]], needed: Sequence[str]) -> bool:
    """Whether a row names the needed columns; where none are known, most columns of a table, and no title above it."""
    if needed:
        return set(needed) <= set(names)
    filled = sum(map(bool, names))
    return filled > 1 and 2 * filled >= max(len(row) for _, row in top)


def _shown(cell: Any) -> str:
    """A cell's value as it is shown."""
    value = cell.value
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        # repr: shortest digits that give the same number
        value = int(value) if value.is_integer() else value
    if isinstance(value, int | float):
        written = repr(value)
        zeros = re.fullmatch("0+", cell.number_format or "") if isinstance(value, int) else None
        return MachineNumber(written.zfill(len(zeros[0]) if zeros else 0))
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    return (
        value.isoformat(" ") if isinstance(value, datetime.datetime) else getattr(value, "isoformat", value.__str__)()
    )
