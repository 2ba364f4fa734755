"""The first rows of the price audit, as the report's page shows them."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from pricing.report.run_folder import RunFolder

SHOWN = 200
"""Maximum number of rows on the page; audit.csv has all."""


@dataclass(frozen=True)
class AuditedProduct:
    """One listed price and what is held against it.

    Attributes
    ----------
    price, expected : float
        The listed price, and what the product looks like.
    low, high : float
        The 95 % interval around ``expected``.
    direction, cause : str
        In words; no cause inside of the interval.
    comparable_price : float or None
        What comparables cost at the product's own amount.
    unit_price : str
        The same per unit in words; empty where it is not known.
    """

    id: str
    title: str
    price: float
    expected: float
    low: float
    high: float
    direction: str
    cause: str
    comparable_price: float | None
    unit_price: str


@dataclass(frozen=True)
class AuditShown:
    """What the page shows of an audit.

    Attributes
    ----------
    rows : list of AuditedProduct
        The most suspicious first; of those outside of their intervals.
    products, outside : int
        Number of products that were audited, and of those outside of their intervals.
    """

    rows: list[AuditedProduct]
    products: int
    outside: int


def audited_products(folder: RunFolder, words: Mapping[str, str]) -> AuditShown | None:
    """Return the first `SHOWN` products of an audit; None where the run left none.

    Parameters
    ----------
    folder : RunFolder
        A run's tables.
    words : mapping of str to str
        Cause to what is said of it.
    """
    if folder.audit is None:
        return None
    outside = folder.audit.filter(pl.col("cause") != "")
    shown = outside.head(SHOWN)
    titles = {}
    if folder.products is not None and "title" in folder.products.columns:
        titles = dict(folder.products.join(shown, on="sample_id", how="semi").select("sample_id", "title").iter_rows())
    rows = [
        AuditedProduct(
            row["sample_id"], titles.get(row["sample_id"]) or "(no text)", row["price"], row["expected"],
            row["low_95"], row["high_95"], row["direction"].partition(";")[0], words[row["cause"]],
            row["comparable_price"], row["unit_price"] or "",
        )
        for row in shown.iter_rows(named=True)
    ]  # fmt: skip
    return AuditShown(rows, folder.audit.height, outside.height)
