"""Comparables: the most similar products with a known price, which is how a buyer judges a price."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["COLUMNS", "comparables_table"]

COLUMNS = ("sample_id", "rank", "comparable_id", "name", "price", "similarity")
"""Of the table: the product asked about, 1 for its nearest, and that product's id, name, price and cosine."""


def comparables_table(
    ids: pl.Series,
    index: NDArray[np.int64],
    similarity: NDArray[np.floating],
    known_ids: pl.Series,
    names: pl.Series,
    prices: pl.Series,
) -> pl.DataFrame:
    """Put neighbours' positions into words.

    Parameters
    ----------
    ids : Series of shape (n,)
        Products asked about.
    index : ndarray of shape (n, k)
        Positions of their comparables among the known products, nearest first; -1 where there are fewer.
    similarity : ndarray of shape (n, k)
        Cosines, 0 to 1.
    known_ids, names, prices : Series of shape (m,)
        The known products.

    Returns
    -------
    DataFrame
        `COLUMNS`, by product and rank.
    """
    row, column = np.nonzero(index >= 0)
    chosen = index[row, column]
    return pl.DataFrame(
        {
            "sample_id": ids.gather(row),
            "rank": pl.Series(column + 1, dtype=pl.Int32),
            "comparable_id": known_ids.gather(chosen),
            "name": names.gather(chosen),
            "price": prices.gather(chosen).cast(pl.Float64),
            "similarity": pl.Series(similarity[row, column], dtype=pl.Float64),
        }
    )
