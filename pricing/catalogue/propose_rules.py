"""Rules that tell a column's role from its name and first values.

Each rule takes the columns that it knows and leaves the others to the next one; the order of `RULES` decides between
two that fit. What hints at the price is never proposed as a feature.
"""

import re
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from pricing.catalogue.column_facts import FEW, ColumnFacts
from pricing.catalogue.currencies import currency_of
from pricing.catalogue.written_times import TimeColumn
from pricing.config.columns import CHALLENGE

_NUMERIC = ("number", "price", "amount")
_STAMP = r"^(?:\d{9,10}|\d{13}|(?:19|20)\d{6})$"
"""Seconds or thousandths since 1970, or a day without signs between its parts."""
_MEASURED = r"\d[\d.,' ]* ?[^\W\d]{1,6}"
_LEAK = 0.98
"""Rank correlation with the price from which on a number is taken for the price in other words."""
_AS_AMOUNT = 'write amount = {NAME = "UNIT"}'
_LONG = 80
"""Median characters from which on a text is prose."""


@dataclass(frozen=True)
class ProposedColumn:
    """A column and what it seems to be.

    Attributes
    ----------
    facts : ColumnFacts
        What its first values say.
    role : str
        A role of `pricing.config.columns.ColumnsConfig`.
    why : str
        Why it is ignored; "" for other roles.
    unsure : str
        What somebody should look at; "" where nothing is doubtful.
    unit : str
        Unit of an amount.
    """

    facts: ColumnFacts
    role: str
    why: str = ""
    unsure: str = ""
    unit: str = ""


@dataclass
class Found:
    """The columns without a role yet, those with one, and what was looked for in vain."""

    left: dict[str, ColumnFacts]
    roles: dict[str, ProposedColumn] = field(default_factory=dict)
    lacking: dict[str, str] = field(default_factory=dict)

    def give(self, column: ColumnFacts, role: str, why: str = "", unsure: str = "", unit: str = "") -> None:
        """Give a column its role."""
        self.roles[column.name] = ProposedColumn(column, role, why, unsure, unit)
        del self.left[column.name]

    def price(self) -> ColumnFacts | None:
        """The column of the price, if it is found."""
        return next((column.facts for column in self.roles.values() if column.role == "price"), None)

    def columns(self, *kinds: str) -> list[ColumnFacts]:
        """Columns without a role, of any of the kinds."""
        return [column for column in self.left.values() if not kinds or column.kind in kinds]


def _challenge(found: Found) -> None:
    """The challenge's own columns beside others."""
    if {CHALLENGE.id, *CHALLENGE.text} <= set(found.left):
        for role, names in CHALLENGE.roles().items():
            for column in [found.left[name] for name in names if name in found.left]:
                found.give(column, role)


def _price(found: Found) -> None:
    if found.price():
        return
    named = [column for column in found.columns("number", "price", "text", "amount") if column.called("price")
             and not column.called("fees")]  # fmt: skip
    unsure = ""
    if not named:
        named = found.columns("price") or [column for column in found.columns("number") if column.called("price_else")]
        unsure = "taken for the price as its values name a currency, or for want of another"
    if not named:
        found.lacking["price"] = "no column looks like a price: name it"
        return

    def likely(column: ColumnFacts) -> tuple[bool, bool, int, bool, float]:
        beside = bool(column.called("beside_price"))
        return column.kind in _NUMERIC, not beside, column.called("price"), column.kind == "price", column.filled

    best = max(named, key=likely)
    others = [column.name for column in named if likely(column)[:3] == likely(best)[:3] and column is not best]
    if best.kind not in _NUMERIC:
        unsure = f"not all of its values are prices, such as {best.example!r}"
    elif best.called("beside_price") and not unsure:
        there = ", ".join(repr(column.name) for column in named if column is not best)
        unsure = f"no plainer price was found{f' beside {there}' if there else ''}; is it what you want to predict?"
    elif others:
        unsure = f"{', '.join(map(repr, others))} could be the price too"
    found.give(best, "price", unsure=unsure)


