"""What shops' exports do to rows, undone before any value is read: text formulas, and variants that say half."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import polars as pl

from pricing.catalogue.currency_columns import CurrencyColumn
from pricing.catalogue.raw_batch import ANY
from pricing.catalogue.text_formulas import without_formulas
from pricing.catalogue.variants import VariantRows
from pricing.config.columns import ColumnsConfig


class ShopRows:
    """Tidies one batch of raw rows after another, and counts what it found.

    Parameters
    ----------
    roles : ColumnsConfig
    columns : sequence of str
        Names of all columns of the file.
    """

    def __init__(self, roles: ColumnsConfig, columns: Sequence[str]) -> None:
        self._variants = VariantRows(roles, columns)
        self._currencies: defaultdict[str, CurrencyColumn] = defaultdict(CurrencyColumn)
        # column by role to its number of text formulas and the first one
        self._formulas: dict[str, tuple[int, str]] = {}

    def tidy(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return n raw rows as `pricing.catalogue.raw_batch.RawBatch` has them, without columns of the role `ANY`."""
        for name in frame.columns:
            values, places = without_formulas(frame[name])
            if len(places):
                count, first = self._formulas.get(name, (0, f"{frame[name][places[0]]} -> {values[places[0]]}"))
                self._formulas[name] = count + len(places), first
                frame = frame.with_columns(values)
            if name.partition(":")[0] == ANY:
                self._currencies[name].add(values)
                frame = frame.drop(name)
        return self._variants.complete(frame)

    def notes(self) -> dict[str, dict[str, Any]]:
        """Return column by role to ``formulas`` with a ``formula``, ``currencies``, or what `VariantRows.notes` has."""
        found: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        for name, (count, first) in self._formulas.items():
            found[name] |= {"formulas": count, "formula": first}
        for name, column in self._currencies.items():
            found[name] |= column.notes()
        found[self._variants.title] |= self._variants.notes()
        return {name: notes for name, notes in found.items() if notes}
