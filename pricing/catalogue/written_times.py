"""Dates and times as feeds write them: ISO, seconds since 1970, or day, month and year in an order that is proven.

"31/01/2024" and "31.01.2024" have the day first, "01/31/2024" the month; "03/04/2024" alone proves nothing, and is
refused rather than guessed. dateutil and dateparser guess each value by itself, in Python, a second per 10,000.
"""

from collections.abc import Callable
from typing import Any, Literal

import polars as pl

from pricing.catalogue.number_columns import MISSING, UnreadValues
from pricing.errors import CatalogueError

Order = Literal["day", "month"]

_CLOCK = (
    r"(?:[T ]\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?P<part>\.\d{1,6})?\d*)?\s*"
    r"(?P<half>[AaPp]\.?[Mm]\.?)?)?"
    r"\s*(?P<zone>Z|z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})?$"
)
_YEAR_FIRST = r"^(?P<year>\d{4})(?:[-/.](?P<first>\d{1,2})(?:[-/.](?P<last>\d{1,2}))?)?" + _CLOCK
_YEAR_LAST = r"^(?P<first>\d{1,2})(?P<sign>[-/.])(?P<last>\d{1,2})[-/.](?P<year>\d{4}),?" + _CLOCK
_ZONES = {
    "PST": "-08:00", "PDT": "-07:00", "EST": "-05:00", "EDT": "-04:00", "CET": "+01:00", "CEST": "+02:00",
    "MEZ": "+01:00", "MESZ": "+02:00", "JST": "+09:00",
}  # fmt: skip
"""Zones that are one place's alone, as Amazon's and European exports name them."""
_ZONE = rf"^(.*:\d\d(?: ?[AaPp][Mm])?) ({'|'.join(_ZONES)})$"
_COMPACT = r"^((?:19|20)\d{2})(0[1-9]|1[0-2])([0-3]\d)$"
# seconds since 1970, from 1973 on; longer ones are milliseconds, microseconds, nanoseconds
_EPOCH = r"^\d{9,10}(?:\.\d+)?$|^\d{12,13}$|^\d{15,16}$|^\d{18,19}$"
_FORMAT = "%Y-%m-%d %H:%M:%S%.f"


class TimeColumn:
    """Reads a declared column of times, one batch after another. What cannot be read is missing.

    Parameters
    ----------
    where : str
        File and column, for messages.
    order : {"day", "month"} or None
        What comes first in dates that do not begin with the year, where it is declared.
    needed : bool
        Refuse dates that nothing tells the order of; else they are missing.
    """

    def __init__(self, where: str, order: Order | None, needed: bool = True) -> None:
        self._where = where
        self._needed = needed
        self._order: Order | None = order
        self._proof = "declared" if order else ""
        self._unread = UnreadValues()

    def read(self, values: pl.Series, place: Callable[[int], str]) -> pl.Series:
        """Return the times of n rows, Datetime in UTC, with nulls. A time without a zone is taken for UTC.

        Parameters
        ----------
        values : Series of shape (n,)
            String.
        place : callable
            Says of a position where in the file it is.

        Raises
        ------
        CatalogueError
            Nothing tells whether days or months come first.
        """
        text = values.fill_null("").str.strip_chars().alias("text")
        written = text.str.replace(_COMPACT, "$1-$2-$3")
        if written.str.contains(_ZONE).any():
            zone = written.str.extract(_ZONE, 2).fill_null("").replace_strict(_ZONES, default="")
            written = written.str.replace(_ZONE, "$1") + zone
        table = written.to_frame().select(
            "text",
            pl.col("text").str.extract_groups(_YEAR_FIRST).alias("iso"),
            pl.col("text").str.extract_groups(_YEAR_LAST).alias("other"),
        )
        other = table["other"].struct.unnest()
        self._settle(text, other.select(pl.col("first", "last").cast(pl.Int64), "sign"), place)
        time = _time(table["iso"].struct.unnest(), "first", "last").fill_null(_epoch(text))
        if self._order:
            time = time.fill_null(_time(other, *(("last", "first") if self._order == "day" else ("first", "last"))))
        missing = text.str.to_lowercase().is_in(MISSING)
        self._unread.add(text.filter(time.is_null() & ~missing))
        return time

    def notes(self) -> dict[str, Any]:
        """Return ``first`` (day or month, ``by`` which value) and ``unread``, as far as there is something to say."""
        return ({"first": self._order, "by": self._proof} if self._order else {}) | self._unread.notes()

    def _settle(self, text: pl.Series, parts: pl.DataFrame, place: Callable[[int], str]) -> None:
        if self._order or parts["first"].null_count() == len(parts):
            return
        # a point parts a date where days come first, in all countries
        proofs = {
            "day": parts.select((pl.col("first") > 12) | (pl.col("sign") == ".")).to_series().fill_null(False),
            "month": parts.select(pl.col("last") > 12).to_series().fill_null(False),
        }
        counts = {order: int(found.sum()) for order, found in proofs.items()}
        if counts["day"] == counts["month"]:
            if not self._needed:
                return
            at = parts["first"].is_not_null().arg_max()
            raise CatalogueError(
                f"{self._where}: {text[at]!r} ({place(at)}) may have the day first or the month, "  # type: ignore[arg-type,index]
                f"{'and no value tells which' if not counts['day'] else 'and the values are of both kinds'}; declare "
                "it with the setting catalogue.date_order=day or catalogue.date_order=month, or write 2024-12-31"
            )
        self._order = "day" if counts["day"] > counts["month"] else "month"
        at = proofs[self._order].arg_max()
        self._proof = f"{text[at]!r} ({place(at)})"  # type: ignore[arg-type,index]


