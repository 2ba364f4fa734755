"""Columns beside the price that name its currency row by row, where no role names them."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import polars as pl

from pricing.catalogue.column_facts import NAMES, spelled
from pricing.catalogue.currencies import CODES
from pricing.catalogue.number_columns import MISSING
from pricing.config.columns import ColumnsConfig


def currency_columns(names: Iterable[str], roles: ColumnsConfig) -> list[str]:
    """Return the names that are called after a currency and have no role but ``ignore``."""
    used = roles.named()
    return [name for name in names if name not in used and re.search(NAMES["currency"], spelled(name))]


class CurrencyColumn:
    """Counts the currencies that a column names; a column that holds anything else names none."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._codes = True

    def add(self, values: pl.Series) -> None:
        """Count values, String."""
        if not self._codes:
            return
        for value, count in values.fill_null("").str.strip_chars().value_counts(name="count").iter_rows():
            if value.upper() in CODES:
                self._counts[value.upper()] += count
            elif value.lower() not in MISSING:
                self._codes = False
                return

    def notes(self) -> dict[str, Any]:
        """Return ``currencies``, code to number of rows; empty where there are fewer than two."""
        return {"currencies": dict(self._counts.most_common())} if self._codes and len(self._counts) > 1 else {}
