"""Product categories found by clustering: k-means over the text's SVD vectors, learnt without labels.

A category gathers what a brand scatters ("herbal teas", "bulk spices", "gift baskets"): trees may split on it, and its
mean price is a target mean like a brand's.
"""

from pathlib import Path

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits

from pricing.errors import ArtifactError
from pricing.features.load import read_arrays

__all__ = ["TextClusters"]

#: k-means learns from at most so many rows
MOST_ROWS = 50_000


class TextClusters:
    """K-means over unit SVD vectors.

    Parameters
    ----------
    count : int
        Clusters; 0 switches them off. Fewer are made of fewer distinct rows.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.centres = np.zeros((0, 0), dtype=np.float64)

    def fit(self, vectors: np.ndarray, seed: int) -> "TextClusters":
        """Learn from (n, d) vectors."""
        rows = _unit(vectors)
        if len(rows) > MOST_ROWS:
            rows = rows[np.random.default_rng(seed).choice(len(rows), MOST_ROWS, replace=False)]
        count = min(self.count, len(np.unique(rows, axis=0)))
        if count < 2 or rows.shape[1] == 0:
            self.centres = np.zeros((0, rows.shape[1]))
            return self
        # one thread: sums in the order of the rows, the same bytes on every machine of the kind
        with threadpool_limits(1):
            model = MiniBatchKMeans(count, random_state=seed, n_init=3, batch_size=4_096, max_iter=30).fit(rows)
        self.centres = model.cluster_centers_.astype(np.float64)
        return self

    def assign(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cluster of each of (n, d) vectors, (n,) int64 (-1 where there are none), and cosine to its centre (n,)."""
        if not len(self.centres):
            return np.full(len(vectors), -1, dtype=np.int64), np.zeros(len(vectors))
        rows = _unit(vectors)
        # without BLAS, whose summation order depends on the number of rows
        products = np.einsum("nd,kd->nk", rows, self.centres, optimize=False)
        squared = np.einsum("kd,kd->k", self.centres, self.centres)
        chosen = np.argmin(squared - 2 * products, axis=1)
        length = np.sqrt(np.maximum(squared[chosen], 1e-12))
        return chosen.astype(np.int64), products[np.arange(len(rows)), chosen] / length

    def save(self, path: Path) -> None:
        """Write plain arrays."""
        np.savez(path, centres=self.centres)

    @classmethod
    def load(cls, path: Path, count: int) -> "TextClusters":
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            The file is missing, damaged, or holds Python objects.
        """
        loaded = cls(count)
        try:
            loaded.centres = read_arrays(path)["centres"]
        except KeyError as error:
            raise ArtifactError(f"{path}: expected cluster centres, got {error!r}; rebuild the stage") from None
        return loaded


def _unit(vectors: np.ndarray) -> np.ndarray:
    rows = np.asarray(vectors, dtype=np.float64)
    norms = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    return rows / np.where(norms > 0, norms, 1.0)[:, None]
