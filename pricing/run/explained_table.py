"""The table of explanations: a row per product and item, the words of an item within its row."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from pricing.explain.additive import as_money, as_percent
from pricing.explain.items import FINISH, Items
from pricing.explain.named_words import NamedWords
from pricing.features.load import ID
from pricing.metrics.smape import Floats

_NOTHING = 1e-12
_PARTS = {"log_contribution": pl.Float64(), "percent": pl.Float64(), "money": pl.Float64()}
WORD = pl.Struct({"word": pl.String(), **_PARTS})
SCHEMA: dict[str, pl.DataType] = {
    ID: pl.String(), "item": pl.String(), **_PARTS, "price": pl.Float64(), "base": pl.Float64(), "exact": pl.Float64(),
    "value": pl.String(), "words": pl.List(WORD),
}  # fmt: skip


def explained_table(
    ids: pl.Series, items: Items, added: Floats, words: NamedWords, said: Floats,
    values: Mapping[str, Sequence[str]], log_price: Floats, log_base: float, exact: float,
) -> pl.DataFrame:  # fmt: skip
    """Put explanations of n products into a table.

    Parameters
    ----------
    ids : Series of shape (n,)
        Products.
    items : Items
        k items.
    added : ndarray of shape (n, k + 1)
        What items, and calibration and decision add.
    words : NamedWords
        s slots.
    said : ndarray of shape (n, s)
        What the words add.
    values : mapping of str to sequence of str
        Item to its value for each product.
    log_price : ndarray of shape (n,)
        Log prices.
    log_base, exact : float
        As the columns ``base`` (there a price) and ``exact``.

    Returns
    -------
    DataFrame
        As `pricing.run.explaining.Explainer.explain`.
    """
    names = (*items.names, FINISH)
    told = np.flatnonzero(np.abs(added).max(axis=0, initial=0) > _NOTHING)
    prices, base = np.exp(log_price), float(np.exp(log_base))
    rows = []
    for row, name in enumerate(ids):
        price, own = float(prices[row]), added[row]
        for place in told[np.lexsort(([names[place] for place in told], -np.abs(own[told])))]:
            item = names[place]
            named = words.named(row, item, said[row], own[place])
            rows.append({
                ID: name, "item": item, **_measures(own[place], price, base), "price": price, "base": base,
                "exact": exact, "value": values[item][row] if item in values else "",
                "words": [{"word": word, **_measures(share, price, base)} for word, share in named],
            })  # fmt: skip
    return pl.DataFrame(rows, schema=SCHEMA)


def _measures(contribution: float, price: float, base: float) -> dict[str, float]:
    one = np.array([contribution])
    money = as_money(one, np.array([price]), np.array([base]))
    return {"log_contribution": float(contribution), "percent": float(as_percent(one)[0]), "money": float(money[0])}