def _id(found: Found) -> None:
    if any(column.role == "id" for column in found.roles.values()):
        return
    codes = [column for column in found.columns("number", "text") if column.characters <= 64
             and (column.whole or column.kind == "text")]  # fmt: skip
    unique = [column for column in codes if column.distinct == column.rows]
    if named := [column for column in unique if column.called("id")]:
        found.give(max(named, key=lambda column: column.called("id")), "id")
        return
    nearly = [column for column in codes if column.called("id") > 1 and column.distinct_share > 0.9]
    plain = [column for column in unique if column.kind == "number" or " " not in column.example]
    named = nearly or [column for column in codes if column.called("id") > 2 and not plain]
    if named:
        best = max(named, key=lambda column: (column.filled == column.distinct, column.called("id"), column.distinct))
        wrong = {"repeated": best.filled - best.distinct, "missing": best.rows - best.filled}
        said = ", ".join(f"{what} values: {count:,}" for what, count in wrong.items() if count)
        found.give(best, "id", unsure=f"{said}; an id must be there once per row" if said else "")
        return
    if plain:
        best = max(plain, key=lambda column: column.kind == "text")
        found.give(best, "id", unsure="taken for the id as each row has another value")
        return
    found.lacking["id"] = "no column has another value in each row: name one that is to"


def _idle(found: Found) -> None:
    """Columns that say nothing."""
    for column in found.columns():
        steps = np.diff(column.numbers)
        consecutive = column.whole and column.filled == column.rows > 2 and bool((steps == 1).all())
        if column.kind == "empty":
            found.give(column, "ignore", "it is empty")
        elif column.filled < 0.005 * column.rows:
            found.give(column, "ignore", "it is nearly empty")
        elif column.distinct == 1 and column.filled == column.rows > 1:
            short = column.example if len(column.example) <= 20 else f"{column.example[:19]}…"
            found.give(column, "ignore", f"it is {short!r} in every row")
        elif column.kind == "text" and re.fullmatch("(?s){.*}", column.example):
            found.give(column, "ignore", "it holds objects; write their values as columns of their own")
        elif (consecutive and not column.called("id")) or (
            column.called("row_number") and column.whole and column.distinct == column.rows
        ):
            found.give(column, "ignore", "row numbers")


def _links(found: Found) -> None:
    for column in found.columns("link", "file"):
        if column.image or column.called("image"):
            found.give(column, "image")
        else:
            found.give(column, "ignore", "links to pages")


def _group(found: Found) -> None:
    named = [column for column in found.columns() if column.called("group") and column.kind in ("text", "number")]
    for column in sorted(named, key=lambda column: -column.distinct_share):
        there = next((other for other in found.roles.values() if other.role == "group"), None)
        if column.distinct == column.filled:
            found.give(column, "ignore", "it groups no two rows")
        elif there is None and (column.distinct_share >= 0.05 or column.filled < 200):
            found.give(column, "group")
        elif there is not None:
            found.give(column, "ignore", f"a group beside {there.facts.name}")


def _time(found: Found) -> None:
    stamps = [
        column for column in found.columns("number") if column.called("time") and re.match(_STAMP, column.example)
    ]
    dates = sorted(
        [*found.columns("date"), *stamps], key=lambda column: (-column.called("time"), column.rows - column.filled)
    )
    for column in dates:
        if TimeColumn(column.name, "day", needed=False).read(pl.Series([column.example]), str)[0] is None:
            what = "the names of months" if re.search(r"[^\W\d_]{3}", column.example) else "years of two digits"
            found.give(column, "ignore", f"dates with {what} are not read")
        elif any(there.role == "time" for there in found.roles.values()):
            found.give(column, "ignore", "another date")
        else:
            unsure = "the hold-out will be the latest part; without this line it is chosen by a hash"
            found.give(column, "time", unsure=unsure)


def _money(found: Found) -> None:
    """Prices beside the price, by name and sign, and the currencies of the price."""
    for column in found.columns("text"):
        if (price := found.price()) and column.called("currency") and currency_of(column.example):
            said = f"{column.name!r} names {column.distinct} currencies, and a run has one: keep the rows of one"
            found.give(column, "ignore", said)
            found.roles[price.name] = replace(found.roles[price.name], unsure=said)
    for column in found.columns():
        numeric = column.kind in _NUMERIC and (column.kind == "price" or column.called("money"))
        if (numeric or column.called("price")) and not column.called("fees"):
            found.give(column, "ignore", "money beside the price would give it away")


