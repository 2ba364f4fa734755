"""Numbers and prices as people write them, read by a decimal mark that is declared or proven, and never guessed.

A number is digits with at most one decimal mark, a point or a comma; thousands are parted by the other one, by blanks
or by apostrophes. "1,299.00" and "12.99" can be read with a point only, "1.299,00" and "12,99" with a comma only;
"1,299" and "1.299" can be read with both and prove nothing. Every value is read both ways here, and
`DecimalMark` decides by all of a column's values which reading counts. Parsers of single prices (price-parser,
babel) guess each value by itself or want a locale, which a catalogue does not name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from pricing.catalogue.currencies import one_currency
from pricing.errors import CatalogueError

Mark = Literal[".", ","]

MARK_NAMES: dict[Mark, str] = {".": "point", ",": "comma"}

_DIGITS = r"[.,]?[0-9](?:[0-9.,' ]*[0-9])?"
# what stands around a number: a sign, a currency, a Swiss or German ",-" for "no cents". A currency's own point
# ("Rs.99") belongs to the letters before it.
_WRITTEN = (
    r"^(?P<minus>[+-]?) ?(?P<before>[^0-9+-]*?\p{L}[./]*|[^0-9+-]*?) ?(?P<minus_behind>[+-]?) ?"
    rf"(?P<digits>{_DIGITS})(?P<exponent>[eE][+-]?[0-9]+)?(?:[.,]-{{0,2}})?(?P<behind>[^0-9]*)$"
)
_MACHINE = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"


def _grouped(mark: str, other: str) -> str:
    """Digits with a decimal mark; groups of three, or as in India of two before the last three."""
    groups = rf"[0-9]+|[1-9][0-9]{{0,2}}(?:{other}[0-9]{{2,3}})*{other}[0-9]{{3}}|[1-9][0-9]{{0,2}}(?:[ '][0-9]{{3}})+"
    return rf"^(?:(?:{groups})(?:{mark}[0-9]+)?|{mark}[0-9]+)$"


_FITS = {".": _grouped(r"\.", ","), ",": _grouped(",", r"\.")}


def read_written(values: pl.Series) -> pl.DataFrame:
    """Read values both ways.

    Parameters
    ----------
    values : Series of shape (n,)
        String; nulls are read as nulls.

    Returns
    -------
    DataFrame
        n rows: ``point`` and ``comma`` (Float64: the value with that decimal mark, null where it cannot be read with
        it), ``before`` and ``behind`` (String: what stands around the number; null where nothing could be read).
        Each value is the double nearest to the decimal number that is written.
    """
    written = pl.col("written")
    table = values.alias("written").to_frame()
    tidy = (
        written.str.replace_all(r"[‘’´`ʼ]", "'")
        .str.replace_all(r"[−‒–—]", "-")
        .str.replace_all(r"\p{Cf}", "")
        .str.replace_all(r"\s+", " ")
        .str.strip_chars(" ")
    )
    parts = pl.col("parts").struct
    minus, digits, exponent = parts.field("minus") + parts.field("minus_behind"), pl.col("digits"), pl.col("exponent")
    readings = {
        "point": pl.when(digits.str.contains(_FITS["."])).then(digits.str.replace_all("[,' ]", "")),
        "comma": pl.when(digits.str.contains(_FITS[","]) & (exponent == ""))
        .then(digits.str.replace_all("[.' ]", "").str.replace(",", ".", literal=True)),
    }  # fmt: skip
    table = table.select(tidy.str.extract_groups(_WRITTEN).alias("parts")).select(
        digits=parts.field("digits"), exponent=parts.field("exponent").fill_null(""), minus=minus,
        before=parts.field("before").str.strip_chars(), behind=parts.field("behind").str.strip_chars(),
    )  # fmt: skip
    return table.select(
        *((pl.col("minus") + reading + exponent).cast(pl.Float64, strict=False).alias(name)
          for name, reading in readings.items()),
        "before", "behind",
    )  # fmt: skip


def read_priced(values: pl.Series) -> pl.DataFrame:
    """Read values both ways, with the currency beside them.

    Parameters
    ----------
    values : Series of shape (n,)
        String; nulls are read as nulls.

    Returns
    -------
    DataFrame
        n rows: ``point`` and ``comma`` as `read_written` has them, null where anything but a currency stands beside the
        number; ``currency`` (String as `pricing.catalogue.currencies` names it, "" without, null where unread).
    """
    table = read_written(values)
    beside = table.select(pl.concat_str("before", pl.lit("\n"), "behind")).to_series()
    known = {texts: one_currency(*texts.split("\n")) for texts in beside.drop_nulls().unique()}
    currency = beside.replace_strict(known, default=None, return_dtype=pl.String)
    readings = (pl.when(currency.is_not_null()).then(name).alias(name) for name in ("point", "comma"))
    return table.select(*readings, currency=currency)


def is_plain(values: pl.Series) -> pl.Series:
    """Whether values are written as machines write numbers: ``4.99``, ``1e3``, ``4.890000000000001``."""
    return values.str.strip_chars().str.contains(_MACHINE)


@dataclass
class DecimalMark:
    """The decimal mark of one column of one file, settled by the first values that have a mark.

    Attributes
    ----------
    where : str
        File and column, for messages.
    mark : str or None
        Once it is known.
    fallback : str or None
        Mark that counts where no value proves one: that of the file's prices, or of the catalogue learnt from.
    proof : str
        What settled it, for people: "declared", or a value and its place; "" for the fallback.
    """

    where: str
    mark: Mark | None = None
    fallback: Mark | None = None
    proof: str = "declared"

    def settle(self, written: pl.Series, readings: pl.DataFrame, place: Callable[[int], str]) -> None:
        """Decide the mark, unless it is known.

        Parameters
        ----------
        written : Series of shape (n,)
            Values as they stand in the file.
        readings : DataFrame
            n rows, as `read_written` gives them.
        place : callable
            Says of a position where in the file it is.

        Raises
        ------
        CatalogueError
            All values with a mark can be read with both, or as many prove the one as the other.
        """
        if self.mark is not None:
            return
        point, comma = readings["point"], readings["comma"]
        proofs = {
            ".": (point.is_not_null() & comma.is_null()).arg_true(),
            ",": (comma.is_not_null() & point.is_null()).arg_true(),
        }
        counts = {mark: len(places) for mark, places in proofs.items()}
        first = {mark: f"{written[places[0]]!r} ({place(places[0])})" for mark, places in proofs.items() if len(places)}
        both = (point != comma).fill_null(False).arg_true()
        if counts["."] != counts[","]:
            found: Mark = "." if counts["."] > counts[","] else ","
            self.mark, self.proof = found, first[found]
        elif not counts["."] and not len(both):
            return
        elif self.fallback is not None:
            self.mark, self.proof = self.fallback, ""
        elif counts["."]:
            raise CatalogueError(
                f"{self.where}: as many values have a decimal point, such as {first['.']}, as a decimal comma, such as "
                f"{first[',']}; {_DECLARE}, or write all of them alike"
            )
        else:
            at = both[0]
            raise CatalogueError(
                f"{self.where}: {written[at]!r} ({place(at)}) is {_shown(point[at])} with a decimal point and "
                f"{_shown(comma[at])} with a decimal comma, and no value tells which; {_DECLARE}"
            )

    def read(self, readings: pl.DataFrame) -> pl.Series:
        """Return the values as the mark has them, Float64; without a mark all readings are whole numbers."""
        return readings["comma" if self.mark == "," else "point"]


def telling_example(written: pl.Series, number: pl.Series, mark: Mark | None) -> str | None:
    """Return the longest value that is no machine's number, and what it was read as; None where there is none."""
    odd = written.set(number.is_null() | (is_plain(written) & (mark != ",")), None)
    if odd.null_count() == len(odd):
        return None
    at = odd.str.len_chars().fill_null(0).arg_max()
    return f"{written[at]} -> {_shown(number[at])}"  # type: ignore[index]


_DECLARE = "declare it with the setting catalogue.decimal_mark=. or catalogue.decimal_mark=,"


def _shown(value: float) -> str:
    return f"{value:.15g}"
