"""What the first values of a column say about it: what they are, how many are missing, how many differ."""

import re
import tomllib
import unicodedata
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pricing.catalogue.currencies import one_currency
from pricing.catalogue.links import split_links
from pricing.catalogue.number_columns import TRUTH_WORDS
from pricing.catalogue.written_numbers import read_written

NAMES: dict[str, Any] = tomllib.loads(
    (resources.files("pricing.catalogue") / "column_names.toml").read_text(encoding="utf-8")
)
"""What columns are called: patterns of `spelled` names by what such a column is, and units."""

Kind = Literal["empty", "number", "price", "amount", "date", "link", "file", "path", "text"]

FEW = 30
"""Different values that a category may have in any case ..."""
_SHARE = 0.2
"""... and share of the rows up to which it may have more."""
_CORRELATED_ROWS = 20
_MOST = 0.95
"""Share of the values from which on a column is of a kind; the others are a feed's slips."""
_SAMPLE = 2000
"""Values that are looked at for their kind."""
_NOTHING = ("", "nan", "none", "null", "n/a", "na", "#n/a", "-", "--", "n.a.", "<na>")
_DATE = (
    r"^(?:(?:19|20)\d\d[-/.][01]?\d[-/.][0-3]?\d|[0-3]?\d[-/.][0-3]?\d[-/.](?:19|20)\d\d|[0-3]?\d\.? \p{L}{3,10}\.? "
    r"(?:19|20)\d\d|[0-3]?\d/[0-3]?\d/\d\d|[0-3]?\d\.[0-3]?\d\.\d\d|"
    r"\p{L}{3,10}\.? [0-3]?\d(?:st|nd|rd|th)?,? (?:19|20)\d\d)(?:[T ,].*)?$"
)
_LINK = r"(?i)(?:^|[\s\"'\[,;|])(?:https?:)?//[^\s/]+\.|^www\.[\w-]+\."
_IMAGE = r"(?i)\.(?:jpe?g|jfif|png|gif|webp|bmp|avif)(?:$|[?#,;|\s\"'\]])"
_LEVELS = r"^[^\s/<>|].*(?:\s>\s?|>|\s[/|]\s|[\p{L}&)]/\p{L}).*[^\s/>|]"
_LONGEST_LEVEL = 60
"""Characters of the longest level of a path; a slash within prose makes none."""


@dataclass(frozen=True)
class ColumnFacts:
    """What is known of a column.

    Attributes
    ----------
    name : str
        As the file has it.
    words : str
        As `spelled` makes it.
    kind : str
        What the values are: price is a number with a currency, amount one with a unit, file an image file's name, path
        a category with its levels.
    rows, filled, distinct : int
        Number of rows, of values that are not missing, and of different ones among these.
    example : str
        The first value that is there.
    characters : float
        Median length of the values.
    whole : bool
        All numbers are whole.
    image : bool
        Links to images.
    code : bool
        Texts without blanks, most of them with a digit.
    unit : str
        The commonest unit of amounts, as the configuration takes it.
    numbers : ndarray of shape (rows,)
        Values of numbers, prices and amounts; NaN where missing. Empty for other kinds.
    """

    name: str
    words: str
    kind: Kind
    rows: int
    filled: int
    distinct: int
    example: str = ""
    characters: float = 0.0
    whole: bool = False
    image: bool = False
    code: bool = False
    unit: str = ""
    numbers: NDArray[np.float64] = field(default_factory=lambda: np.empty(0), repr=False)

    @property
    def distinct_share(self) -> float:
        """Share of the values that are there that differ from all before them."""
        return self.distinct / max(self.filled, 1)

    @property
    def missing_share(self) -> float:
        """Share of the rows without a value."""
        return 1.0 - self.filled / max(self.rows, 1)

    @property
    def is_few(self) -> bool:
        """Whether the values are as few as those of a category."""
        return self.distinct <= max(min(FEW, self.filled / 2), _SHARE * self.filled)

    @property
    def is_flag(self) -> bool:
        """Whether all values are 0 and 1."""
        return self.kind == "number" and set(self.numbers[np.isfinite(self.numbers)]) <= {0.0, 1.0}

    def correlation(self, other: "ColumnFacts | None") -> float:
        """Spearman's rank correlation with another column, without its sign; 0.0 where too few rows have both."""
        if other is None or not len(other.numbers) or not len(self.numbers):
            return 0.0
        both = np.isfinite(other.numbers) & np.isfinite(self.numbers)
        if both.sum() < _CORRELATED_ROWS:
            return 0.0
        first, second = (pl.Series(values[both]).rank().to_numpy() for values in (other.numbers, self.numbers))
        return float(abs(np.corrcoef(first, second)[0, 1])) if first.std() * second.std() > 0 else 0.0

    def called(self, what: str) -> int:
        """Return how well the name fits a list of patterns: 0 not at all, 1 the last one of them, more an earlier."""
        patterns = NAMES[what] if isinstance(NAMES[what], list) else [NAMES[what]]
        fits = [len(patterns) - place for place, pattern in enumerate(patterns) if re.search(pattern, self.words)]
        return max(fits, default=0)

    def unit_in_name(self) -> str:
        """Return the unit that the name ends in, as the configuration takes it; "" without one."""
        words = self.words.split()
        ends = (" ".join(words[-2:]), words[-1]) if words else ()
        return next((NAMES["units"][end] for end in ends if end in NAMES["units"]), "")


