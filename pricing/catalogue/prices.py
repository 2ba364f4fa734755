"""The prices of a catalogue file, as they are written: one decimal mark and one currency, whatever the batches."""

from collections.abc import Callable
from typing import Any

import polars as pl

from pricing.catalogue.currencies import CODES, SHARED
from pricing.catalogue.written_numbers import MARK_NAMES, DecimalMark, read_priced, telling_example
from pricing.config.catalogue import CatalogueConfig
from pricing.errors import CatalogueError

# and no other word: "free" or "n/a" may be meant as a price
_NO_PRICE = ("", "nan", "null")


class PriceColumn:
    """Reads the prices of one batch after another.

    Parameters
    ----------
    file : str
        Name of the file, for messages.
    config : CatalogueConfig
        The price's column; decimal mark and currency, where they are declared.

    Attributes
    ----------
    mark : DecimalMark
        As far as it is known. Prices that are numbers already, as Parquet holds them, say nothing of it.
    currency : str
        As `pricing.catalogue.currencies` names it; "" where none is declared and no price names one.
    """

    def __init__(self, file: str, config: CatalogueConfig) -> None:
        if config.currency and config.currency not in CODES:
            raise CatalogueError(
                f"catalogue.currency is {config.currency}, which is no currency; give its ISO code, such as EUR"
            )
        self._where = f"{file}: column {config.roles.price}"
        self._declared = config.currency
        self.mark = DecimalMark(self._where, config.decimal_mark)
        self.currency = config.currency or ""
        self._named_by = ""
        self._named = self._priced = 0
        self._example: str | None = None

    def read(self, values: pl.Series, place: Callable[[int], str]) -> pl.DataFrame:
        """Read the prices of n rows.

        Parameters
        ----------
        values : Series of shape (n,)
            String, or numbers as they are.
        place : callable
            Says of a position where in the file it is.

        Returns
        -------
        DataFrame
            n rows: ``number`` (Float64, null where there is no price or none that can be read), ``unpriced`` (whether
            there is none), ``misfit`` (whether it can be read with the other decimal mark alone).

        Raises
        ------
        CatalogueError
            Nothing tells the decimal mark, the prices are of two currencies, or of another one than declared.
        """
        if values.dtype != pl.String:
            number = values.cast(pl.Float64)
            unpriced = number.is_null() | number.is_nan()
            return _read(number.set(unpriced, None), unpriced, pl.repeat(False, len(values), eager=True))
        text = values.fill_null("").str.strip_chars()
        number = text.cast(pl.Float64, strict=False)
        unpriced = text.str.to_lowercase().is_in(_NO_PRICE) | number.is_nan().fill_null(False)
        number = number.set(unpriced, None)
        # a point reads what a machine wrote, to the last bit
        rest = ~unpriced & (number.is_null() if self.mark.mark == "." else ~number.is_infinite().fill_null(False))
        at = rest.arg_true()
        misfit = pl.repeat(False, len(values), eager=True)
        if len(at):
            found, wrong = self._written(text.gather(at), lambda row: place(at[row]))
            number, misfit = number.scatter(at, found), misfit.scatter(at, wrong)
        self._priced += int(number.is_not_null().sum())
        return _read(number, unpriced, misfit)

    def notes(self) -> dict[str, Any]:
        """Return what was read as what: ``mark``, ``currency``, ``example``; empty where all were plain numbers."""
        found: dict[str, Any] = {}
        if self._example:
            if self.mark.mark:
                found |= {"mark": self.mark.mark, "by": self.mark.proof}
            found["example"] = self._example
        if self.currency:
            found["currency"] = self.currency
        # a declared currency is that of them all
        if self._named_by and not self._declared and self._named < self._priced:
            found["without_currency"] = self._priced - self._named
        return found

    @property
    def misfit(self) -> str:
        """What is wrong with a price of the other decimal mark; "" as long as the mark is not known."""
        if self.mark.mark is None:
            return ""
        shown = "is declared" if self.mark.proof == "declared" else f"{self.mark.proof} shows"
        return (
            f"does not fit the decimal {MARK_NAMES[self.mark.mark]} that {shown}; write it with that, or declare the "
            "other one with catalogue.decimal_mark"
        )

    def _written(self, text: pl.Series, place: Callable[[int], str]) -> tuple[pl.Series, pl.Series]:
        """Numbers of prices as they are written, and which of them have the other mark."""
        readings = read_priced(text)
        self.mark.settle(text, readings, place)
        number = self.mark.read(readings)
        misfit = number.is_null() & (readings["point"].is_not_null() | readings["comma"].is_not_null())
        self._one(readings["currency"].set(number.is_null(), None), text, place)
        self._example = self._example or telling_example(text, number, self.mark.mark)
        return number, misfit

    def _one(self, currency: pl.Series, text: pl.Series, place: Callable[[int], str]) -> None:
        """Refuse a second currency."""
        named = (currency != "").fill_null(False).arg_true()
        self._named += len(named)
        found = currency.gather(named)
        for code in found.unique(maintain_order=True):
            at = named[found.eq(code).arg_max()]
            here = f"{text[at]!r} ({place(at)})"
            if self._declared and code != self._declared and self._declared not in SHARED.get(code, ()):
                raise CatalogueError(
                    f"{self._where}: {here} is in {code}, and catalogue.currency declares {self._declared}; give "
                    "prices of one currency, or declare theirs"
                )
            if not self._declared and self.currency and code != self.currency:
                advice = "convert them to one"
                if code in SHARED.get(self.currency, ()) or self.currency in SHARED.get(code, ()):
                    shared = min(code, self.currency, key=len)
                    advice += f", or declare catalogue.currency if {shared} stands for it too"
                raise CatalogueError(
                    f"{self._where}: prices are of two currencies, {self.currency} as in {self._named_by} and {code} "
                    f"as in {here}; {advice}"
                )
            if not self.currency:
                self.currency = code
            self._named_by = self._named_by or here


def _read(number: pl.Series, unpriced: pl.Series, misfit: pl.Series) -> pl.DataFrame:
    return pl.DataFrame({"number": number, "unpriced": unpriced, "misfit": misfit})
