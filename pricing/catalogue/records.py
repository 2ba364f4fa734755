"""Records of a catalogue that is read one by one (CSV, JSON lines, Excel), and batches of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from pricing.catalogue import raw_batch
from pricing.catalogue.raw_batch import RawBatch, Rejected


@dataclass(frozen=True)
class Record:
    """One data record of a file.

    Attributes
    ----------
    row : int
        Data row, from 1 (the header is not counted).
    line : int
        Line of the file, or row of the sheet, on which the record starts, from 1.
    values : list of str
        The record's fields as text; what could be made out of them where the record is broken. None of them where
        all are blank, however many there are.
    problem : str or None
        What is wrong with the record's structure, and what to do.
    kind : str
        What is wrong, without the figures; "" where nothing is.
    """

    row: int
    line: int
    values: list[str]
    problem: str | None = None
    kind: str = ""


def machine_number(written: str) -> str:
    """Return a number that a file holds as one so that nobody reads its decimal point as a thousands separator.

    Examples
    --------
    >>> machine_number("1.299"), machine_number("1.5"), machine_number("1299")
    ('1.2990', '1.5', '1299')
    """
    return f"{written}0" if written[-4:-3] == "." else written


def record_batches(
    file: str, records: Iterator[Record], wanted: Sequence[str], places: Sequence[int], at_id: int
) -> Iterator[RawBatch]:
    """Collect records batch by batch.

    Parameters
    ----------
    file : str
        Name of the file, for the broken rows.
    records : iterator of Record
    wanted : sequence of str
        Names of the batches' columns.
    places, at_id : sequence of int, int
        Places of these columns and of the id among a record's values.
    """
    rows: list[Record] = []
    broken: list[Rejected] = []
    characters = empty = 0

    def batch() -> RawBatch:
        columns = {
            name: pl.Series(name, [record.values[place] for record in rows], pl.String)
            for name, place in zip(wanted, places, strict=True)
        }
        numbers = {name: pl.Series(name, [getattr(one, name) for one in rows], pl.Int64) for name in ("row", "line")}
        return RawBatch(pl.DataFrame({**columns, **numbers}), broken, empty)

    for record in records:
        values = record.values
        if record.problem is not None:
            found = values[at_id].strip() if at_id < len(values) else ""
            broken.append(Rejected(file, record.row, record.line, found[:100], record.problem, record.kind))
        elif not values:
            empty += 1
        else:
            rows.append(record)
            characters += sum(map(len, values))
        if len(rows) + len(broken) == raw_batch.BATCH_ROWS or characters >= raw_batch.BATCH_CHARACTERS:
            yield batch()
            rows, broken, characters, empty = [], [], 0, 0
    if rows or broken or empty:
        yield batch()
