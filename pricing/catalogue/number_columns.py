"""Declared columns of numbers: read by a decimal mark, or missing; a value that cannot be read is no bad row."""

from collections import Counter
from typing import Any

import polars as pl

from pricing.catalogue.written_numbers import DecimalMark, Mark, Place, is_plain, read_priced, telling_example

MISSING = ("", "nan", "null", "none", "na", "n/a", "#n/a", "<na>", "nat", "-", "–", "—", "?")
_TRUTH = {
    "1": ("true", "yes", "y", "ja", "j", "wahr", "oui", "vrai", "si", "sí", "sì", "verdadero", "vero"),
    "0": ("false", "no", "n", "nein", "falsch", "non", "faux", "falso"),
}
TRUTH_WORDS = {word: digit for digit, words in _TRUTH.items() for word in words}
"""Words for true and false, in lower case, to 1 and 0."""
# spellings of unread values that are told apart; a column of a million texts is none of numbers
_SPELLINGS = 1000
_SHOWN = 3


class UnreadValues:
    """Counts values that could not be read, and the commonest of them."""

    def __init__(self) -> None:
        self._count = 0
        self._spellings: Counter[str] = Counter()

    def add(self, values: pl.Series) -> None:
        """Count values, String."""
        self._count += len(values)
        for spelling, count in values.str.slice(0, 40).value_counts(name="count").iter_rows():
            if spelling in self._spellings or len(self._spellings) < _SPELLINGS:
                self._spellings[spelling] += count

    def notes(self) -> dict[str, Any]:
        """Return ``unread`` and the ``commonest``, spelling to count; empty where all were read."""
        if not self._count:
            return {}
        ordered = sorted(self._spellings.items(), key=lambda item: (-item[1], item[0]))
        return {"unread": self._count, "commonest": dict(ordered[:_SHOWN])}


class NumberColumn:
    """Reads a declared column of numbers, one batch after another.

    Words of English, German, French, Spanish and Italian for true and false are 1 and 0; a percent sign or a currency
    beside a number is dropped. What cannot be read, or is not finite, is missing.

    Parameters
    ----------
    where : str
        File and column, for messages.
    mark : str or None
        Decimal mark, where it is declared.

    Attributes
    ----------
    mark : DecimalMark
        As far as it is known; a point where the values are numbers already.
    """

    def __init__(self, where: str, mark: Mark | None) -> None:
        self.mark = DecimalMark(where, mark)
        self._unread = UnreadValues()
        self._example: str | None = None

    def read(self, values: pl.Series, place: Place, fallback: Mark | None) -> pl.Series:
        """Return the numbers of n rows, Float64 with nulls.

        Parameters
        ----------
        values : Series of shape (n,)
            String, or numbers as they are.
        place : callable
            As `Place`.
        fallback : str or None
            Decimal mark of the file's prices, or of the catalogue learnt from.

        Raises
        ------
        CatalogueError
            Nothing tells the decimal mark.
        """
        if values.dtype != pl.String:
            self.mark.mark = self.mark.mark or "."
            number = values.cast(pl.Float64).fill_nan(None)
            self._unread.add(number.filter(number.is_infinite().fill_null(False)).cast(pl.String))
            return number.set(number.is_infinite().fill_null(False), None)
        text = values.fill_null("").str.strip_chars()
        missing = text.str.to_lowercase().is_in(MISSING)
        self.mark.fallback = fallback
        # what a machine wrote means one number by a point, and a whole number by any mark; those are read at once
        certain = is_plain(text) if self.mark.mark == "." else text.str.contains("^[+-]?[0-9]+$")
        number = text.set(~certain, None).cast(pl.Float64)
        at = (~missing & ~certain).arg_true()
        if len(at):
            number = number.scatter(at, self._written(text.gather(at), lambda row: place(at[row])))
        number = number.set(number.is_infinite().fill_null(False), None)
        self._unread.add(text.filter(number.is_null() & ~missing))
        return number

    def notes(self) -> dict[str, Any]:
        """Return what was read as what: ``mark``, ``example``, ``unread``; empty where all were plain numbers."""
        found: dict[str, Any] = self._unread.notes()
        if self._example:
            if self.mark.mark:
                found |= {"mark": self.mark.mark, "by": self.mark.proof}
            found["example"] = self._example
        return found

    def _written(self, text: pl.Series, place: Place) -> pl.Series:
        """Numbers as they are written, words for true and false among them."""
        word = text.str.to_lowercase()
        readings = read_priced(word.replace(TRUTH_WORDS).str.replace(r"\s*%$", ""))
        self.mark.settle(text, readings, place)
        number = self.mark.read(readings)
        told = number.set(word.is_in([*TRUTH_WORDS]) | number.is_infinite().fill_null(False), None)
        self._example = self._example or telling_example(text, told, self.mark.mark)
        return number
