"""Ridge regression of log price on TF-IDF, standardised numbers, one-hot categories and terms times amounts.

The sparse matrix stays sparse; the tabular part (a hundred columns) is appended dense-in-CSR, scaled so that its rows
are about as long as a TF-IDF block's. A term's product with the amount lets a pound of saffron and a pound of salt
differ in what one more pound costs: over the real rows 53.9 instead of 55.0 (docs/LOG.md). Solved by conjugate
gradients, deterministic and linear in the stored numbers.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl
from scipy import sparse
from sklearn.linear_model import Ridge

from pricing.errors import SchemaError
from pricing.features.files import read_arrays
from pricing.features.load import FeatureSet
from pricing.features.schema import NUMBER, with_role
from pricing.store.artifacts import read_json, write_json
from pricing.store.tables import reading

#: standard deviations after which a number is clipped; one absurd quantity must not price a row
CLIP = 4.0
#: one-hot columns a category column, most frequent first
MOST_CATEGORIES = 2_000
#: roles of the numbers that every term is multiplied by, where they are known
INTERACTED = ("log_total", "log_pack")
#: standard deviations after which they are clipped: a whole text hangs on them
INTERACTED_CLIP = 2.5


class DesignMatrix:
    """TF-IDF beside standardised numbers and one-hot categories, and TF-IDF times amounts.

    Parameters
    ----------
    tabular_weight : float
        Scale of the tabular part; 0 leaves it out.
    interaction_weight : float
        Scale of the terms times amounts (`INTERACTED`); 0 leaves them out.
    """

    def __init__(self, tabular_weight: float, interaction_weight: float = 0.0) -> None:
        self.tabular_weight = tabular_weight
        self.interaction_weight = interaction_weight
        self.numeric: list[str] = []
        self.interacted: list[str] = []
        self.mean = np.zeros(0)
        self.scale = np.zeros(0)
        # category column to its known values, each to its one-hot column
        self.categories: dict[str, dict[str, int]] = {}

    def fit(self, features: FeatureSet) -> "DesignMatrix":
        """Learn means, scales and categories of n rows; SVD columns are left out (the TF-IDF is there itself)."""
        columns = [column for column in features.schema.columns if column.family != "svd"]
        self.numeric = [column.name for column in columns if column.kind == NUMBER]
        self.interacted = [name for role in INTERACTED for name in with_role(columns, role)]
        numbers = self._numbers(features)
        present = ~np.isnan(numbers)
        count = np.maximum(present.sum(axis=0), 1)
        self.mean = np.where(present, numbers, 0).sum(axis=0) / count
        variance = (np.where(present, numbers - self.mean, 0) ** 2).sum(axis=0) / count
        self.scale = np.where(variance > 1e-12, np.sqrt(variance), 1.0)
        for name in features.schema.categorical:
            counts = features.tabular[name].value_counts().filter(pl.col("count") >= 2)
            counts = counts.sort(["count", name], descending=[True, False])
            self.categories[name] = _places(counts[name].head(MOST_CATEGORIES).to_list())
        return self

    def transform(self, features: FeatureSet) -> sparse.csr_matrix:
        """(n, terms + numbers + missing flags + categories + terms by amount) float64 CSR."""
        tfidf = features.tfidf.astype(np.float64)
        parts = [tfidf]
        numbers = self._numbers(features)
        missing = np.isnan(numbers)
        standard = (np.where(missing, self.mean, numbers) - self.mean) / self.scale  # (n, p), 0 where missing
        if self.tabular_weight > 0:
            parts += [
                sparse.csr_matrix(self.tabular_weight * np.clip(standard, -CLIP, CLIP)),
                sparse.csr_matrix(self.tabular_weight * missing),
            ]
            parts.append(self._one_hot(features))
        if self.interaction_weight > 0:
            each = np.arange(len(features) + 1)
            for name in self.interacted:
                amount = np.clip(standard[:, self.numeric.index(name)], -INTERACTED_CLIP, INTERACTED_CLIP)
                weights = self.interaction_weight * amount, each[:-1], each
                diagonal = sparse.csr_matrix(weights, shape=(len(features), len(features)))
                parts.append(diagonal @ tfidf)
        return sparse.csr_matrix(sparse.hstack(parts, format="csr"))

    def product(self, features: FeatureSet, coef: np.ndarray) -> float:
        """Return the product of the one row that there is with coefficients (columns,), without its matrix.

        It is summed in the order of the matrix's columns, so that it equals ``transform(features) @ coef`` to the last
        bit, in a tenth of the time.
        """
        tfidf = features.tfidf
        if tfidf.shape[0] != 1 or not tfidf.has_sorted_indices:
            return float((self.transform(features) @ coef)[0])
        numbers = self._numbers(features)[0]
        missing = np.isnan(numbers)
        standard = (np.where(missing, self.mean, numbers) - self.mean) / self.scale
        place, values = tfidf.indices, tfidf.data.astype(np.float64)
        start, parts = tfidf.shape[1], [values * coef[place]]
        if self.tabular_weight > 0:
            for block in (np.clip(standard, -CLIP, CLIP), missing):
                parts.append(self.tabular_weight * block * coef[start : start + len(block)])
                start += len(block)
            for name in sorted(self.categories):
                found = self.categories[name].get(features.tabular[name][0], -1)
                if found >= 0:
                    parts.append(np.array([3 * self.tabular_weight * coef[start + found]]))
                start += len(self.categories[name])
        if self.interaction_weight > 0:
            for name in self.interacted:
                amount = np.clip(standard[self.numeric.index(name)], -INTERACTED_CLIP, INTERACTED_CLIP)
                # scipy's product of two sparse matrices holds a row's columns from the last to the first
                parts.append((self.interaction_weight * amount * values * coef[start + place])[::-1])
                start += tfidf.shape[1]
        if start != len(coef):
            raise SchemaError(f"the ridge knows {len(coef)} columns, got {start}; rebuild the features")
        # accumulate adds one after the other, as a sparse product does; a sum adds in pairs
        return float(np.add.accumulate(np.concatenate(parts))[-1])

    def _numbers(self, features: FeatureSet) -> np.ndarray:
        known = {name: place for place, name in enumerate(features.schema.numeric)}
        if lacking := sorted(set(self.numeric) - set(known)):
            raise SchemaError(f"features lack the columns {lacking[:5]}; the model was fitted on another schema")
        return features.numbers[:, [known[name] for name in self.numeric]].astype(np.float64)

    def _one_hot(self, features: FeatureSet) -> sparse.csr_matrix:
        places = np.full((len(features), len(self.categories)), -1)  # (n, categories)
        width = 0
        for number, name in enumerate(sorted(self.categories)):
            known = self.categories[name]
            place = np.array([known.get(value, -1) for value in features.tabular[name].to_list()], dtype=np.int64)
            places[:, number] = np.where(place >= 0, width + place, -1)
            width += len(known)
        there = places >= 0
        # a category is a whole fact, not a standardised number: it weighs like three of them
        ones = np.full(int(there.sum()), 3 * self.tabular_weight)
        starts = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
        return sparse.csr_matrix((ones, places[there], starts), shape=(len(features), width))


def _places(values: Iterable[str]) -> dict[str, int]:
    return {value: place for place, value in enumerate(values)}


class PriceRidge:
    """The ridge with its design.

    Parameters
    ----------
    alpha : float
        L2 penalty.
    tabular_weight, interaction_weight : float
        See `DesignMatrix`.
    """

    def __init__(self, alpha: float, tabular_weight: float, interaction_weight: float = 0.0) -> None:
        self.alpha = alpha
        self.design = DesignMatrix(tabular_weight, interaction_weight)
        self.coef = np.zeros(0)
        self.intercept = 0.0
        self.low, self.high = -np.inf, np.inf

    def fit(self, features: FeatureSet, log_price: np.ndarray) -> "PriceRidge":
        """Learn from n rows and their natural logs of price, (n,) float64."""
        matrix = self.design.fit(features).transform(features)
        return self.fit_matrix(matrix, log_price)

    def fit_matrix(self, matrix: sparse.csr_matrix, log_price: np.ndarray) -> "PriceRidge":
        """Learn from rows of the design that `design` gives, (n, p), and log prices (n,)."""
        model = Ridge(alpha=self.alpha, solver="sparse_cg", tol=1e-4, max_iter=1_000).fit(matrix, log_price)
        self.coef, self.intercept = model.coef_, float(model.intercept_)
        # nothing is priced beyond what was ever seen
        self.low, self.high = float(log_price.min()), float(log_price.max())
        return self

    def predict(self, features: FeatureSet) -> np.ndarray:
        """Log prices (n,) float64; a row's number does not depend on the batch."""
        if len(features) == 1:
            return self._clipped(np.array([self.design.product(features, self.coef)]))
        return self.predict_matrix(self.design.transform(features))

    def predict_matrix(self, matrix: sparse.csr_matrix) -> np.ndarray:
        """Log prices (n,) of design rows (n, p)."""
        if matrix.shape[1] != len(self.coef):
            raise SchemaError(f"the ridge knows {len(self.coef)} columns, got {matrix.shape[1]}; rebuild the features")
        return self._clipped(matrix @ self.coef)

    def _clipped(self, products: np.ndarray) -> np.ndarray:
        return np.clip(products + self.intercept, self.low, self.high)

    def save(self, folder: Path) -> None:
        """Write ridge.json and ridge.npz."""
        record = {
            "alpha": self.alpha,
            "tabular_weight": self.design.tabular_weight,
            "interaction_weight": self.design.interaction_weight,
            "numeric": self.design.numeric,
            "interacted": self.design.interacted,
            "categories": {name: list(known) for name, known in self.design.categories.items()},
            "intercept": self.intercept,
            "low": self.low,
            "high": self.high,
        }
        write_json(folder / "ridge.json", record)
        np.savez(folder / "ridge.npz", coef=self.coef, mean=self.design.mean, scale=self.design.scale)

    @classmethod
    def load(cls, folder: Path) -> "PriceRidge":
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            A file is missing, damaged, or holds Python objects.
        """
        arrays = read_arrays(folder / "ridge.npz")
        with reading(folder, "a ridge"):
            record = read_json(folder / "ridge.json")
            ridge = cls(float(record["alpha"]), float(record["tabular_weight"]), float(record["interaction_weight"]))
            ridge.design.numeric = [str(name) for name in record["numeric"]]
            ridge.design.interacted = [str(name) for name in record["interacted"]]
            ridge.design.categories = {str(key): _places(values) for key, values in record["categories"].items()}
            ridge.intercept, ridge.low, ridge.high = (float(record[key]) for key in ("intercept", "low", "high"))
            ridge.coef, ridge.design.mean, ridge.design.scale = (arrays[key] for key in ("coef", "mean", "scale"))
        return ridge
