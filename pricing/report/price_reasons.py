"""Why prices are what they are, as the report shows it: what drives all of them, and what single ones are made of."""

import math
from dataclasses import dataclass

import polars as pl

from pricing.report.run_folder import RunFolder

_ITEMS = 5
"""Maximum number of contributions shown of a product; the others are one line."""
_SAME = 0.01
"""Difference of log prices up to which an explained price is the predicted one."""


@dataclass(frozen=True)
class Driver:
    """What the hold-out's error grows by without one family of columns or one column.

    Attributes
    ----------
    name : str
        In words.
    increase, low, high : float
        In points of SMAPE, with its interval.
    bar : float
        Length of its bar in percent of the longest.
    """

    name: str
    increase: float
    low: float
    high: float
    bar: float

    @property
    def noise(self) -> bool:
        """Whether nothing at all lies inside of the interval."""
        return self.low <= 0 <= self.high


@dataclass(frozen=True)
class Contribution:
    """What one item adds to a price.

    Attributes
    ----------
    name : str
        In words.
    money, percent : float
        As `pricing.run.explaining.Explainer.explain` gives them.
    value : str
        What the product says under the item; "" where that is no single value.
    words : list of (str, float)
        The words that add the most, and what each adds, money; empty where the item is not of words.
    """

    name: str
    money: float
    percent: float
    value: str
    words: list[tuple[str, float]]


@dataclass(frozen=True)
class Explanation:
    """What one price is made of.

    Attributes
    ----------
    base, price : float
        Where explanations start, and the price that they end at.
    items : list of Contribution
        The largest ones.
    others : int
        Number of those not shown.
    rest : float
        What these add together, money.
    """

    base: float
    price: float
    items: list[Contribution]
    others: int
    rest: float

    @property
    def decimals(self) -> int:
        """Number of decimals at which the larger of base and price has three digits: parts are shown with as many."""
        return max(0, 2 - math.floor(math.log10(max(self.base, self.price))))

    def is_of(self, predicted: float) -> bool:
        """Whether the price explained is the one that was predicted for the product while it was held out."""
        return abs(math.log(self.price / predicted)) < _SAME


def price_drivers(folder: RunFolder, kind: str) -> list[Driver]:
    """Return what drives prices, the most important first; empty where the run left nothing of it.

    Parameters
    ----------
    folder : RunFolder
        A run's tables.
    kind : str
        ``family`` or ``column``.
    """
    if folder.drivers is None:
        return []
    rows = folder.drivers.filter(pl.col("kind") == kind).sort("increase", "name", descending=[True, False])
    longest = max(rows["increase"].to_list(), default=0.0)
    return [
        Driver(row["name"], row["increase"], row["low"], row["high"],
               round(100 * max(row["increase"], 0.0) / longest, 2) if longest > 0 else 0.0)
        for row in rows.iter_rows(named=True)
    ]  # fmt: skip


def explained_price(folder: RunFolder, sample_id: str) -> Explanation | None:
    """Return what a product's price is made of; None where the run left no explanation of it."""
    if folder.explained is None:
        return None
    rows = folder.explained.filter(pl.col("sample_id") == sample_id).sort(pl.col("money").abs(), descending=True)
    if rows.is_empty():
        return None
    shown = [
        Contribution(row["item"], row["money"], row["percent"], row["value"],
                     [(word["word"], word["money"]) for word in row["words"]])
        for row in rows.head(_ITEMS).iter_rows(named=True)
    ]  # fmt: skip
    rest = rows.slice(_ITEMS)["money"]
    return Explanation(float(rows["base"][0]), float(rows["price"][0]), shown, len(rest), float(rest.sum()))
