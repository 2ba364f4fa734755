"""K-fold training over the libraries, usable from a notebook."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from pricing.config.gbdt import GBDTConfig, MemberConfig
from pricing.errors import ConfigError, TrainingError
from pricing.gbdt.bag import TrainedBag
from pricing.gbdt.matrix import FeatureSchema, Matrix
from pricing.gbdt.model import LIBRARIES, TrainedModel
from pricing.gbdt.rows import encode_fold
from pricing.smape import smape_of_logs

log = logging.getLogger(__name__)

SEED_STEP = 1000
"""Between the seeds of one member's models; runs of neighbouring seeds share none."""


def _trainer(member: str) -> Callable[..., TrainedModel]:
    """The member's ``train_*`` function. The imports are written out: a cache key holds only modules that stand so."""
    if member == "lightgbm":
        from pricing.gbdt.lgbm import train_lightgbm

        return train_lightgbm
    if member == "xgboost":
        from pricing.gbdt.xgb import train_xgboost

        return train_xgboost
    if member == "catboost":
        from pricing.gbdt.cat import train_catboost

        return train_catboost
    raise ConfigError(f"gbdt: no member {member!r}; there are {', '.join(LIBRARIES)}")


def train_member(
    member: str, train: Matrix, valid: Matrix | None, schema: FeatureSchema, settings: MemberConfig, **options: Any
) -> TrainedModel:
    """Call the member's ``train_*`` function; parameters, result and errors are that function's."""
    return _trainer(member)(train, valid, schema, settings, **options)


def train_bag(
    member: str,
    train: Matrix,
    valid: Matrix | None,
    schema: FeatureSchema,
    settings: MemberConfig,
    config: GBDTConfig,
    *,
    seed: int,
    threads: int = 1,
    rounds: int | None = None,
) -> TrainedBag:
    """Train one member on one fold, ``config.seeds`` times; a model that found nothing to split on is logged.

    Other parameters, result and errors are those of the member's ``train_*`` function.
    """
    trained = [
        train_member(
            member, train, valid, schema, settings, seed=seed + number * SEED_STEP, threads=threads, rounds=rounds,
            device=config.device,
        )
        for number in range(config.seeds)
    ]  # fmt: skip
    for one in trained:
        if not one.model.importance()["importance"].sum():
            log.warning(
                "%s on %d rows: no tree has a split, so every row gets the same price; allow smaller leaves",
                *(member, len(train)),
            )
    return TrainedBag(trained)


@dataclass(frozen=True)
class GBDTResult:
    """One library's folds.

    Attributes
    ----------
    models : list of TrainedBag
        One a fold, in fold order, each of ``config.seeds`` models.
    train : ndarray, shape (n,)
        Log price of each row by the models that learned it: their mean. Optimistic by nature.
    valid : ndarray, shape (n,)
        Log price of each row by the one bag that did not learn it (out of fold).
    test : ndarray, shape (t,)
        Log price of each test row, the mean over the folds.
    smape : float
        Of ``valid``, in percent.
    importance : polars.DataFrame
        feature, importance: mean share of the gain, largest first.
    """

    models: list[TrainedBag]
    train: NDArray[np.float64]
    valid: NDArray[np.float64]
    test: NDArray[np.float64]
    smape: float
    importance: pl.DataFrame


def train_gbdt_models(
    table: pl.DataFrame,
    log_price: NDArray[np.float64],
    fold: Sequence[int] | NDArray[np.int64],
    test: pl.DataFrame | None = None,
    config: GBDTConfig | None = None,
    *,
    tfidf: sparse.csr_matrix | None = None,
    test_tfidf: sparse.csr_matrix | None = None,
    seed: int = 0,
    threads: int = 1,
) -> dict[str, GBDTResult]:
    """Train every library of the configuration on every fold.

    The flow does the same with one task a fold and library; this is for notebooks and for tables of one's own.

    Parameters
    ----------
    table : polars.DataFrame, n rows
        Features: numbers, or text columns for categories.
    log_price : ndarray, shape (n,)
        Natural log of the price.
    fold : sequence of int, shape (n,)
        Fold of each row.
    test : polars.DataFrame, t rows, optional
        The same columns for rows without a price.
    config : GBDTConfig, optional
        Members and settings.
    tfidf, test_tfidf : csr_matrix, shapes (n, v) and (t, v), optional
        Terms beside the table, for libraries whose settings read some.
    seed, threads : int
        The same pair gives the same predictions.

    Returns
    -------
    dict of str to GBDTResult
        By member, in the configuration's order.

    Raises
    ------
    TrainingError
        Fewer than two folds, lengths that differ, or nothing to learn from.
    SchemaError
        The test table has other columns.

    Examples
    --------
    >>> import numpy as np, polars as pl
    >>> from pricing.config import GBDTConfig
    >>> table = pl.DataFrame({"grams": np.arange(1.0, 41.0), "brand": ["a", "b"] * 20})
    >>> config = GBDTConfig(members=("lightgbm",))
    >>> result = train_gbdt_models(table, np.log(table["grams"].to_numpy()), np.arange(40) % 2, config=config)
    >>> result["lightgbm"].valid.shape
    (40,)
    """
    config = config or GBDTConfig()
    folds = np.asarray(fold)
    if not table.height == len(log_price) == len(folds):
        raise TrainingError(
            f"{table.height} rows of features, {len(log_price)} prices, {len(folds)} folds; expected one each"
        )
    numbers = np.unique(folds)
    if len(numbers) < 2:
        raise TrainingError(f"one fold ({numbers.tolist()}); out-of-fold predictions need at least 2")
    test = test if test is not None else table.clear()
    data = _Tables(table, tfidf, np.asarray(log_price, dtype=np.float64), folds, test, test_tfidf)
    return {member: _train_folds(member, data, config, seed, threads) for member in config.members}


@dataclass(frozen=True)
class _Tables:
    table: pl.DataFrame
    tfidf: sparse.csr_matrix | None
    log_price: NDArray[np.float64]
    folds: NDArray[Any]
    test: pl.DataFrame
    test_tfidf: sparse.csr_matrix | None


def _train_folds(member: str, data: _Tables, config: GBDTConfig, seed: int, threads: int) -> GBDTResult:
    settings, log_price = getattr(config, member), data.log_price
    models, importances = [], []
    learnt, valid, unseen = np.zeros(len(log_price)), np.zeros(len(log_price)), np.zeros(data.test.height)
    numbers = np.unique(data.folds)
    for number in numbers:
        inside = data.folds == number
        schema, values = encode_fold(data.table, data.tfidf, ~inside, config.min_category_rows, settings.terms)
        learn = Matrix(values[~inside], log_price[~inside])
        judge = Matrix(values[inside], log_price[inside])
        trained = train_bag(member, learn, judge, schema, settings, config, seed=seed, threads=threads)
        bag = trained.bag
        predicted = bag.predict_values(values, threads=threads)
        valid[inside] = predicted[inside]
        learnt[~inside] += predicted[~inside] / (len(numbers) - 1)
        new = schema.encode(data.test, data.test_tfidf)
        unseen += bag.predict_values(new, threads=threads) / len(numbers)
        models.append(trained)
        importances.append(bag.importance())
    importance = (
        pl.concat(importances)
        .group_by("feature")
        .agg(pl.col("importance").sum() / len(numbers))
        .sort(["importance", "feature"], descending=[True, False])
    )
    return GBDTResult(models, learnt, valid, unseen, smape_of_logs(valid, log_price), importance)
