"""Numbers and prices as people write them, read by a decimal mark that is declared or proven, and never guessed.

A number is digits with at most one decimal mark, a point or a comma; thousands are parted by the other one, by blanks
or by apostrophes. "1,299.00" and "12.99" can be read with a point only, "1.299,00" and "12,99" with a comma only;
"1,299" and "1.299" can be read with both and prove nothing. Every value is read both ways here, and
`DecimalMark` decides by all of a column's values which reading counts. Parsers of single prices (price-parser,
babel) guess each value by itself or want a locale, which a catalogue does not name.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from pricing.catalogue.currencies import one_currency
from pricing.catalogue.plain_text import TAG, without_entities
from pricing.errors import CatalogueError

Mark = Literal[".", ","]

MARK_NAMES: dict[Mark, str] = {".": "point", ",": "comma"}
"""In words, and as a table of readings names them."""
Place = Callable[[int], str]
"""Says of a position where in the file it is."""

_DIGITS = r"[.,]?[0-9](?:[0-9.,' ]*[0-9])?"
# what stands around a number: a sign, a currency, a Swiss or German ",-" or an Indian "/-" for "no cents". A currency's
# own point ("Rs.99") belongs to the letters before it.
_WRITTEN = (
    r"^(?P<minus>[+-]?) ?(?P<before>[^0-9+-]*?\p{L}[./]*|[^0-9+-]*?) ?(?P<minus_behind>[+-]?) ?"
    rf"(?P<digits>{_DIGITS})(?P<exponent>[eE][+-]?[0-9]+)?(?P<no_cents>[.,]-{{0,2}}|/[-=])?(?P<behind>[^0-9]*)$"
)
_WIDE = dict(zip("０１２３４５６７８９．，", "0123456789.,", strict=True))
"""Digits and marks of East Asian type, to plain ones."""
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
    table = without_entities(values).alias("written").to_frame()
    tidy = (
        written.str.replace_all(TAG, " ")
        .str.replace_all(r"[‘’´`ʼ]", "'")
        .str.replace_all(r"[−‒–—]", "-")
        .str.replace_all(r"\p{Cf}", "")
        .str.replace_many(list(_WIDE), list(_WIDE.values()))
        .str.replace_all(r"\s+", " ")
        # an apostrophe before a value is a spreadsheet's sign for text
        .str.replace(r"^ ?'", "")
        # and an asterisk behind one is a shop's footnote
        .str.strip_chars(" *")
    )
    parts = pl.col("parts").struct
    minus, digits, exponent = parts.field("minus") + parts.field("minus_behind"), pl.col("digits"), pl.col("exponent")
    # "1.299,-" has no cents, and so no decimal point
    fits = {
        mark: digits.str.contains(fitting) & ~(pl.col("no_cents") & digits.str.contains(mark, literal=True))
        for mark, fitting in _FITS.items()
    }
    point = pl.when(fits["."]).then(digits.str.replace_all("[,' ]", ""))
    readings = {
        "point": point,
        # only machines write an exponent, and they write a point whatever the column's mark
        "comma": pl.when(exponent != "").then(point).when(fits[","])
        .then(digits.str.replace_all("[.' ]", "").str.replace(",", ".", literal=True)),
    }  # fmt: skip
    table = table.select(tidy.str.extract_groups(_WRITTEN).alias("parts")).select(
        digits=parts.field("digits"), exponent=parts.field("exponent").fill_null(""), minus=minus,
        before=parts.field("before").str.strip_chars(), behind=parts.field("behind").str.strip_chars(),
        no_cents=parts.field("no_cents").str.contains("[-=]").fill_null(False),
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
    whole_column : callable
        Yields the values of the whole column piece by piece, each with its `Place`: values that tell nothing may be
        followed by one that does.
    """

    where: str
    mark: Mark | None = None
    fallback: Mark | None = None
    proof: str = "declared"
    whole_column: Callable[[], Iterable[tuple[pl.Series, Place]]] = tuple

    def settle(self, written: pl.Series, readings: pl.DataFrame, place: Place, *, no_decimals: bool = False) -> None:
        """Decide the mark, unless it is known.

        Parameters
        ----------
        written : Series of shape (n,)
            Values as they stand in the file.
        readings : DataFrame
            n rows, as `read_written` gives them.
        place : callable
            As `Place`.
        no_decimals : bool
            Whether the values are of a currency that is written without decimals, so that "1,299" is no fraction.

        Raises
        ------
        CatalogueError
            All values of the column with a mark can be read with both, or as many prove the one as the other.
        """
        if self.mark is not None or self._prove(written, readings, place):
            return
        point, comma = readings["point"], readings["comma"]
        both = (point != comma).fill_null(False).arg_true()
        if self.fallback is not None and (len(both) or not point.equals(comma)):
            self.mark, self.proof = self.fallback, ""
            return
        if not len(both):
            return
        at = both[0]
        shown = f"{written[at]!r} ({place(at)})"
        # the larger reading of a value is the one of thousands
        thousands = (point.abs() > comma.abs()).gather(both)
        if no_decimals and thousands.n_unique() == 1:
            self.mark, self.proof = "." if thousands[0] else ",", f"{shown}, in a currency without decimals,"
        elif not any(self._prove(values, read_priced(values), there) for values, there in self.whole_column()):
            raise CatalogueError(
                f"{self.where}: {shown} is {_shown(point[at])} with a decimal point and {_shown(comma[at])} with a "
                f"decimal comma, and no value tells which; {_DECLARE}"
            )

    def _prove(self, written: pl.Series, readings: pl.DataFrame, place: Place) -> bool:
        """Take the mark that more of the values can be read with alone; whether there is one."""
        fit = {mark: readings[name].is_not_null() for mark, name in MARK_NAMES.items()}
        proofs = {".": (fit["."] & ~fit[","]).arg_true(), ",": (fit[","] & ~fit["."]).arg_true()}
        first = {mark: f"{written[at[0]]!r} ({place(at[0])})" for mark, at in proofs.items() if len(at)}
        if len(proofs["."]) != len(proofs[","]):
            self.mark = "." if len(proofs["."]) > len(proofs[","]) else ","
            self.proof = first[self.mark]
        elif first and self.fallback is None:
            raise CatalogueError(
                f"{self.where}: as many values have a decimal point, such as {first['.']}, as a decimal comma, such as "
                f"{first[',']}; {_DECLARE}, or write all of them alike"
            )
        return self.mark is not None

    def read(self, readings: pl.DataFrame) -> pl.Series:
        """Return the values as the mark has them, Float64; without a mark all readings are whole numbers."""
        return readings[MARK_NAMES[self.mark or "."]]


def telling_example(written: pl.Series, number: pl.Series, mark: Mark | None) -> str | None:
    """Return the longest value that is no machine's number, and what it was read as; None where there is none."""
    machine = is_plain(written) & (written.str.contains("[eE]") | (mark != ","))
    odd = written.set(number.is_null() | machine, None)
    if odd.null_count() == len(odd):
        return None
    at = odd.str.len_chars().fill_null(0).arg_max()
    return f"{written[at]} -> {_shown(number[at])}"  # type: ignore[index]


_DECLARE = "declare it with the setting catalogue.decimal_mark=. or catalogue.decimal_mark=,"


def _shown(value: float) -> str:
    return f"{value:.15g}"
