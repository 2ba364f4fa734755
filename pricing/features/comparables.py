"""Comparables: the labelled products that a product is most like.

The index holds the texts of all labelled rows, in several spaces, and no price. It is searched once, `KEPT` neighbours
are kept, and every fold takes the first of them that it may learn from (`Neighbours.among`): so a fold's validation
rows and the hold-out are in the index and never in its features.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from scipy import sparse

from pricing.errors import SchemaError
from pricing.features.files import read_array, read_sparse
from pricing.features.load import ID, FeatureSet, Nearest
from pricing.features.neighbour_prices import UNIT_OF, Amounts
from pricing.features.neighbours import NearestRows, unit_rows
from pricing.store.artifacts import read_json, write_json
from pricing.store.tables import read_table, reading

#: neighbours kept a row and space; a fold learns from 68 % of the labelled rows or more, so that some 130 remain
KEPT = 200


class ComparableIndex:
    """Labelled rows in each space.

    Parameters
    ----------
    products : DataFrame
        m rows: ``sample_id``, ``title``.
    rows : dict of str to csr_matrix or ndarray
        Space to (m, p) rows of length 1.
    """

    def __init__(self, products: pl.DataFrame, rows: dict[str, sparse.csr_matrix | np.ndarray]) -> None:
        self.products = products
        self.rows = rows
        self._searchers: dict[str, NearestRows] = {}

    @classmethod
    def build(cls, features: FeatureSet, titles: pl.Series, spaces: Sequence[str]) -> "ComparableIndex":
        """Index m labelled rows and their titles.

        Raises
        ------
        SchemaError
            A space that the features do not have.
        """
        products = pl.DataFrame({ID: features.ids, "title": titles})
        return cls(products, {space: unit_rows(features.space(space)) for space in spaces})

    def search(self, features: FeatureSet, groups: np.ndarray | None = None, threads: int = 1) -> Nearest:
        """The `KEPT` nearest labelled rows of n rows, in each space.

        Parameters
        ----------
        features : FeatureSet
            n rows.
        groups : ndarray, optional
            Give it where the n rows are the index's own: (m,) integers, near-duplicates share one; a row does not see
            its own group.
        threads : int
            Blocks of rows at a time.
        """
        found = {}
        for space, rows in self.rows.items():
            # made once: turning the labelled rows took 12 ms per space, more than one row's search
            if space not in self._searchers:
                self._searchers[space] = NearestRows(rows)
            queries = unit_rows(features.space(space))
            found[space] = self._searchers[space].search(queries, KEPT, groups, groups, threads)
        return Nearest(self.products[ID], found)

    def save(self, folder: Path) -> None:
        """Write a table of products and the rows of each space."""
        folder.mkdir(parents=True, exist_ok=True)
        self.products.write_parquet(folder / "products.parquet")
        for space, rows in self.rows.items():
            if isinstance(rows, np.ndarray):
                np.save(folder / f"rows_{space}.npy", rows, allow_pickle=False)
            else:
                sparse.save_npz(folder / f"rows_{space}.npz", rows, compressed=False)
        write_json(folder / "spaces.json", list(self.rows))

    @classmethod
    def load(cls, folder: Path) -> "ComparableIndex":
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            A file is missing, damaged, or holds Python objects.
        SchemaError
            Rows and products do not belong together.
        """
        with reading(folder, "an index of products"):
            spaces = [str(space) for space in read_json(folder / "spaces.json")]
        products = read_table(folder / "products.parquet")
        rows = {}
        for space in spaces:
            dense = folder / f"rows_{space}.npy"
            rows[space] = read_array(dense) if dense.exists() else read_sparse(folder / f"rows_{space}.npz")
        for space, matrix in rows.items():
            if matrix.shape[0] != products.height:
                raise SchemaError(f"{folder}: {matrix.shape[0]} rows in space {space}, {products.height} products")
        return cls(products, rows)


def find_comparables(
    nearest: Nearest, ids: pl.Series, products: pl.DataFrame, log_price: np.ndarray, amounts: Amounts, k: int
) -> pl.DataFrame:
    """The k best comparables of n rows over all spaces.

    A product that several spaces know ranks by its mean cosine, counting 0 where a space does not list it.

    Parameters
    ----------
    nearest : Nearest
        Of n rows; see `ComparableIndex.search`.
    ids : Series
        (n,) sample_id.
    products : DataFrame
        The index's products, m rows: ``sample_id``, ``title``.
    log_price : ndarray
        (m,) natural logs; products without a price (NaN) are left out.
    amounts : Amounts
        Of the m products.
    k : int
        Comparables a row.

    Returns
    -------
    DataFrame
        ``sample_id``, ``rank`` (1 is the nearest), ``comparable`` (sample_id), ``title``, ``price`` (money),
        ``amount`` (null where unknown) and its ``unit`` (g, ml, piece, m, m2: only amounts of one unit compare),
        ``similarity`` (cosine, mean over the spaces).
    """
    priced = np.isfinite(log_price)
    parts = []
    for found in nearest.spaces.values():
        best = found.among(priced, k)
        row = np.repeat(np.arange(len(ids)), best.index.shape[1])
        kept = best.index.ravel() >= 0
        parts.append(
            pl.DataFrame(
                {"row": row[kept], "place": best.index.ravel()[kept], "similarity": best.similarity.ravel()[kept]}
            )
        )
    if not parts:
        raise SchemaError("these features have no comparables; build them with at least one space")
    spaces = len(parts)
    ranked = (
        pl.concat(parts)
        .group_by("row", "place")
        .agg(pl.col("similarity").cast(pl.Float64).sum() / spaces)
        .sort("row", "similarity", "place", descending=[False, True, False])
        .with_columns(rank=pl.int_range(1, pl.len() + 1).over("row"))
        .filter(pl.col("rank") <= k)
    )
    place = ranked["place"].to_numpy()
    amount = pl.Series(np.exp(amounts.log_amount[place])).round_sig_figs(10).fill_nan(None)
    unit = pl.Series(amounts.family[place], dtype=pl.Int64).replace_strict(
        UNIT_OF, default=None, return_dtype=pl.String
    )
    return pl.DataFrame(
        {
            ID: ids.gather(ranked["row"]),
            "rank": ranked["rank"],
            "comparable": products[ID].gather(ranked["place"]),
            "title": products["title"].gather(ranked["place"]),
            # to ten digits the exponential of a logarithm is the number that it was taken of
            "price": pl.Series(np.exp(log_price[place])).round_sig_figs(10),
            "amount": amount,
            "unit": pl.select(pl.when(amount.is_not_null()).then(unit)).to_series(),
            "similarity": ranked["similarity"],
        }
    )