def _time(parts: pl.DataFrame, month: str, day: str) -> pl.Series:
    """Times of what a pattern found, without their zones."""
    part = {name: pl.col(name).fill_null("") for name in ("hour", "minute", "second", "part", "half", "zone")}
    # 12 AM is midnight
    hour = part["hour"].cast(pl.Int64, strict=False).fill_null(0)
    late = part["half"].str.to_lowercase().str.starts_with("p")
    hour = pl.when(part["half"] == "").then(hour).otherwise(hour % 12 + 12 * late.cast(pl.Int64))
    two = [pl.col(name).fill_null("1").str.zfill(2) for name in (month, day)]
    clock = [hour.cast(pl.String).str.zfill(2)]
    clock += [pl.when(part[name] == "").then(pl.lit("00")).otherwise(part[name]) for name in ("minute", "second")]
    written = pl.concat_str(pl.concat_str("year", *two, separator="-"), pl.lit(" "),
                            pl.concat_str(*clock, separator=":"), part["part"])  # fmt: skip
    zone = part["zone"].str.replace(":", "", literal=True)
    minutes = zone.str.slice(1, 2).cast(pl.Int64, strict=False) * 60
    minutes += zone.str.slice(3, 2).cast(pl.Int64, strict=False).fill_null(0)
    away = pl.when(zone.str.starts_with("-")).then(-minutes).otherwise(minutes).fill_null(0)
    return parts.select(
        written.str.to_datetime(_FORMAT, strict=False, time_unit="us") - pl.duration(minutes=away)
    ).to_series()


def _epoch(text: pl.Series) -> pl.Series:
    """Times that are counted since 1970, in seconds or thousandths, millionths, billionths of them."""
    whole = pl.col("text").str.extract(r"^(\d+)").str.len_chars()
    seconds = pl.when(pl.col("text").str.contains(_EPOCH)).then(pl.col("text").cast(pl.Float64, strict=False))
    unit = pl.when(whole > 16).then(1e9).when(whole > 13).then(1e6).when(whole > 10).then(1e3).otherwise(1.0)
    return text.to_frame().select((seconds / unit * 1e6).round().cast(pl.Int64).cast(pl.Datetime("us"))).to_series()
