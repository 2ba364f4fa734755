"""Why a listed price may be wrong, as far as rules can tell it, and how likely it is that it is wrong at all.

Each cause says by how much a price would be off. With d the distance of the log price from the expected one, b the
scale of what is ordinary (a third of the half 95 % interval: a Laplace distribution leaves 5 % beyond three scales) and
k a number of packs, a cause of weight w that moves the log price by m has the likelihood::

    w exp(-|d - m| / b) / 2b

=====================  ====================================================================  ============
cause                  the price is                                                          m
=====================  ====================================================================  ============
unit_price_for_pack    that of one pack or piece, the text states k of them                  -ln k
pack_misread           that of k packs, or as the comparables' packs want it                 ln k
decimal_slip           written with its decimal mark one or two places off                   +-ln 10, 100
other                  any price of the catalogue (a normal distribution of its log prices)
=====================  ====================================================================  ============

What multiplies a price leaves other digits behind: 12.99 becomes 129.90, or 77.94 for a pack of six. So a cause's
weight is multiplied by how often the digits after the decimal mark (the last one, in a catalogue without decimals) are
those of the catalogue's prices times the cause's factor, over how often they are those of its prices.

The likeliest is named. ``missing_amount`` takes the place of ``other`` where the product states no amount, half of its
comparables or more do, and an amount like theirs would explain the price. Inside of its 95 % interval a price needs no
cause.

The Bayes factor of a wrong price is the sum of the causes' likelihoods over that of an ordinary price, which has m = 0
and w = 1 (Kass and Raftery 1995).
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import logsumexp

from pricing.metrics.rounding import catalogue_decimals
from pricing.metrics.smape import Floats

CAUSES = ("pack_misread", "unit_price_for_pack", "missing_amount", "decimal_slip", "other")
OTHER = 2.0
"""Weight of any other price. 50 % of the planted errors among 6,874 real products then stand among the first 3 %, 74 %
of these with the right cause, and of the ordinary outliers beside them 24 % have none of the causes above; with 1 these
figures are 50, 76 and 13 %, with 5 48, 73 and 48 %."""
_RARE = 0.3
"""Weight of what the text says less plainly: pieces instead of packs, and the packs of others."""
_SLIPS = {10: 0.5, 100: 0.1}
"""Factor of a slip to its weight, upward and downward each."""
_STATED = 0.5
"""Share of the comparables that state an amount where its lack can be a cause."""
_ROOM = 2.0
"""Factor around the comparables' amounts within which a missing one may lie."""