def _other_ids(found: Found) -> None:
    for column in found.columns("number", "text"):
        # "seller-sku" is no seller, and "model" may be a category
        category = column.called("category") and column.distinct_share <= 0.9
        if column.called("title") or category or (column.kind == "number" and not column.whole):
            continue
        sure = column.called("id") > 1 and column.distinct_share > 0.5
        code = column.called("id") == 1 and column.distinct_share > 0.9 and column.characters <= 40
        if sure or code:
            found.give(column, "ignore", "an id")
        elif column.code and column.distinct_share > 0.9 and column.filled > FEW:
            found.give(column, "ignore", "codes, another one in nearly every row")
        elif column.kind == "text" and not column.is_few and re.fullmatch(_MEASURED, column.example):
            found.give(column, "ignore", "numbers with a unit that is not read; write the numbers alone")


def _amounts(found: Found) -> None:
    for column in found.columns("number", "amount"):
        unit, unsure = column.unit or column.unit_in_name(), ""
        if not column.unit and (unit == "count" or not unit):
            unit = "count" if column.called("pieces") else ""
        if not unit or (len(column.words) == 1 and not column.unit):
            continue
        if column.correlation(found.price()) > _LEAK:
            unsure = "its order is nearly that of the price"
        found.give(column, "amount", unsure=unsure, unit=unit)


def _numbers(found: Found) -> None:
    for column in found.columns(*_NUMERIC):
        is_category = column.called("category")
        if column.correlation(found.price()) > _LEAK:
            found.give(column, "ignore", "its order is that of the price, which it would give away")
        elif column.whole and column.distinct == column.rows > FEW and column.characters >= 8:
            found.give(column, "ignore", "it looks like an id")
        elif column.whole and not column.is_flag and (column.called("id") or (is_category and column.distinct <= FEW)):
            found.give(column, "category")
        elif column.called("size"):
            units = [other.name for other in found.columns() if other.called("unit") and column.words in other.words]
            both = f"its units stand in {units[0]!r}; write both into one column, such as 500 g, and" if units else ""
            unsure = both or "if all values are in one unit, such as kg or cm,"
            found.give(column, "number", unsure=f"{unsure} {_AS_AMOUNT}")
        else:
            found.give(column, "number")


def _title(found: Found) -> None:
    texts = [column for column in found.columns("text", "path") if column.characters <= 250]
    named = [column for column in texts if column.called("title") > 1 or (
        column.called("title") and not column.called("category") and column.distinct_share > 0.5)]  # fmt: skip
    if named:
        best = max(named, key=lambda column: (column.called("title"), column.filled, column.distinct_share))
        group = next((column.facts.name for column in found.roles.values() if column.role == "group"), None)
        other = f"they take that of the row above with the same {group}" if group else (
            "name as group what variants share with the row above, whose title they take then")  # fmt: skip
        unsure = f"{best.missing_share:.0%} of the rows have none; {other}"
        found.give(best, "title", unsure=unsure if best.missing_share > 0.2 else "")
        return
    if any(column.role == "text" for column in found.roles.values()):
        return
    short = [column for column in texts if 8 <= column.characters <= 150 and column.distinct_share > 0.6
             and not (column.called("category") or column.called("text"))]  # fmt: skip
    if short:
        best = max(short, key=lambda column: (column.filled, column.distinct_share))
        found.give(best, "title", unsure="taken for the title: short, and another one in nearly every row")


def _texts(found: Found) -> None:
    for column in found.columns("text", "path"):
        prose = column.characters >= _LONG and column.distinct_share > 0.05
        named = column.called("text") and not (column.is_few and column.characters < _LONG / 2)
        if (prose and column.kind == "text" and not column.called("category")) or named:
            found.give(column, "text")


def _categories(found: Found) -> None:
    for column in found.columns():
        named = column.called("category") or column.kind == "path"
        if column.is_few or (named and (column.distinct_share < 0.9 or column.rows < 50)):
            found.give(column, "category")
        elif column.distinct_share < 0.6:
            found.give(column, "category", unsure=f"it has {column.distinct:,} different values; as a text its words "
                                                  "would count")  # fmt: skip
        else:
            found.give(column, "text", unsure="it has another value in most rows, so that its words count")


def _title_or_text(found: Found) -> None:
    """One of them is needed."""
    if not any(column.role in ("title", "text") for column in found.roles.values()):
        found.lacking["title"] = "no column looks like a title or a text: name one"


RULES = (
    _challenge, _price, _id, _idle, _links, _group, _time, _money, _other_ids, _amounts, _numbers, _title, _texts,
    _categories, _title_or_text,
)  # fmt: skip
"""In their order."""
