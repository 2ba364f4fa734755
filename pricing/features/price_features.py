"""Features that read prices: a ridge's prediction, comparables' prices, brands' mean prices.

They are fitted inside a fold, on its learning rows. The learning rows themselves need values too, as leak-free as
those of unseen rows: their own price, and the prices of their near-duplicates (rows of the same group), never reach
them. For the ridge and the target means that is done by inner folds of whole groups; the comparables were searched
without the row's own group, and only those that the fold learns from have a price here.
"""

from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl
from pydantic import TypeAdapter
from threadpoolctl import threadpool_limits

from pricing.config.features import PriceFeaturesConfig
from pricing.errors import SchemaError
from pricing.features.comparables import find_comparables
from pricing.features.files import read_arrays
from pricing.features.load import ID, RIDGE, FeatureSet, Nearest
from pricing.features.neighbour_prices import SUMMARY, Amounts, summarise
from pricing.features.price_ridge import PriceRidge
from pricing.features.schema import WORDS, Column, make_columns
from pricing.features.table_values import cut_columns
from pricing.features.target_means import TargetMeans
from pricing.store.artifacts import read_json, write_json
from pricing.store.tables import read_table, reading

ENCODED = ("brand", "sub_brand", "category", "category_level")
"""Roles of the categories whose mean prices are features."""