def name_causes(products: pl.DataFrame, comparables: pl.DataFrame, elasticity: float) -> pl.DataFrame:
    """Return the likeliest cause of each of n products' prices, and how likely it is that the price is wrong.

    Parameters
    ----------
    products : DataFrame
        n rows: ``sample_id``; ``price``, ``expected``, ``low_95``, ``high_95`` (money); ``amount`` (null where
        unknown), ``pack`` and ``pieces`` (null where unknown).
    comparables : DataFrame
        As `pricing.run.audit_comparables.ask_comparables`.
    elasticity : float
        d log price / d log amount.

    Returns
    -------
    DataFrame
        n rows: ``cause`` (String, one of `CAUSES`; empty inside of the 95 % interval) and ``log_factor`` (Float64,
        natural logarithm of the Bayes factor of a wrong price).
    """
    log_price, expected, low, high = np.log(
        products.select("price", "expected", "low_95", "high_95").cast(pl.Float64).to_numpy()
    ).T
    distance = log_price - expected
    scale = np.maximum(np.where(distance > 0, high - expected, expected - low), 1e-3) / 3
    theirs = comparables.group_by("sample_id").agg(
        packs=pl.col("pack").median(), stated=pl.col("amount").is_not_null().mean(),
        least=pl.col("amount").min(), most=pl.col("amount").max(), typical=pl.col("amount").log().mean().exp(),
        said=pl.col("said").log().median().exp(),
    )  # fmt: skip
    table = products.select("sample_id", "amount", "pack", "pieces").join(
        theirs, on="sample_id", how="left", maintain_order="left"
    )
    packs = _logs(table["pack"])
    pieces, other_packs = _logs(table["pieces"]), _logs(table["packs"])
    apart = np.where(np.isnan(other_packs), 0.0, other_packs) - np.where(np.isnan(packs), 0.0, packs)
    apart = np.where(apart == 0, np.nan, apart)
    moves = [("unit_price_for_pack", -packs, 1.0), ("unit_price_for_pack", -pieces, _RARE),
             ("pack_misread", packs, 1.0), ("pack_misread", apart, _RARE)]  # fmt: skip
    price = products["price"].cast(pl.Float64).to_numpy()
    for factor, weight in _SLIPS.items():
        moves += [("decimal_slip", np.full(len(price), np.log(by)), weight) for by in (factor, 1 / factor)]
    names = np.array([*(name for name, _, _ in moves), "other"])
    spread = max(float(log_price.std()), 1e-3)
    ordinary = -np.log(2 * scale) - np.abs(distance) / scale
    likelihood = [
        np.log(weight * _endings(price, move) / 2 / scale) - np.abs(distance - move) / scale
        for _, move, weight in moves
    ]
    any_price = np.log(OTHER / spread / np.sqrt(2 * np.pi)) - ((log_price - log_price.mean()) / spread) ** 2 / 2
    matrix = np.column_stack([*(np.where(np.isnan(found), -np.inf, found) for found in likelihood), any_price])
    # the first of equals: a pack of ten at a tenth of its price has the price of one
    cause = names[matrix.argmax(axis=1)]
    cause = np.where((cause == "other") & _explained_by_amount(table, log_price, elasticity), "missing_amount", cause)
    outside = (log_price < low) | (log_price > high)
    factor_log = logsumexp(matrix, axis=1) - ordinary
    return pl.DataFrame({"cause": np.where(outside, cause, ""), "log_factor": factor_log})


def _endings(price: Floats, move: Floats) -> Floats:
    """How much likelier the last digits of n prices are if the catalogue's log prices were moved as theirs."""
    likelier = np.ones(len(price))
    for step in np.unique(move[np.isfinite(move) & (move != 0)]):
        rows = move == step
        likelier[rows] = _ending(price, float(np.exp(step)))[rows]
    return likelier


def _ending(price: Floats, factor: float) -> Floats:
    """How much likelier the last digits of n prices are if all prices were multiplied by a factor, of shape (n,)."""
    decimals = catalogue_decimals(price)
    count = 10 ** max(decimals, 1)
    own, slipped = (np.round(price * by * 10.0**decimals).astype(np.int64) % count for by in (1.0, factor))
    # one more of each, so that an ending that is not there decides nothing
    shares = [np.bincount(endings, minlength=count) + 1 for endings in (slipped, own)]
    return np.asarray(shares[0][own] / shares[1][own], dtype=np.float64)


def _logs(counts: pl.Series) -> Floats:
    """Logs of numbers of packs or pieces; NaN where there are none or one, which moves no price."""
    values = counts.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return np.log(np.where(values > 1, values, np.nan))


def _explained_by_amount(table: pl.DataFrame, log_price: Floats, elasticity: float) -> NDArray[np.bool_]:
    """Whether an amount that is not stated would explain the price: the comparables' typical one, by elasticity."""
    read = table.select("least", "most", "typical", "said", "stated").cast(pl.Float64).fill_null(np.nan)
    least, most, typical, said, stated = read.to_numpy().T
    unknown = table["amount"].fill_null(np.nan).is_nan().to_numpy()
    needed = np.log(typical) + (log_price - np.log(said)) / elasticity
    inside = (needed >= np.log(least / _ROOM)) & (needed <= np.log(most * _ROOM))
    return unknown & (stated >= _STATED) & inside
