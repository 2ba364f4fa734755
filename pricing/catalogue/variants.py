"""Rows without a title that continue the product above them, as shops export variants: what it says holds for them too.

Shopify writes title, description and vendor of a product into its first row only; the rows of its other variants
repeat the handle alone.
"""

import re
from collections.abc import Sequence
from typing import Any

import polars as pl

from pricing.catalogue.column_facts import NAMES, spelled
from pricing.catalogue.roles import role_name
from pricing.config.columns import ColumnsConfig

_SHARED = ("title", "text", "category", "image")
"""Roles whose columns such a row takes over where it has nothing of its own."""


class VariantRows:
    """Completes one batch after another.

    A row without a title whose group is that of the row above takes over what it lacks. Without a declared group no row
    does.

    Parameters
    ----------
    roles : ColumnsConfig
    columns : sequence of str
        Names of all columns of the file, by which one that looks like the group is named.

    Attributes
    ----------
    title : str
        The title's column by role; "" without one.
    """

    def __init__(self, roles: ColumnsConfig, columns: Sequence[str]) -> None:
        self.title = role_name("title", roles.title) if roles.title else ""
        self._group = role_name("group", roles.group) if roles.group else ""
        self._named = roles.group
        alike = (name for name in columns if name not in roles.named() and re.search(NAMES["group"], spelled(name)))
        self._likely = next(alike, None)
        self._id = role_name("id", roles.id)
        self._shared = [role_name(role, name) for role in _SHARED for name in roles.roles().get(role, ())]
        # the last row: its product may go on in the next batch
        self._above = pl.DataFrame()
        self._completed = self._untitled = 0

    def complete(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return n raw rows, those without a title with what they take over."""
        # a column that the file does not have is null throughout
        if not self.title or frame[self.title].null_count() == frame.height:
            return frame
        # a row without an id is left out; Shopify has one for each further image
        there = ~_empty(frame, self._id)
        if self._group:
            asked = [self._group, *self._shared]
            rows = pl.concat([self._above, frame.select(asked)]) if self._above.height else frame.select(asked)
            if rows.select(_is_empty(self.title).any()).item():
                rows = _completed(rows, self.title, self._group)
            self._above, rows = rows.tail(1), rows.tail(frame.height)
            self._completed += int((there & _empty(frame, self.title) & ~_empty(rows, self.title)).sum())
            frame = frame.with_columns(rows)
        self._untitled += int((there & _empty(frame, self.title)).sum())
        return frame

    def notes(self) -> dict[str, Any]:
        """Return how many rows were ``completed`` and are ``untitled``, the ``group``, or the ``likely`` one.

        Empty where all rows have a title.
        """
        if not self._completed and not self._untitled:
            return {}
        found = {"completed": self._completed, "untitled": self._untitled, "group": self._named, "likely": self._likely}
        return {name: value for name, value in found.items() if value}


def _completed(rows: pl.DataFrame, title: str, group: str) -> pl.DataFrame:
    """Rows with the values of the last row with a title above them, as long as the group is the same."""
    shared = [name for name in rows.columns if name != group]
    key = pl.col(group).fill_null("").str.strip_chars()
    taken = {
        name: pl.when(~_is_empty(title)).then(pl.col(name).fill_null("")).forward_fill().over(key.rle_id())
        for name in shared
    }
    lacking = _is_empty(title) & (key != "")
    return rows.with_columns(
        pl.when(lacking & _is_empty(name)).then(pl.coalesce(value, name)).otherwise(name).alias(name)
        for name, value in taken.items()
    )


def _is_empty(name: str) -> pl.Expr:
    return pl.col(name).fill_null("").str.strip_chars() == ""


def _empty(frame: pl.DataFrame, name: str) -> pl.Series:
    return frame.select(_is_empty(name)).to_series()