def inner_fold_numbers(groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Inner fold of each row, (n,) int64 in 0..folds-1; rows of one group share it.

    Groups (n,) integers are dealt in a seeded random order, so that no group's fold depends on a price.
    """
    names, codes = np.unique(groups, return_inverse=True)
    dealt = np.random.default_rng(seed).permutation(len(names)) % folds
    return dealt[codes]


class PriceFeatures:
    """Price-reading features of one fold.

    Parameters
    ----------
    config : PriceFeaturesConfig
        Penalties, inner folds, neighbours.
    seed : int
        Of the inner folds.
    threads : int
        BLAS threads.

    Notes
    -----
    ``fit`` learns from the learning rows; ``out_of_fold`` gives their own values, ``transform`` those of any other row.
    """

    def __init__(self, config: PriceFeaturesConfig | None = None, seed: int = 0, threads: int = 1) -> None:
        self.config = config or PriceFeaturesConfig()
        self.seed = seed
        self.threads = threads
        self.ridge: PriceRidge | None = None
        # categories whose mean prices are features
        self.encoded: tuple[Column, ...] = ()
        self.means = TargetMeans((), self.config.brand_prior)
        self.spaces: list[str] = []
        self.log_price = np.zeros(0)
        # of the index's labelled rows, in its order; NaN where this fold does not learn from the row
        self.labelled_price = np.zeros(0)
        self.labelled = Amounts(np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.int64))
        self._learning: FeatureSet | None = None
        self._groups = np.zeros(0, dtype=np.int64)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns in order."""
        return _columns(self.encoded, tuple(self.spaces))

    def fit(self, features: FeatureSet, log_price: np.ndarray, groups: np.ndarray) -> "PriceFeatures":
        """Learn from n rows.

        Parameters
        ----------
        features : FeatureSet
            The learning rows.
        log_price : ndarray
            (n,) float64 natural logs of price.
        groups : ndarray
            (n,) of anything comparable; near-duplicates share one.

        Raises
        ------
        SchemaError
            Lengths differ, or a price is not finite.
        """
        if not len(features) == len(log_price) == len(groups):
            raise SchemaError(f"got {len(features)} rows, {len(log_price)} prices and {len(groups)} groups")
        if not np.isfinite(log_price).all():
            raise SchemaError(f"sample_id {features.ids[int(np.flatnonzero(~np.isfinite(log_price))[0])]!r}: no price")
        with threadpool_limits(self.threads):
            self.ridge = self._new_ridge().fit(features, log_price)
        self.encoded = tuple(column for column in features.schema.columns if column.role in ENCODED)
        self.means = self._new_means().fit(features.tabular, log_price)
        self.log_price = np.asarray(log_price, dtype=np.float64)
        self._price_labelled(features)
        self._learning = features
        self._groups = np.unique(groups, return_inverse=True)[1]
        return self

    def _new_ridge(self) -> PriceRidge:
        config = self.config
        return PriceRidge(config.ridge_alpha, config.ridge_tabular_weight, config.ridge_interaction_weight)

    def _new_means(self) -> TargetMeans:
        return TargetMeans([column.name for column in self.encoded], self.config.brand_prior)

    def _price_labelled(self, features: FeatureSet) -> None:
        if features.nearest is None or not self.config.neighbours:
            return
        self.spaces = list(features.nearest.spaces)
        index = features.nearest.ids.alias(ID).to_frame()
        own = pl.DataFrame({ID: features.ids}).with_row_index("place")
        place = index.join(own, on=ID, how="left", maintain_order="left")["place"]
        known, rows = place.is_not_null().to_numpy(), place.drop_nulls().to_numpy()
        amounts, count = Amounts.of(features), index.height
        self.labelled_price = np.full(count, np.nan)
        self.labelled_price[known] = self.log_price[rows]
        self.labelled = Amounts(np.full(count, np.nan), np.full(count, np.nan), np.full(count, -1))
        for name in ("log_total", "log_amount", "family"):
            getattr(self.labelled, name)[known] = getattr(amounts, name)[rows]

    def out_of_fold(self) -> pl.DataFrame:
        """Values of the learning rows themselves, as `transform`, ``ridge`` NaN; only directly after ``fit``.

        Raises
        ------
        SchemaError
            Nothing was fitted here (a loaded object does not know its learning rows' groups).
        """
        features, groups, ridge = self._learning, self._groups, self.ridge
        if features is None or ridge is None:
            raise SchemaError("out-of-fold values exist only in the object that was fitted; call fit first")
        folds = inner_fold_numbers(groups, self.config.inner_folds, self.seed)
        log_ridge = np.full(len(features), self.log_price.mean())
        encoded = {name: np.zeros(len(features)) for name in self.means.transform(features.tabular.clear())}
        # the design's means and categories read no price, so one design serves all inner folds
        matrix = ridge.design.transform(features)
        for fold in range(self.config.inner_folds):
            held, rest = folds == fold, folds != fold
            if not held.any() or not rest.any():
                continue
            inner = self._new_ridge()
            with threadpool_limits(self.threads):
                log_ridge[held] = (
                    inner.fit_matrix(matrix[rest], self.log_price[rest]).predict_matrix(matrix[held])
                )  # fmt: skip
            means = self._new_means().fit(features.tabular.filter(rest), self.log_price[rest])
            for name, values in means.transform(features.tabular.filter(held)).items():
                encoded[name][held] = values
        return self._table(features, log_ridge, encoded, np.full(len(features), np.nan))

    def transform(self, features: FeatureSet) -> pl.DataFrame:
        """Values of n rows that were not learnt from.

        Learning rows given here would see their own price: use ``out_of_fold`` for them.

        Returns
        -------
        DataFrame
            ``sample_id``, the `columns` (``price_*``, Float32) and ``ridge``, as `predict_ridge` (Float64).
        """
        log_ridge = self.predict_ridge(features)
        return self._table(features, log_ridge, self.means.transform(features.tabular), log_ridge)

    def predict_ridge(self, features: FeatureSet) -> np.ndarray:
        """The ridge's log prices, ndarray of shape (n,), float64."""
        if self.ridge is None:
            raise SchemaError("these PriceFeatures have learnt nothing yet; call fit or load first")
        return self.ridge.predict(features)

    def comparables(self, features: FeatureSet, products: pl.DataFrame, k: int) -> pl.DataFrame:
        """The k products with a known price that each of n rows is most like.

        Parameters
        ----------
        features : FeatureSet
            n rows, made by an engineer with an index.
        products : DataFrame
            That index's ``products``.
        k : int
            Comparables a row.

        Raises
        ------
        SchemaError
            These were fitted without comparables, or with those of another run.
        """
        if not self.spaces:
            raise SchemaError(
                "this run compared no products; run again with at least one of features.spaces and a positive "
                "features.price.neighbours"
            )
        nearest = self._nearest(features)
        return find_comparables(nearest, features.ids, products, self.labelled_price, self.labelled, k)

    def _nearest(self, features: FeatureSet) -> Nearest:
        if features.nearest is None or len(features.nearest.ids) != len(self.labelled_price):
            count = 0 if features.nearest is None else len(features.nearest.ids)
            raise SchemaError(
                f"these features are compared with {count} labelled rows, the prices are of "
                f"{len(self.labelled_price)}; use the engineer of the same run"
            )
        return features.nearest

    def _table(
        self, features: FeatureSet, log_ridge: np.ndarray, encoded: dict[str, np.ndarray], ridge: np.ndarray
    ) -> pl.DataFrame:
        amounts = Amounts.of(features)
        values = {"price_ridge": log_ridge, "price_ridge_per_unit": log_ridge - amounts.log_total, **encoded}
        if self.spaces:
            learnt = np.isfinite(self.labelled_price)
            for space, found in self._nearest(features).spaces.items():
                summary = summarise(
                    found.among(learnt, self.config.neighbours), self.labelled_price, self.labelled, amounts,
                    self.config.neighbour_sharpness, self.config.price_elasticity, self.config.amount_bandwidth,
                )  # fmt: skip
                values |= {f"price_{space}_{name}": column for name, column in summary.items()}
        names = [column.name for column in self.columns]
        columns = cut_columns(names, np.stack([np.asarray(values[name], dtype=np.float32) for name in names]))
        return pl.DataFrame([features.ids.alias(ID), *columns, pl.Series(RIDGE, ridge)])

    def save(self, folder: Path) -> None:
        """Write everything needed to transform new rows: JSON, plain arrays, Parquet."""
        if self.ridge is None:
            raise SchemaError("these PriceFeatures have learnt nothing yet; call fit first")
        folder.mkdir(parents=True, exist_ok=True)
        record = {
            "config": self.config.model_dump(mode="json"),
            "seed": self.seed,
            "spaces": self.spaces,
            "encoded": [asdict(column) for column in self.encoded],
        }
        write_json(folder / "price_features.json", record)
        self.ridge.save(folder)
        self.means.to_table().write_parquet(folder / "target_means.parquet")
        np.savez(folder / "labelled.npz", log_price=self.labelled_price, **vars(self.labelled))

    @classmethod
    def load(cls, folder: Path) -> "PriceFeatures":
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            A file is missing, damaged, or holds Python objects.
        """
        path = folder / "price_features.json"
        with reading(path, "price features"):
            record = read_json(path)
            loaded = cls(PriceFeaturesConfig.model_validate(record["config"]), int(record["seed"]))
            loaded.encoded = TypeAdapter(tuple[Column, ...]).validate_python(record["encoded"])
            names = [column.name for column in loaded.encoded]
            loaded.means = TargetMeans.from_table(read_table(folder / "target_means.parquet"), names)
            loaded.spaces = [str(space) for space in record["spaces"]]
            arrays = read_arrays(folder / "labelled.npz")
            loaded.labelled_price = arrays["log_price"]
            loaded.labelled = Amounts(arrays["log_total"], arrays["log_amount"], arrays["family"])
        loaded.ridge = PriceRidge.load(folder)
        return loaded


@lru_cache(maxsize=64)
def _columns(encoded_columns: tuple[Column, ...], spaces: tuple[str, ...]) -> tuple[Column, ...]:
    """Columns of price features by the categories that are encoded and the spaces that are searched."""
    said, summaries = WORDS["means"], WORDS["comparables"]
    encoded = {
        f"price_{column.name}_{what}": said[what].format(values=column.values)
        for column in encoded_columns
        for what in ("mean", "count")
    }
    compared = {
        f"price_{space}_{name}": f"{summaries[name]} (compared {WORDS['spaces'][space]})"
        for space in spaces for name in SUMMARY
    }  # fmt: skip
    nearest = {f"price_{space}_similarity": "similarity" for space in spaces}
    return (
        *make_columns("ridge", ("price_ridge", "price_ridge_per_unit"), roles={"price_ridge": "ridge"}),
        *make_columns("means", encoded, words=encoded),
        *make_columns("comparables", compared, words=compared, roles=nearest),
    )
