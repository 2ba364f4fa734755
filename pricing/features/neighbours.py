"""Neighbours: the nearest labelled rows of a row.

Cosine over the rows of a space, exactly, in blocked matrix products. A learning row never sees itself nor a row of its
own group (its near-duplicates): the classic leak of such features. What they cost is in `neighbour_prices`.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import sparse
from threadpoolctl import ThreadpoolController

#: maximum number of query rows per block
BLOCK = 256
#: more than two orders of adding up a cosine of two rows of length 1 differ by, in double precision
_ORDERS = 1e-13
#: a term in this share of the learning rows or more is multiplied as a dense column
DENSE = 0.1


@dataclass(frozen=True)
class Neighbours:
    """The k nearest learning rows of n query rows, most similar first."""

    index: np.ndarray
    """(n, k) int64 positions among the learning rows; -1 where there are fewer than k with any similarity."""
    similarity: np.ndarray
    """(n, k) float32 cosines; 0 where index is -1."""

    def take(self, rows: np.ndarray) -> "Neighbours":
        """Those of some query rows (positions or a mask)."""
        return Neighbours(self.index[rows], self.similarity[rows])

    def among(self, allowed: np.ndarray, k: int) -> "Neighbours":
        """The first k that are allowed; ``allowed`` is (m,) bool over the learning rows.

        So one search serves all folds. Exact while at least k of the kept ones are allowed.
        """
        ok = (self.index >= 0) & allowed[self.index]
        first = np.argsort(~ok, axis=1, kind="stable")[:, :k]
        found = np.take_along_axis(ok, first, axis=1)
        index = np.where(found, np.take_along_axis(self.index, first, axis=1), -1)
        return Neighbours(index, np.where(found, np.take_along_axis(self.similarity, first, axis=1), np.float32(0)))


def unit_rows(matrix: sparse.csr_matrix | np.ndarray) -> sparse.csr_matrix | np.ndarray:
    """Rows scaled to length 1 (zero rows stay zero), float32; CSR with sorted indices where it was sparse."""
    if not sparse.issparse(matrix):
        dense = np.asarray(matrix, dtype=np.float32)
        norms = np.sqrt(np.einsum("nd,nd->n", dense, dense))
        return dense / np.where(norms > 0, norms, 1).astype(np.float32)[:, None]
    unit = sparse.csr_matrix(matrix, dtype=np.float32, copy=True)
    unit.sort_indices()
    norms = np.sqrt(np.asarray(unit.multiply(unit).sum(axis=1)).ravel())
    norms[norms == 0] = 1
    unit.data /= np.repeat(norms, np.diff(unit.indptr)).astype(np.float32)
    return unit


class NearestRows:
    """Exact k nearest rows by cosine, in blocked matrix products.

    Terms that many rows hold are a dense matrix product, the rest a sparse one: at 75,000 x 60,000 rows the few hundred
    most frequent terms are most of a sparse product's work, and a small part of a dense one's.

    Parameters
    ----------
    rows : csr_matrix or ndarray
        (m, p) learning rows of length 1, see `unit_rows`.

    Notes
    -----
    A row's similarities do not depend on the rows that it comes with, though BLAS adds up a row in another order in a
    block of another shape. Products are in double precision and rounded to single, and the few that another order
    could round to the other side are summed exactly (Shewchuk, "Adaptive Precision Floating-Point Arithmetic", 1997).
    """

    def __init__(self, rows: sparse.csr_matrix | np.ndarray) -> None:
        self.count, width = rows.shape
        if isinstance(rows, sparse.csr_matrix):
            frequency = np.bincount(rows.indices, minlength=width)
            rare = frequency < max(DENSE * self.count, 1)
            dense_columns = np.flatnonzero(~rare)
            by_column = sparse.csc_matrix(rows)
            self._dense = by_column[:, dense_columns].toarray().T.astype(np.float64, order="C")
            self._sparse: sparse.csr_matrix | None = sparse.csr_matrix(by_column[:, np.flatnonzero(rare)].T)
            # of each term its place among the frequent or the rare ones, and which it is
            self._rare, self._place = rare, np.where(rare, np.cumsum(rare), np.cumsum(~rare)) - 1
        else:
            self._sparse = None
            self._dense = np.ascontiguousarray(rows.T, dtype=np.float64)

    def search(
        self,
        queries: sparse.csr_matrix | np.ndarray,
        k: int,
        query_groups: np.ndarray | None = None,
        learning_groups: np.ndarray | None = None,
        threads: int = 1,
    ) -> Neighbours:
        """The k nearest of n query rows of length 1.

        Parameters
        ----------
        queries : csr_matrix or ndarray
            (n, p), of the same kind as the learning rows.
        k : int
            Neighbours; at most m are found.
        query_groups, learning_groups : ndarray, optional
            (n,) and (m,) integers; a query row does not see learning rows of its own group. Give them for learning
            rows.
        threads : int
            Blocks at a time.

        Returns
        -------
        Neighbours
            Equal similarities are ordered by position.
        """
        count, found = queries.shape[0], min(k, self.count)
        index = np.full((count, k), -1, dtype=np.int64)
        similarity = np.zeros((count, k), dtype=np.float32)
        if found == 0 or count == 0:
            return Neighbours(index, similarity)

        def fill(start: int) -> None:
            stop = min(start + BLOCK, count)
            block = self._products(queries[start:stop])
            if query_groups is not None and learning_groups is not None:
                block[query_groups[start:stop, None] == learning_groups[None, :]] = 0
            rows, columns, cosines, ranks = _largest(block, found)
            index[start + rows, ranks] = columns
            similarity[start + rows, ranks] = cosines

        # one BLAS thread a block, as many blocks at a time as there are threads
        with _blas().limit(limits=1):
            if count <= BLOCK:
                fill(0)
            else:
                with ThreadPoolExecutor(threads) as pool:
                    list(pool.map(fill, range(0, count, BLOCK)))
        return Neighbours(index, similarity)

    def _products(self, queries: sparse.csr_matrix | np.ndarray) -> np.ndarray:
        """Cosines of up to BLOCK query rows with all learning rows, (b, m) float32."""
        if self._sparse is None:
            return self._rounded(np.asarray(queries, dtype=np.float64))
        queries = sparse.csr_matrix(queries)
        count, terms = queries.shape[0], queries.indices
        rare, place, row = self._rare[terms], self._place[terms], np.repeat(np.arange(count), np.diff(queries.indptr))
        left = np.zeros((count, len(self._dense)))
        left[row[~rare], place[~rare]] = queries.data[~rare]
        block = self._rounded(left)
        starts = np.concatenate([[0], np.cumsum(np.bincount(row[rare], minlength=count))])
        rest = sparse.csr_matrix(
            (queries.data[rare], place[rare], starts), shape=(count, self._sparse.shape[0])
        ) @ self._sparse  # fmt: skip
        flat = block.reshape(-1)
        # every pair stands once in the sparse product, so that its sum is written and not accumulated
        flat[np.repeat(np.arange(count) * self.count, np.diff(rest.indptr)) + rest.indices] += rest.data
        return block

    def _rounded(self, left: np.ndarray) -> np.ndarray:
        """Products of dense (b, p) float64 rows with all learning rows, (b, m) float32, whatever the order of sums."""
        products = left @ self._dense
        rounded = products.astype(np.float32)
        for row, found in enumerate(products):
            # weights of terms are not negative, so that what their sum may be off by is a share of it
            off = _ORDERS if self._sparse is None else _ORDERS * found
            unsure = (found - off).astype(np.float32) != (found + off).astype(np.float32)
            for column in np.flatnonzero(unsure):
                rounded[row, column] = math.fsum(left[row] * self._dense[:, column])
        return rounded


@cache
def _blas() -> ThreadpoolController:
    """The BLAS libraries; finding them takes milliseconds."""
    return ThreadpoolController()


def _largest(block: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Row, column, value and rank of the k largest positive entries of each row; ties by column."""
    # the k-th largest as a threshold, so that ties at the border are broken by position and not by the partition
    border = np.partition(block, block.shape[1] - k, axis=1)[:, block.shape[1] - k]
    rows, columns = np.nonzero(block >= np.maximum(border, np.finfo(np.float32).tiny)[:, None])
    values = block[rows, columns]
    order = np.lexsort((columns, -values, rows))
    rows, columns, values = rows[order], columns[order], values[order]
    ranks = np.arange(len(rows)) - np.searchsorted(rows, rows)
    kept = ranks < k
    return rows[kept], columns[kept], values[kept], ranks[kept]
