"""From the values of a file's rows, as they are written, to prices, numbers and times."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import polars as pl

from pricing.catalogue.currency_columns import currency_columns
from pricing.catalogue.number_columns import NumberColumn
from pricing.catalogue.prices import PriceColumn
from pricing.catalogue.raw_batch import ANY, RawTable
from pricing.catalogue.roles import TIME, role_name
from pricing.catalogue.shop_rows import ShopRows
from pricing.catalogue.text_formulas import without_formulas
from pricing.catalogue.written_numbers import Mark, Place
from pricing.catalogue.written_times import TimeColumn
from pricing.config.catalogue import CatalogueConfig


class ValueReader:
    """Types the values of one batch after another; what a column's first values prove holds for the whole file.

    Parameters
    ----------
    table : RawTable
        The file.
    wanted : dict of str to str
        The columns that are read, name by role to name in the file.
    labelled : bool
        Whether the rows have prices.
    config : CatalogueConfig
        The columns' roles; decimal mark, order of dates and currency, where they are declared.
    marks : mapping of str to str
        Column of numbers to the decimal mark of the catalogue learnt from, for columns that prove none.

    Attributes
    ----------
    counted : dict of str to str
        Columns that are to be read too, as `wanted`: they name currencies.
    """

    def __init__(
        self, table: RawTable, wanted: dict[str, str], labelled: bool, config: CatalogueConfig,
        marks: Mapping[str, Mark],
    ) -> None:  # fmt: skip
        roles, file = config.roles, table.name
        self._table, self._wanted = table, wanted
        self._roles = roles
        self._marks = marks
        self._rows = ShopRows(roles, table.columns)
        beside = currency_columns(table.columns, roles) if labelled and config.columns else []
        self.counted = {role_name(ANY, name): name for name in beside if table.columns.count(name) == 1}
        self._price = PriceColumn(file, config) if labelled else None
        self._price_column = role_name("price", roles.price)
        self._numbers = {
            role_name("number", name): NumberColumn(f"{file}: column {name}", config.decimal_mark)
            for name in roles.number
        }
        self._times = {}
        if roles.time:
            column = TimeColumn(f"{file}: column {roles.time}", config.date_order, needed=labelled)
            self._times[role_name("time", roles.time)] = column
        if self._price is not None:
            self._price.mark.whole_column = partial(self._whole_column, self._price_column)
        for name, number in self._numbers.items():
            number.mark.whole_column = partial(self._whole_column, name)

    def read(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Type n raw rows, tidied by `ShopRows`.

        Parameters
        ----------
        frame : DataFrame
            n rows as `pricing.catalogue.raw_batch.RawBatch` has them, without missing columns.

        Returns
        -------
        DataFrame
            The rows with ``number``, ``unpriced``, ``misfit`` of the price, as `PriceColumn.read`, for a labelled file;
            columns of numbers as Float64, and `TIME`.

        Raises
        ------
        CatalogueError
            Nothing tells a column's decimal mark or order of dates.
        """
        frame, place = self._rows.tidy(frame), _place(frame)
        if self._price is not None:
            frame = frame.hstack(self._price.read(frame[self._price_column], place))
        for name, column in self._numbers.items():
            mark = self._marks.get(name) if self._price is None else self._price.mark.mark
            frame = frame.with_columns(column.read(frame[name], place, mark).alias(name))
        for name, times in self._times.items():
            frame = frame.with_columns(times.read(frame[name], place).alias(TIME))
        return frame

    def check(self) -> None:
        """Refuse prices of several currencies, once all rows are read; see `PriceColumn.check`."""
        if self._price is not None:
            self._price.check()

    @property
    def misfit(self) -> str:
        """What is wrong with a price of the other decimal mark."""
        return "" if self._price is None else self._price.misfit

    @property
    def currency(self) -> str:
        """As `PriceColumn` has it; "" for a file without prices."""
        return "" if self._price is None else self._price.currency

    @property
    def marks(self) -> dict[str, Mark]:
        """Column of numbers to its decimal mark or, where it has none, that of the prices."""
        usual = self._price.mark.mark if self._price else None
        found = {name: column.mark.mark or usual or self._marks.get(name) for name, column in self._numbers.items()}
        return {name: mark for name, mark in found.items() if mark is not None}

    def notes(self) -> dict[str, dict[str, Any]]:
        """Return what was read as what, column by role, without those of which there is nothing to say."""
        columns: dict[str, Any] = {"price": self._price, **self._numbers, **self._times}
        found = self._rows.notes()
        for name, column in columns.items():
            if column is not None and (notes := column.notes()):
                found[name] = notes | found.get(name, {})
        return found

    def _whole_column(self, name: str) -> Iterator[tuple[pl.Series, Place]]:
        """The values of a column from the file's beginning on, as they are written."""
        for batch in self._table.batches({name: self._wanted[name]}, self._roles):
            if batch.frame[name].dtype == pl.String:
                yield without_formulas(batch.frame[name])[0], _place(batch.frame)


def _place(frame: pl.DataFrame) -> Place:
    rows, lines = frame["row"], frame["line"]
    return lambda at: f"row {rows[at]}" if lines[at] is None else f"row {rows[at]}, line {lines[at]}"