def spelled(name: str) -> str:
    """Return a column's name as plain words.

    Examples
    --------
    >>> [spelled(name) for name in ("WeightKg", "Gewicht (kg)", "variant_SKU", "Größe", "prix.barré", "imageURL")]
    ['weight kg', 'gewicht kg', 'variant sku', 'grosse', 'prix barre', 'image url']
    """
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name.replace("ß", "ss"))
    plain = unicodedata.normalize("NFKD", split).encode("ascii", "ignore").decode().lower()
    # a name in another script is itself, and not nameless
    return " ".join(re.findall(r"[a-z0-9]+", plain)) or name.strip().casefold()


def column_facts(values: pl.Series) -> ColumnFacts:
    """Measure a column by its first values.

    Parameters
    ----------
    values : Series of shape (n,), String
        "" and what people write for nothing, such as "n/a", are missing.
    """
    name, rows = values.name, len(values)
    tidy = values.str.strip_chars()
    there = tidy.filter(tidy.is_not_null() & ~tidy.str.to_lowercase().is_in(_NOTHING))
    if not len(there):
        return ColumnFacts(name, spelled(name), "empty", rows, 0, 0)
    looked = there.head(_SAMPLE)
    as_read = looked
    if bool(there.str.to_lowercase().is_in([*TRUTH_WORDS]).all()):
        as_read, tidy = (values.str.to_lowercase().replace(TRUTH_WORDS) for values in (looked, tidy))
    kind, unit = _kind(as_read, bool(re.search(NAMES["money"], spelled(name))))
    more: dict[str, Any] = {}
    if kind in ("number", "price", "amount"):
        numbers = _numbers(tidy)
        known = numbers[np.isfinite(numbers)]
        more = {"numbers": numbers, "whole": bool(len(known) and (known == np.round(known)).all()), "unit": unit}
    return ColumnFacts(
        name, spelled(name), kind, rows, len(there), there.n_unique(), str(there[0]),
        float(looked.str.len_chars().median() or 0.0),  # type: ignore[arg-type]
        code=kind == "text" and _share(looked, r"\s") < 0.1 and _share(looked, r"\d") > 0.5,
        image=kind == "file" or (kind == "link" and _share(looked, _IMAGE) > 0.5), **more,
    )  # fmt: skip


def several_links(values: pl.Series) -> bool:
    """Whether any field of a column of links holds more than one."""
    return any(len(split_links(field)) > 1 for field in values.head(_SAMPLE) if field)


def _kind(values: pl.Series, named_money: bool) -> tuple[Kind, str]:
    """The kind of values that are there, and the unit of amounts."""
    if _share(values, _DATE) >= _MOST:
        return "date", ""
    read = read_written(values)
    number = pl.coalesce("point", "comma")
    beside = read.filter(number.is_not_null() & ((pl.col("before") == "") | (number >= 0))).select("before", "behind")
    if len(beside) >= _MOST * len(values):
        kinds = beside.group_by("before", "behind").len().rows()
        count = {"number": 0, "price": 0, "amount": 0}
        units: dict[str, int] = {}
        for before, behind, times in kinds:
            named = one_currency(before, behind)
            unit = NAMES["units"].get(spelled(behind)) if not before else None
            if not before and behind in ("", "%"):
                count["number"] += times
            elif unit:
                count["amount"] += times
                units[unit] = units.get(unit, 0) + times
            elif named and (named_money or not re.fullmatch(r"[A-Za-z]{1,2}", before + behind)):
                count["price"] += times  # "R12" is an article more often than 12 rand
        if sum(count.values()) >= _MOST * len(values):
            if count["price"] > 0 and count["price"] >= count["amount"]:
                return "price", ""
            if count["amount"] >= 0.5 * len(values):
                return "amount", max(units, key=lambda unit: units[unit])
            return "number", ""
    if _share(values, _LINK) >= 0.8:
        return "link", ""
    if _share(values, _IMAGE) >= 0.8 and float(values.str.len_chars().median() or 0) < 200:  # type: ignore[arg-type]
        return "file", ""
    levels = values.str.contains(_LEVELS) & (values.str.len_chars() < 4 * _LONGEST_LEVEL)
    longest = values.str.replace_all("[/|]", ">").str.split(">").list.eval(pl.element().str.len_chars()).list.max()
    path = (levels & (longest <= _LONGEST_LEVEL)).mean() or 0.0
    return ("path" if float(path) >= 0.6 else "text"), ""  # type: ignore[arg-type]


def _share(values: pl.Series, pattern: str) -> float:
    return float(values.str.contains(pattern).mean() or 0.0)  # type: ignore[arg-type]


def _numbers(values: pl.Series) -> NDArray[np.float64]:
    """Values by the decimal mark that more of them prove; for ranks, so that a doubtful one does no harm."""
    read = read_written(values)
    point, comma = read["point"], read["comma"]
    proven = int((point.is_not_null() & comma.is_null()).sum()), int((comma.is_not_null() & point.is_null()).sum())
    first, second = (comma, point) if proven[1] > proven[0] else (point, comma)
    return first.fill_null(second).cast(pl.Float64).fill_null(float("nan")).to_numpy()
