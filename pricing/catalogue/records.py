"""Records of a catalogue that is read one by one (CSV, JSON lines, Excel), and batches of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from pricing.catalogue import raw_batch
from pricing.catalogue.raw_batch import NUMERIC, RawBatch, Rejected


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


class MachineNumber(str):
    """A number that a file holds as one, with a decimal point: no mark is to be detected in it."""


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
            name: _column(name, [record.values[place] for record in rows])
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


def _column(name: str, values: list[str]) -> pl.Series:
    """Values as text; as Float64 where the role's values may be numbers, and all are."""
    if name.partition(":")[0] not in NUMERIC or not any(isinstance(value, MachineNumber) for value in values):
        return pl.Series(name, values, pl.String)
    if all(isinstance(value, MachineNumber) or not value for value in values):
        return pl.Series(name, [float(value) if value else None for value in values], pl.Float64)
    return pl.Series(name, [_among_texts(value, name.startswith("amount:")) for value in values], pl.String)


def _among_texts(value: str, amount: bool) -> str:
    """A machine's number so that its point proves no decimal mark, and separates no thousands."""
    if not isinstance(value, MachineNumber) or "." not in value or "e" in value.lower():
        return value
    # an amount is read like a title's, which takes the point before three digits for a separator
    return (f"{value}0" if value[-4] == "." else value) if amount else f"{value}e0"
