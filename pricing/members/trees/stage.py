"""The GBDT stage: one fold of one library, and pricing new rows.

Each function reads finished stage outputs and writes into an existing empty folder; the caller makes that atomic.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from OLD.GBDT import GBDTConfig

from pricing.config.base import Section
from pricing.errors import TrainingError
from pricing.features.load import FeatureSet
from pricing.members.trees.bag import Bag
from pricing.members.trees.boosting import GBDTResult, train_gbdt_models
from pricing.members.trees.rows import assemble, labelled_tables, load_rows, load_tables
from pricing.members.trees.settings import member_settings, with_tuned
from pricing.store.artifacts import write_json
from pricing.store.tables import fold_parts, fold_words, write_predictions

log = logging.getLogger(__name__)


def train_fold(
    catalogue: Path,
    folds: Path,
    features: Path,
    price_features: Path,
    config: GBDTConfig,
    member: str,
    fold: int | None,
    seed: int,
    out: Path,
    *,
    threads: int = 1,
    rounds: int | None = None,
    tuned: Path | None = None,
) -> None:
    """Train one library on one fold and predict the rest.

    Parameters
    ----------
    catalogue, folds, features, price_features : Path
        Outputs of those stages; the price features are this fold's.
    config : GBDTConfig
        Settings.
    member : {"lightgbm", "xgboost", "catboost"}
        Which library.
    fold : int or None
        Validation fold; None refits on all labelled rows and needs ``rounds``.
    seed : int
        The run's seed.
    out : Path
        Receives predictions.parquet, member.json, importance.parquet, curves.parquet and model/.
    threads : int
        Threads used.
    rounds : int, optional
        Boosting rounds of the refit: the folds' median best round.
    tuned : Path, optional
        Folder with a search's settings.toml, which are laid over the configuration.

    Raises
    ------
    TrainingError, ArtifactError, SchemaError, ConfigError
        See the message.
    """
    started = time.perf_counter()
    settings = with_tuned(member_settings(config, member), member, tuned)
    if fold is None and rounds is None:
        raise TrainingError(f"{member}: the refit has no validation part to stop on; give rounds, the folds' median")
    rows = load_rows(catalogue, folds)
    tables = labelled_tables(rows, features, price_features)
    masks = fold_parts(rows.split, fold)
    result = train_gbdt_models(
        tables.table, rows.log_price, masks, config.model_copy(update={"members": (member,), member: settings}),
        tfidf=tables.tfidf, seed=seed, threads=threads, rounds=rounds,
    )[member]  # fmt: skip
    bag, learnt = result.trained.bag, int(masks["learn"].sum())
    predicted = {name: (rows.ids.filter(pl.Series(masks[name])), values) for name, values in result.predicted.items()}
    test = load_tables(features, price_features, "test")
    predicted["test"] = (test.ids, bag.predict_values(bag.schema.encode(test.table, test.tfidf), threads=threads))
    write_predictions(out, predicted)
    _write_member(result, member, fold, settings, learnt, out)
    log.info(
        "%s, %s: %d rows x %d features, %d rounds%s; %.1f s on %d threads",
        member, fold_words(fold), learnt, len(bag.schema.names), result.trained.best_round,
        "" if result.smape is None else f", SMAPE {result.smape:.2f}", time.perf_counter() - started, threads,
    )  # fmt: skip


def _write_member(result: GBDTResult, member: str, fold: int | None, settings: Section, rows: int, out: Path) -> None:
    trained, bag = result.trained, result.trained.bag
    record = {
        "member": member,
        "fold": fold,
        "best_round": trained.best_round,
        "valid_smape": result.smape,
        "rows": rows,
        "features": len(bag.schema.names),
        "params": settings.model_dump(mode="json"),
    }
    write_json(out / "member.json", record)
    bag.importance().write_parquet(out / "importance.parquet")
    trained.curves().write_parquet(out / "curves.parquet")
    (out / "model").mkdir()
    bag.save(out / "model")


def predict_member(
    model_dir: Path, features: FeatureSet, price_features: pl.DataFrame, *, threads: int = 1
) -> NDArray[np.float64]:
    """Price new rows with a saved model.

    Parameters
    ----------
    model_dir : Path
        The ``model`` folder of a :func:`train_fold` output.
    features : FeatureSet
        n rows.
    price_features : polars.DataFrame, n rows
        The same rows' price features, of the same fold as the model.
    threads : int
        Threads used.

    Returns
    -------
    ndarray, shape (n,), float64
        Log prices.

    Raises
    ------
    ArtifactError
        The model is missing or damaged.
    SchemaError
        The features are not those that the model was trained with.
    """
    bag = Bag.load(model_dir)
    return bag.predict_values(bag.schema.encode(assemble(features, price_features), features.tfidf), threads=threads)
