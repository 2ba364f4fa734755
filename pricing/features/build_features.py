"""The features stages: folders in, folders out.

``build_features`` reads no label and runs once; ``build_price_features`` reads prices and runs once a fold (and once
for the refit). Same input, same bytes.
"""

import logging
import time
from pathlib import Path

import numpy as np
import polars as pl

from pricing.config.features import FeaturesConfig, PriceFeaturesConfig
from pricing.errors import ArtifactError
from pricing.features.engineer import FeatureEngineer
from pricing.features.load import ID, load_features, save_features
from pricing.features.price_features import PriceFeatures
from pricing.metrics.smape import smape_of_logs
from pricing.store.artifacts import write_json
from pricing.store.tables import fold_parts, fold_words, read_split, read_table, write_predictions

__all__ = ["build_features", "build_price_features"]

logger = logging.getLogger(__name__)


def build_features(
    catalogue: Path,
    folds: Path,
    config: FeaturesConfig,
    seed: int,
    out: Path,
    *,
    threads: int = 1,
    cache: Path | None = None,
) -> None:
    """Engineer the features of all rows, fitted on the rows outside the hold-out (training part and test).

    Parameters
    ----------
    catalogue, folds : Path
        Outputs of the catalogue and folds stages.
    config : FeaturesConfig
        Its ``price`` part is not read here.
    seed : int
        Of the randomised SVD.
    out : Path
        Existing empty folder; receives engineer/ (with the index of all labelled rows' texts), schema.json,
        labelled.parquet, and of each part PART.parquet, PART_tfidf.npz and PART_nearest.npz.
    threads : int
        BLAS threads, and torch's.
    cache : Path, optional
        Work folder in which embeddings are kept by text.

    Raises
    ------
    ArtifactError
        The folds are not those of this catalogue.
    """
    began = time.perf_counter()
    train, test = (read_table(catalogue / f"{part}.parquet", [ID, "catalog_content"]) for part in ("train", "test"))
    split = read_split(folds, train[ID])
    visible = pl.concat([train.filter(split["part"] == "train"), test])
    engineer = FeatureEngineer(config, seed, threads, cache).fit(visible)
    fitted = time.perf_counter()
    labelled = engineer.index_labelled(train, split["group"].to_numpy())
    engineer.save(out / "engineer")
    save_features(labelled, out, "train")
    save_features(engineer.transform(test), out, "test")
    logger.info(
        "features: %d rows, %d columns, %d terms; fit %.1f s, transform %.1f s, %d threads",
        train.height + test.height, len(engineer.schema.columns), engineer.schema.tfidf_columns,
        fitted - began, time.perf_counter() - fitted, threads,
    )  # fmt: skip


def build_price_features(
    catalogue: Path,
    folds: Path,
    features: Path,
    config: PriceFeaturesConfig,
    fold: int | None,
    seed: int,
    out: Path,
    *,
    threads: int = 1,
) -> None:
    """Features that read the prices of one fold's learning rows, and the base model ``ridge``.

    Parameters
    ----------
    catalogue, folds, features : Path
        Outputs of those stages.
    config : PriceFeaturesConfig
        Penalties, inner folds, neighbours.
    fold : int or None
        Learns from the training part without this fold; None (refit) learns from all labelled rows.
    seed : int
        Of the inner folds.
    out : Path
        Existing empty folder; receives train.parquet and test.parquet (sample_id + ``price_*``), model/, and the member
        files predictions.parquet and member.json. Learning rows carry inner-fold values, all others those of the model
        that learnt from all learning rows.
    threads : int
        BLAS threads.

    Raises
    ------
    ArtifactError
        Folds or features are not those of this catalogue, or the fold has no rows.
    """
    began = time.perf_counter()
    prices = read_table(catalogue / "train.parquet", [ID, "price"])
    split = read_split(folds, prices[ID])
    parts = fold_parts(split, fold)
    learning = parts["learn"]
    train, test = load_features(features, "train"), load_features(features, "test")
    if not train.ids.equals(prices[ID]):
        raise ArtifactError(f"{features}: rows are not those of the catalogue; rebuild the features")
    log_price = np.log(prices["price"].cast(pl.Float64).to_numpy())
    model = PriceFeatures(config, seed, threads)
    model.fit(train.take(learning), log_price[learning], split["group"].to_numpy()[learning])
    own, others, unseen = model.out_of_fold(), train.take(~learning), model.transform(test)
    known = pl.concat([own, model.transform(others)])
    order = prices.select(ID).join(known, on=ID, how="left", maintain_order="left")
    order.write_parquet(out / "train.parquet")
    unseen.write_parquet(out / "test.parquet")
    model.save(out / "model")

    predicted = {
        name: (train.ids.filter(pl.Series(mask)), model.predict_ridge(train.take(mask)))
        for name, mask in parts.items()
        if name != "learn"
    }
    valid_smape = None if fold is None else smape_of_logs(predicted["valid"][1], log_price[parts["valid"]])
    predicted["test"] = (test.ids, model.predict_ridge(test))
    write_predictions(out, predicted)
    record = {
        "member": "ridge",
        "fold": fold,
        "best_round": None,
        "valid_smape": valid_smape,
        "params": config.model_dump(mode="json"),
    }
    write_json(out / "member.json", record)
    logger.info(
        "price features, %s: %d learning rows%s; %.1f s on %d threads", fold_words(fold), int(learning.sum()),
        "" if valid_smape is None else f", ridge SMAPE {valid_smape:.2f}", time.perf_counter() - began, threads,
    )  # fmt: skip
