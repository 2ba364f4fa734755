"""A table's columns as arrays, so that many models read the same rows without going through the table each time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
import polars as pl

ID = "sample_id"


@dataclass(frozen=True)
class TableValues:
    """n rows of numbers and texts.

    Attributes
    ----------
    types : mapping of str to DataType class
        Class of the type of each column but ``sample_id``, in the table's order.
    names : tuple of str
        Columns of ``numbers``: numbers, booleans, and columns of nothing but missing values.
    numbers : ndarray of shape (n, p)
        float32, or float64 where the table has more than Float32 columns; missing values are NaN.
    texts : mapping of str to list of str
        Each String column's n values; None is missing.
    """

    types: Mapping[str, type[pl.DataType]]
    names: tuple[str, ...]
    numbers: np.ndarray
    texts: Mapping[str, list[str | None]]

    def __len__(self) -> int:
        return len(self.numbers)

    @classmethod
    def of(cls, table: pl.DataFrame) -> Self:
        """Read a table of n rows; columns that are neither number nor text are known by their type only."""
        # classes, since comparing instances of types takes longer than all that is read of one row
        types = {name: type(kind) for name, kind in zip(table.columns, table.dtypes, strict=True) if name != ID}
        number, text = {kind for kind in set(types.values()) if is_numeric(kind)}, pl.String
        names = tuple(name for name, kind in types.items() if kind in number)
        read, floats = table[list(names)], {kind for kind in number if kind.is_float()}
        whole = [name for name in names if types[name] not in floats]
        if whole:
            read = read.with_columns(pl.col(whole).cast(pl.Float64))
        numbers = read.to_numpy() if names else np.empty((table.height, 0), np.float32)
        texts = {name: table[name].to_list() for name, kind in types.items() if kind is text}
        return cls(types, names, numbers, texts)

    def beside(self, other: Self) -> Self:
        """Return the columns of both, for the same rows."""
        numbers = np.concatenate([self.numbers, other.numbers], axis=1)
        return type(self)(
            {**self.types, **other.types}, self.names + other.names, numbers, {**self.texts, **other.texts}
        )

    def select(self, names: tuple[str, ...]) -> np.ndarray:
        """Return columns of numbers in another order, of shape (n, len(names)).

        Raises
        ------
        KeyError
            There is no column of numbers of that name.
        """
        return self.numbers[:, _places(names, self.names)]


def is_numeric(kind: pl.DataType | type[pl.DataType]) -> bool:
    """Whether a column of this type is read as numbers."""
    return kind.is_numeric() or kind in (pl.Boolean, pl.Null)


def cut_columns(names: Iterable[str], values: np.ndarray) -> list[pl.Series]:
    """Return the rows of an array of shape (p, n) as p columns.

    They are cut out of one series: p series of one number each take milliseconds to make, as long as the numbers.
    """
    flat, count = pl.Series(np.ascontiguousarray(values).ravel()), values.shape[1]
    return [flat.slice(place * count, count).alias(name) for place, name in enumerate(names)]


@lru_cache(maxsize=1024)
def _places(wanted: tuple[str, ...], names: tuple[str, ...]) -> np.ndarray:
    place = {name: number for number, name in enumerate(names)}
    return np.array([place[name] for name in wanted], dtype=np.intp)
