"""What the other products of a catalogue say of a product's price.

Every labelled product but the product itself is asked, its near-duplicates too: here nothing is learnt from them, and
the same thing in another pack is the best witness there is. A comparable's price is brought to the product's own amount
with the elasticity of the price features (see `pricing.features.neighbour_prices`).
"""

import numpy as np
import polars as pl

from pricing.features.comparables import ComparableIndex, find_comparables
from pricing.features.load import ID, Nearest
from pricing.features.neighbour_prices import FAMILIES, UNIT_OF, Amounts
from pricing.features.neighbours import NearestRows

ASKED = 10
"""Maximum number of comparables that are asked about a product."""


def ask_comparables(
    index: ComparableIndex, products: pl.DataFrame, elasticity: float, threads: int = 1
) -> pl.DataFrame:
    """Return the nearest comparables of m labelled products, at the products' own amounts.

    Parameters
    ----------
    index : ComparableIndex
        Of the m products, in any order.
    products : DataFrame
        m rows: ``sample_id``, ``price`` (money), ``amount`` (null or NaN where unknown) and its ``unit``, ``pack``.
    elasticity : float
        A comparable's log price is moved by this times the difference of log amounts.
    threads : int
        Number of blocks of products that are searched at a time.

    Returns
    -------
    DataFrame
        Maximum `ASKED` rows per product: ``sample_id``, ``rank`` (1 is the nearest), ``comparable`` (sample_id),
        ``similarity`` (mean cosine over the spaces), ``amount``, ``unit`` and ``pack`` of the comparable, ``said``: its
        price at the product's own amount, or its price as it is where the amounts do not compare.
    """
    ids = index.products[ID]
    own = ids.to_frame().join(products, on=ID, how="left", maintain_order="left")
    alone = np.arange(len(ids))
    found = {space: NearestRows(rows).search(rows, ASKED, alone, alone, threads) for space, rows in index.rows.items()}
    log_price = np.log(own["price"].to_numpy())
    table = find_comparables(Nearest(ids, found), ids, index.products, log_price, _amounts(own), ASKED)
    asked = products.select(ID, own_amount="amount", own_unit="unit")
    packs = products.select(comparable=ID, pack="pack")
    table = table.join(asked, on=ID, how="left", maintain_order="left")
    table = table.join(packs, on="comparable", how="left", maintain_order="left")
    moved = pl.col("price") * (pl.col("own_amount") / pl.col("amount")) ** elasticity
    same = pl.col("unit") == pl.col("own_unit")
    return table.select(
        ID, "rank", "comparable", "similarity", "amount", "unit", "pack",
        said=pl.when(same & moved.is_finite()).then(moved).otherwise("price"),
    )  # fmt: skip


def no_comparables() -> pl.DataFrame:
    """Return the table of `ask_comparables` where a run compared no products."""
    texts, numbers = (ID, "comparable", "unit"), ("similarity", "amount", "pack", "said")
    return pl.DataFrame(
        schema={"rank": pl.Int64} | dict.fromkeys(texts, pl.String) | dict.fromkeys(numbers, pl.Float64)
    )


def _amounts(products: pl.DataFrame) -> Amounts:
    codes = {unit: code for code, unit in UNIT_OF.items()}
    amount = products["amount"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    family = products["unit"].replace_strict(codes, default=FAMILIES["none"], return_dtype=pl.Int64).to_numpy()
    log_amount = np.log(np.where(amount > 0, amount, np.nan))
    # totals are masses and volumes; nothing here reads them
    return Amounts(log_amount, log_amount, family)
