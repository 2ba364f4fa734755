"""The prices of a catalogue file, as they are written: one decimal mark and one currency, whatever the batches."""

from typing import Any

import polars as pl

from pricing.catalogue.currencies import CODES, NO_DECIMALS, SHARED
from pricing.catalogue.written_numbers import MARK_NAMES, DecimalMark, Place, read_priced, telling_example
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
        # currency that prices name to their number and the first of them
        self._named: dict[str, tuple[int, str]] = {}
        self._priced = self._signed = 0
        self._example: str | None = None

    def read(self, values: pl.Series, place: Place) -> pl.DataFrame:
        """Read the prices of n rows.

        Parameters
        ----------
        values : Series of shape (n,)
            String, or numbers as they are.
        place : callable
            As `Place`.

        Returns
        -------
        DataFrame
            n rows: ``number`` (Float64, null where there is no price or none that can be read), ``unpriced`` (whether
            there is none), ``misfit`` (whether it can be read with the other decimal mark alone). Nothing is read from
            a second currency on, which `check` refuses.

        Raises
        ------
        CatalogueError
            Nothing tells the decimal mark.
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
        if self._signed and not self._declared and self._signed < self._priced:
            found["without_currency"] = self._priced - self._signed
        return found

    def check(self) -> None:
        """Refuse prices of several currencies, or of another one than declared, once all are read.

        Raises
        ------
        CatalogueError
            It names the currencies, with their number of prices and the first one each.
        """
        if not self._wrong:
            return
        shown = "; ".join(
            f"{count:,} {'is' if count == 1 else 'are'} in {code}, such as {example}"
            for code, (count, example) in self._wrong.items()
        )
        if self._declared:
            raise CatalogueError(
                f"{self._where}: catalogue.currency declares {self._declared}, but of the prices {shown}; give prices "
                "of one currency, or declare theirs"
            )
        shared = sorted({sign for sign in self._wrong for code in self._wrong if code in SHARED.get(sign, ())})
        advice = "".join(f", or declare catalogue.currency if {sign} stands for the same" for sign in shared)
        raise CatalogueError(
            f"{self._where}: prices are of several currencies: {shown}; convert them to one, or keep the rows of one"
            f"{advice}"
        )

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

    @property
    def _wrong(self) -> dict[str, tuple[int, str]]:
        """The currencies that there may not be; number of prices and the first one each."""
        if self._declared:
            right = (self._declared, *(sign for sign, codes in SHARED.items() if self._declared in codes))
            return {code: found for code, found in self._named.items() if code not in right}
        return self._named if len(self._named) > 1 else {}

    def _written(self, text: pl.Series, place: Place) -> tuple[pl.Series, pl.Series]:
        """Numbers of prices as they are written, and which of them have the other mark."""
        readings = read_priced(text)
        point, comma = readings["point"], readings["comma"]
        read = point.is_not_null() | comma.is_not_null()
        currency = readings["currency"].set(~read, None)
        self._count(currency, text, place)
        if self._wrong:
            return pl.repeat(None, len(text), dtype=pl.Float64, eager=True), pl.repeat(False, len(text), eager=True)
        whole = self.currency in NO_DECIMALS
        self.mark.settle(text, readings, place, no_decimals=whole)
        number = self.mark.read(readings)
        if whole:
            # "1.299" after "1,299" is another mark, and no fraction
            number = number.set(((point != comma) & (number != number.round())).fill_null(False), None)
        self._signed += int((number.is_not_null() & (currency != "")).sum())
        self._example = self._example or telling_example(text, number, self.mark.mark)
        return number, number.is_null() & read

    def _count(self, currency: pl.Series, text: pl.Series, place: Place) -> None:
        """Count the currencies that prices name."""
        for code in currency.drop_nulls().unique(maintain_order=True).to_list():
            if code:
                at = currency.eq(code).fill_null(False).arg_true()
                before, example = self._named.get(code, (0, f"{text[at[0]]!r} ({place(at[0])})"))
                self._named[code] = before + len(at), example
                self.currency = self.currency or code


def _read(number: pl.Series, unpriced: pl.Series, misfit: pl.Series) -> pl.DataFrame:
    return pl.DataFrame({"number": number, "unpriced": unpriced, "misfit": misfit})
