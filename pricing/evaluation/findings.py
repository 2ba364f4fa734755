"""Data quality findings: what in the catalogue an analyst should look at, with counts and examples."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

__all__ = ["Finding", "data_findings"]

_EXAMPLES = 3
_FACTOR = 2.0
_TITLE = 60


@dataclass(frozen=True)
class Finding:
    """One kind of oddity.

    Attributes
    ----------
    what : str
        A sentence, its count included.
    examples : tuple of str
        A few cases: id, name, prices.
    """

    what: str
    examples: tuple[str, ...] = ()


def data_findings(
    catalogue: Mapping[str, Any], products: pl.DataFrame | None, prices: pl.DataFrame | None
) -> list[Finding]:
    """Look for what is odd; an empty list where nothing is.

    Parameters
    ----------
    catalogue : mapping
        The catalogue stage's summary (``train`` and ``test`` with their counts).
    products : DataFrame or None
        ``sample_id``, ``catalog_content`` and, where they are known, ``title``, ``group`` (near-duplicates share one),
        ``amount`` (null where the text gives no quantity), ``picture``.
    prices : DataFrame or None
        ``sample_id``, ``price``.
    """
    found = [*_counts(catalogue)]
    if products is None or prices is None:
        return found
    if "title" not in products.columns:
        products = products.with_columns(title=pl.col("sample_id"))
    table = products.join(prices.select("sample_id", "price"), on="sample_id", maintain_order="left")
    if "group" in table.columns:
        found += _torn_groups(table)
    if "amount" in table.columns:
        missing = table.filter(pl.col("amount").is_null() | pl.col("amount").is_nan())
        if len(missing):
            share = 100 * len(missing) / len(table)
            what = f"{len(missing):,} products ({share:.1f} %) say nothing of how much is in them."
            found.append(Finding(what, _examples(missing)))
    extreme = table.filter((pl.col("price") < 0.5) | (pl.col("price") > 20 * pl.col("price").median()))
    if len(extreme):
        what = f"{len(extreme):,} products cost under 0.50 or more than twenty times the median price."
        found.append(Finding(what, _examples(extreme.sort("price", "sample_id", descending=[True, False]))))
    return found


def _counts(catalogue: Mapping[str, Any]) -> list[Finding]:
    found = []
    words = {
        "rejected": "rows of {part} were refused and left out (rejected.csv).",
        "repeated_texts": "texts of {part} stand there more than once.",
        "without_text": "products of {part} have no text.",
        "without_image_link": "products of {part} have no image link.",
    }
    for part in ("train", "test"):
        counts = catalogue.get(part, {})
        if not isinstance(counts, Mapping):
            continue
        for key, what in words.items():
            if counts.get(key):
                found.append(Finding(f"{int(counts[key]):,} " + what.format(part=part)))
        links, rows = counts.get("distinct_image_links"), counts.get("rows")
        if links and rows and links < rows - counts.get("without_image_link", 0):
            shared = rows - counts.get("without_image_link", 0) - links
            found.append(Finding(f"{shared:,} image links of {part} repeat another product's."))
    if catalogue.get("ids_in_both"):
        found.append(Finding(f"{int(catalogue['ids_in_both']):,} ids stand in train and in test."))
    return found


def _torn_groups(table: pl.DataFrame) -> list[Finding]:
    """Groups of near-duplicates whose prices are far apart: nobody can price them all."""
    groups = (
        table.group_by("group")
        .agg(pl.len().alias("rows"), pl.col("price").min().alias("low"), pl.col("price").max().alias("high"),
             pl.col("title").sort_by("sample_id").first())
        .filter((pl.col("rows") > 1) & (pl.col("high") > _FACTOR * pl.col("low")))
        .sort(pl.col("high") / pl.col("low"), "group", descending=[True, False])
    )  # fmt: skip
    if not len(groups):
        return []
    examples = tuple(
        f"{_short(row['title'])}: {row['rows']} products, {row['low']:,.2f} to {row['high']:,.2f}"
        for row in groups.head(_EXAMPLES).iter_rows(named=True)
    )
    what = f"{len(groups):,} groups of near-duplicates have prices that differ by more than a factor of two."
    return [Finding(what, examples)]


def _examples(table: pl.DataFrame) -> tuple[str, ...]:
    rows = table.head(_EXAMPLES).select("sample_id", "title", "price").iter_rows()
    return tuple(f"{sample_id}: {_short(title)}, {price:,.2f}" for sample_id, title, price in rows)


def _short(text: str) -> str:
    return text if len(text) <= _TITLE else text[: _TITLE - 1].rstrip() + "…"
