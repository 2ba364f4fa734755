"""Data quality findings: what in the catalogue an analyst should look at, with counts and examples."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl

from pricing.catalogue.reading_words import reading_words
from pricing.features.fields import unread_amount_words, unread_fields
from pricing.features.sections import split_sections
from pricing.metrics.rounding import DEFAULT_DECIMALS, shown_price

_EXAMPLES = 3
_FACTOR = 2.0
_EXTREME = 20.0
_TITLE = 60
_NAMED = 20
"""Maximum number of columns that are named."""


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
    catalogue: Mapping[str, Any],
    products: pl.DataFrame | None,
    prices: pl.DataFrame | None,
    decimals: int = DEFAULT_DECIMALS,
    sign: str = "",
    train: str = "FILE",
    amounts: Mapping[str, str] | None = None,
) -> list[Finding]:
    """Look for what is odd; an empty list where nothing is.

    Parameters
    ----------
    catalogue : mapping
        The catalogue stage's summary (``train`` and ``test`` with their counts).
    products : DataFrame or None
        ``sample_id``, ``catalog_content`` and, where they are known, ``title``, ``group`` (near-duplicates share one),
        ``amount`` (of any kind: mass, volume, pieces, length, area; null where the text gives none), its ``unit``,
        ``image``.
    prices : DataFrame or None
        ``sample_id``, ``price``.
    decimals : int
        Number of decimals of a price, as `pricing.metrics.rounding.shown_price` takes it.
    sign : str
        What stands before a price: its currency's sign.
    train : str
        Path of the catalogue that was learned from.
    amounts : mapping of str to str, optional
        Columns of the role amount, with their units.
    """
    found = [*_counts(catalogue), *_unused_columns(catalogue, train)]
    shown = partial(shown_price, decimals=decimals, sign=sign)
    if products is None or prices is None:
        return found
    if "title" not in products.columns:
        products = products.with_columns(title=pl.col("sample_id"))
    table = products.join(prices.select("sample_id", "price"), on="sample_id", maintain_order="left")
    if "group" in table.columns:
        found += _torn_groups(table, shown)
    if "amount" in table.columns:
        missing = table.filter(pl.col("amount").is_null() | pl.col("amount").is_nan())
        if len(missing):
            share = 100 * len(missing) / len(table)
            what = f"{len(missing):,} products ({share:.1f} %) say nothing of how much is in them."
            found.append(Finding(what, _examples(missing, shown)))
    if "catalog_content" in products.columns:
        found += _unread_lines(products)
    found += [Finding(words) for words in unread_amount_words(products, amounts or {})]
    median = float(table["price"].median() or 0.0)  # type: ignore[arg-type]
    extreme = table.filter((pl.col("price") * _EXTREME < median) | (pl.col("price") > _EXTREME * median))
    if len(extreme):
        what = (
            f"{_counted(len(extreme), 'product')} {_verb(len(extreme), 'costs', 'cost')} less than a twentieth of the "
            "median price, or more than twenty times as much."
        )
        far = (pl.col("price") / median).log().abs()
        found.append(Finding(what, _examples(extreme.sort(far, "sample_id", descending=[True, False]), shown)))
    return found


def _counts(catalogue: Mapping[str, Any]) -> list[Finding]:
    found = []
    for part in ("train", "test"):
        counts = catalogue.get(part)
        if not isinstance(counts, Mapping):
            continue
        # values that could not be read are among what was lost
        found += [Finding(f"In {part}: {words}") for words in reading_words(counts.get("read") or {})]
        repeated, texts, links = (
            int(counts.get(key) or 0) for key in ("repeated_texts", "without_text", "without_image_link")
        )
        shared = int(counts.get("rows") or 0) - links - int(counts.get("distinct_image_links") or 0)
        for count, what in (
            (repeated, f"{_verb(repeated, 'repeats', 'repeat')} the text of an earlier product"),
            (texts, f"{_verb(texts, 'has', 'have')} no text"),
            (links, f"{_verb(links, 'has', 'have')} no image link"),
            (shared if "distinct_image_links" in counts else 0,
             f"{_verb(shared, 'has', 'have')} the image link of an earlier product"),
        ):  # fmt: skip
            if count > 0:
                found.append(Finding(f"{_counted(count, 'product')} of {part} {what}."))
    if both := int(catalogue.get("ids_in_both") or 0):
        found.append(Finding(f"{_counted(both, 'id')} {_verb(both, 'is', 'are')} in train and in test."))
    return found


def _unused_columns(catalogue: Mapping[str, Any], train: str) -> list[Finding]:
    """Columns that no role names, and the command that would use them."""
    names = (catalogue.get("train") or {}).get("unused_columns") or []
    if not names:
        return []
    shown = ", ".join(map(str, names[:_NAMED])) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    command = f"pricing columns {shlex.quote(train)} --output columns.toml"
    return [
        Finding(
            f"{_counted(len(names), 'column')} of train {_verb(len(names), 'is', 'are')} not used: {shown}.",
            (f"{command} proposes roles, with which pricing run --columns columns.toml uses them",),
        )
    ]


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _verb(count: int, singular: str, plural: str) -> str:
    return singular if count == 1 else plural


def _unread_lines(products: pl.DataFrame) -> list[Finding]:
    """Value and Unit lines that say something and gave no number and no unit, with the commonest."""
    found = []
    for field, lines in unread_fields(split_sections(products)).items():
        if lines:
            count = sum(lines.values())
            what = f"{_counted(count, f'{field.capitalize()} line')} could not be read, so that no amount comes of "
            what += f"{_verb(count, 'it', 'them')}."
            found.append(
                Finding(what, tuple(f"{_short(line)}: {times:,}" for line, times in [*lines.items()][:_EXAMPLES]))
            )
    return found


def _torn_groups(table: pl.DataFrame, shown: Callable[[float], str]) -> list[Finding]:
    """Near-duplicates of one amount whose prices are far apart: no model can price them all."""
    # two sizes of a product have two prices with good reason; where no amount is stated, none is known to differ
    amount = pl.col("amount").cast(pl.Float64).fill_nan(None) if "amount" in table.columns else pl.lit(None, pl.Float64)
    # five grams are not five pieces
    unit = ["unit"] if "unit" in table.columns else []
    groups = (
        table.group_by("group", amount.round_sig_figs(3).alias("amount"), *unit)
        .agg(pl.len().alias("rows"), pl.col("price").min().alias("low"), pl.col("price").max().alias("high"),
             pl.col("title").sort_by("sample_id").first())
        .filter((pl.col("rows") > 1) & (pl.col("high") > _FACTOR * pl.col("low")))
        .sort(pl.col("high") / pl.col("low"), "group", descending=[True, False])
    )  # fmt: skip
    if not len(groups):
        return []
    examples = tuple(
        f"{_short(row['title'])}: {row['rows']} products, {shown(row['low'])} to {shown(row['high'])}"
        for row in groups.head(_EXAMPLES).iter_rows(named=True)
    )
    of_one = "of the same amount (or of none stated) " if "amount" in table.columns else ""
    what = (
        f"{_counted(len(groups), 'group')} of near-duplicates {of_one}{_verb(len(groups), 'has', 'have')} prices that "
        "differ by more than a factor of two."
    )
    return [Finding(what, examples)]


def _examples(table: pl.DataFrame, shown: Callable[[float], str]) -> tuple[str, ...]:
    rows = table.head(_EXAMPLES).select("sample_id", "title", "price").iter_rows()
    return tuple(f"{sample_id}: {_short(title)}, {shown(price)}" for sample_id, title, price in rows)


def _short(text: str) -> str:
    return text if len(text) <= _TITLE else text[: _TITLE - 1].rstrip() + "…"
