"""A table's columns as arrays, so that many models read the same rows without going through the table each time."""

from collections.abc import Mapping
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
    types : mapping of str to DataType
        Type of each column but ``sample_id``, in the table's order.
    names : tuple of str
        Columns of ``numbers``: numbers, booleans, and columns of nothing but missing values.
    numbers : ndarray of shape (n, p)
        float32, or float64 where the table has more than Float32 columns; missing values are NaN.
    texts : mapping of str to list of str
        Each String column's n values; None is missing.
    """

    types: Mapping[str, pl.DataType]
    names: tuple[str, ...]
    numbers: np.ndarray
    texts: Mapping[str, list[str | None]]

    def __len__(self) -> int:
        return len(self.numbers)

    @classmethod
    def of(cls, table: pl.DataFrame) -> Self:
        """Read a table of n rows; columns that are neither number nor text are known by their type only."""
        types = {name: kind for name, kind in table.schema.items() if name != ID}
        names = tuple(name for name, kind in types.items() if is_numeric(kind))
        read, whole = table[list(names)], [name for name in names if not types[name].is_float()]
        if whole:
            read = read.with_columns(pl.col(whole).cast(pl.Float64))
        numbers = read.to_numpy() if names else np.empty((table.height, 0), np.float32)
        texts = {name: table[name].to_list() for name, kind in types.items() if kind == pl.String}
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


def is_numeric(kind: pl.DataType) -> bool:
    """Whether a column of this type is read as numbers."""
    return kind.is_numeric() or kind in (pl.Boolean, pl.Null)


@lru_cache(maxsize=1024)
def _places(wanted: tuple[str, ...], names: tuple[str, ...]) -> np.ndarray:
    place = {name: number for number, name in enumerate(names)}
    return np.array([place[name] for name in wanted], dtype=np.intp)
