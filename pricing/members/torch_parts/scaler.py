"""Engineered features as the network reads them: NaN filled and scaled by values fitted on the training part."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import TypeAdapter

from pricing.errors import SchemaError
from pricing.features.table_values import TableValues
from pricing.store.artifacts import read_json, write_json
from pricing.store.tables import reading

# standard deviations; heavy-tailed counts would otherwise own the first layer
_CLIP = 4.0
# most frequent levels of a categorical column that get a column of their own
_LEVELS = 24
_RAREST = 8  # rows that a level needs


@dataclass(frozen=True)
class TabularScaler:
    """Median fill, signed logarithm of heavy tails, standard score, clip; frequent levels as indicators.

    Fitted on the training part only; NaN, infinite and unseen values of any later part are filled by what was fitted.
    """

    numeric: tuple[str, ...]
    fill: tuple[float, ...]
    logarithm: tuple[bool, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    levels: tuple[tuple[str, str], ...]
    """(column, level) of each indicator."""

    @classmethod
    def fit(cls, table: pl.DataFrame, *, without: Collection[str] = ()) -> "TabularScaler":
        """Learn from the training part: Float and String columns, any order; ids excluded.

        ``without`` names columns that are not read, such as the SVD's for a member that reads the words themselves.
        """
        numeric = tuple(name for name, kind in table.schema.items() if kind.is_numeric() and name not in without)
        values = table.select(numeric).to_numpy().astype(np.float64)
        values[~np.isfinite(values)] = np.nan
        empty = np.isnan(values).all(0) if len(values) else np.ones(len(numeric), bool)
        fill = np.where(empty, 0.0, np.nanmedian(np.where(empty, 0.0, values), axis=0))
        values = np.where(np.isnan(values), fill, values)
        # a value over 8 standard deviations away marks a heavy tail
        spread = values.std(0)
        heavy = np.abs(values - values.mean(0)).max(0, initial=0) > 8 * np.where(spread == 0, 1, spread)
        values = np.where(heavy, np.sign(values) * np.log1p(np.abs(values)), values)
        std = values.std(0)
        levels: list[tuple[str, str]] = []
        for name in sorted(n for n, kind in table.schema.items() if kind == pl.String):
            counts = table[name].value_counts().filter(pl.col("count") >= _RAREST)
            counts = counts.filter(pl.col(name).is_not_null()).sort(["count", name], descending=[True, False])
            levels += [(name, level) for level in counts[name].head(_LEVELS)]
        fitted = fill, heavy, values.mean(0), np.where(std < 1e-9, 0.0, std)
        arguments: Any = (numeric, *(tuple(array.tolist()) for array in fitted), tuple(levels))
        return cls(*arguments)

    @property
    def width(self) -> int:
        """Columns of what `transform` gives."""
        return len(self.numeric) + len(self.levels)

    def transform(self, table: pl.DataFrame) -> np.ndarray:
        """Table (n rows) -> (n, width) float32 without NaN; constant columns become 0.

        Raises
        ------
        SchemaError
            A column that was fitted is missing; names it.
        """
        return self.transform_values(TableValues.of(table))

    def transform_values(self, table: TableValues) -> np.ndarray:
        """Scale rows, as `transform`."""
        missing = [name for name in (*self.numeric, *self._indicators) if name not in table.types]
        if missing:
            raise SchemaError(f"features lack the column(s) {missing[:5]} that the network was trained on")
        fill, heavy, mean, divisor = self._fitted
        values = table.select(self.numeric).astype(np.float64)
        values = np.where(np.isfinite(values), values, fill)
        values = np.where(heavy, np.sign(values) * np.log1p(np.abs(values)), values)
        scaled = np.zeros((len(table), self.width), np.float32)
        scaled[:, : len(self.numeric)] = np.clip((values - mean) / divisor, -_CLIP, _CLIP)
        for name, places in self._indicators.items():
            for row, value in enumerate(table.texts[name]):
                if value in places:
                    scaled[row, places[value]] = 1
        return scaled

    @cached_property
    def _fitted(self) -> tuple[np.ndarray, ...]:
        """Fill, heavy tails, mean and divisor of the numeric columns."""
        std = np.array(self.std)
        return np.array(self.fill), np.array(self.logarithm, bool), np.array(self.mean), np.where(std == 0, np.inf, std)

    @cached_property
    def _indicators(self) -> dict[str, dict[str | None, int]]:
        """Column of each level's indicator, by the column that it is a level of."""
        found: dict[str, dict[str | None, int]] = {}
        for place, (name, level) in enumerate(self.levels, start=len(self.numeric)):
            found.setdefault(name, {})[level] = place
        return found

    def position(self, name: str) -> tuple[int, float, float] | None:
        """Where a numeric column stands, its mean and its standard deviation; None if it is absent or constant."""
        if name not in self.numeric:
            return None
        index = self.numeric.index(name)
        return None if self.std[index] == 0 or self.logarithm[index] else (index, self.mean[index], self.std[index])

    def save(self, path: Path) -> None:
        """Write as JSON."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> "TabularScaler":
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            The file is missing or damaged.
        """
        with reading(path, "a scaler of numbers"):
            return TypeAdapter(cls).validate_python(read_json(path))
