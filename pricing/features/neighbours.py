"""Comparables: the nearest products with a known price, and what they cost.

Cosine over the TF-IDF rows, exactly, by blocked sparse matrix products: a row's similarities are summed in the order
of its own terms, so they do not depend on the batch it comes in. A learning row never sees itself nor a row of its own
group (its near-duplicates): the classic leak of such features.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

__all__ = ["SUMMARY", "Neighbours", "nearest", "summarise", "unit_rows"]

#: columns that `summarise` makes
SUMMARY = (
    "price_nn_mean", "price_nn_median", "price_nn_spread", "price_nn_nearest", "price_nn_similarity",
    "price_nn_mean_similarity", "price_nn_per_unit", "price_nn_from_unit",
)  # fmt: skip

#: query rows a block; the dense block of similarities is this times the learning rows, in float32
BLOCK = 256


@dataclass(frozen=True)
class Neighbours:
    """The k nearest learning rows of n query rows, most similar first."""

    index: np.ndarray
    """(n, k) int64 positions among the learning rows; -1 where there are fewer than k with any similarity."""
    similarity: np.ndarray
    """(n, k) float32 cosines; 0 where index is -1."""


def unit_rows(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Rows scaled to length 1 (zero rows stay zero), float32 CSR with sorted indices."""
    unit = sparse.csr_matrix(matrix, dtype=np.float32, copy=True)
    unit.sort_indices()
    norms = np.sqrt(np.asarray(unit.multiply(unit).sum(axis=1)).ravel())
    norms[norms == 0] = 1
    unit.data /= np.repeat(norms, np.diff(unit.indptr)).astype(np.float32)
    return unit


def nearest(
    queries: sparse.csr_matrix,
    learning: sparse.csr_matrix,
    k: int,
    query_groups: np.ndarray | None = None,
    learning_groups: np.ndarray | None = None,
) -> Neighbours:
    """Exact k nearest by cosine.

    Parameters
    ----------
    queries, learning : csr_matrix
        (n, p) and (m, p) with rows of length 1, see `unit_rows`.
    k : int
        Neighbours; at most m are found.
    query_groups, learning_groups : ndarray, optional
        (n,) and (m,) integers; a query row does not see learning rows of its own group. Give them for learning rows.

    Returns
    -------
    Neighbours
        Equal similarities are ordered by position.
    """
    rows, found = queries.shape[0], min(k, learning.shape[0])
    index = np.full((rows, k), -1, dtype=np.int64)
    similarity = np.zeros((rows, k), dtype=np.float32)
    if found == 0:
        return Neighbours(index, similarity)
    transposed = sparse.csr_matrix(learning.T)
    for start in range(0, rows, BLOCK):
        stop = min(start + BLOCK, rows)
        block = (queries[start:stop] @ transposed).toarray()
        if query_groups is not None and learning_groups is not None:
            block[query_groups[start:stop, None] == learning_groups[None, :]] = 0
        # the k-th largest as a threshold, so that ties at the border are broken by position and not by the partition
        border = -np.partition(-block, found - 1, axis=1)[:, found - 1]
        row, column = np.nonzero((block >= border[:, None]) & (block > 0))
        cosine = block[row, column]
        order = np.lexsort((column, -cosine, row))
        row, column, cosine = row[order], column[order], cosine[order]
        rank = np.arange(len(row)) - np.searchsorted(row, row)
        kept = rank < found
        index[start + row[kept], rank[kept]] = column[kept]
        similarity[start + row[kept], rank[kept]] = cosine[kept]
    return Neighbours(index, similarity)


def summarise(
    neighbours: Neighbours,
    log_price: np.ndarray,
    log_total: np.ndarray,
    query_log_total: np.ndarray,
    sharpness: float,
) -> dict[str, np.ndarray]:
    """What the neighbours cost.

    Parameters
    ----------
    neighbours : Neighbours
        Of n query rows.
    log_price, log_total : ndarray
        (m,) natural logs of price and of the total amount (NaN where unknown) of the learning rows.
    query_log_total : ndarray
        (n,) log of the total amount of the query rows.
    sharpness : float
        Neighbours weigh ``exp(sharpness * cosine)``.

    Returns
    -------
    dict
        The columns `SUMMARY`, (n,) float64; NaN where there is no neighbour (or, per unit, none with an amount).
        ``price_nn_per_unit`` is the weighted mean of log price minus log total; ``price_nn_from_unit`` adds the row's
        own log total: the price at its neighbours' price per unit.
    """
    if neighbours.index.shape[1] == 0 or len(log_price) == 0:
        return {name: np.full(len(query_log_total), np.nan) for name in SUMMARY}
    exists = neighbours.index >= 0
    prices = np.where(exists, log_price[neighbours.index], np.nan)  # (n, k)
    units = np.where(exists, (log_price - log_total)[neighbours.index], np.nan)  # (n, k)
    weights = np.where(exists, np.exp(sharpness * neighbours.similarity.astype(np.float64)), 0.0)
    mean = _weighted_mean(prices, weights)
    spread = np.sqrt(_weighted_mean((prices - mean[:, None]) ** 2, weights))
    per_unit = _weighted_mean(units, weights)
    count = exists.sum(axis=1)
    ordered = np.sort(prices, axis=1)  # NaN last
    rows = np.arange(len(prices))
    lower, upper = ordered[rows, np.maximum(count - 1, 0) // 2], ordered[rows, np.minimum(count // 2, count - 1)]
    with np.errstate(invalid="ignore"):
        mean_similarity = np.where(count > 0, neighbours.similarity.sum(axis=1) / np.maximum(count, 1), np.nan)
    columns = (
        mean,
        (lower + upper) / 2,
        spread,
        prices[:, 0],
        np.where(count > 0, neighbours.similarity[:, 0], np.nan),
        mean_similarity,
        per_unit,
        per_unit + query_log_total,
    )
    return dict(zip(SUMMARY, columns, strict=True))


def _weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Row means over the values that are there; NaN where none is."""
    present = np.where(np.isnan(values), 0.0, weights)
    total = present.sum(axis=1)
    sums = (np.where(np.isnan(values), 0.0, values) * present).sum(axis=1)
    return np.where(total > 0, sums / np.where(total > 0, total, 1.0), np.nan)
