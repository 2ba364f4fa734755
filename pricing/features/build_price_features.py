"""The price features step: reads prices and runs once per fold, and once for the refit. Same input, same bytes."""

import logging
import time
from pathlib import Path

import numpy as np
import polars as pl

from pricing.catalogue.split import LABELLED, UNLABELLED, fold_roles, fold_words, read_split
from pricing.config.features import PriceFeaturesConfig
from pricing.errors import ArtifactError
from pricing.features.load import ID, load_features, save_price_columns
from pricing.features.price_features import PriceFeatures
from pricing.store.tables import read_table

logger = logging.getLogger(__name__)


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
    """Write features that read the prices of one fold's ``train`` rows, and the ridge's own prediction.

    Parameters
    ----------
    catalogue, folds, features : Path
        Outputs of those steps.
    config : PriceFeaturesConfig
        Penalties, inner folds, neighbours.
    fold : int or None
        Learns from the rows outside the hold-out and this fold; None (refit) learns from all labelled rows.
    seed : int
        Seed of the inner folds.
    out : Path
        Existing empty folder; receives model/, schema.json, and labelled.parquet and unlabelled.parquet: ``sample_id``,
        the price features (Float32), and ``ridge``, the ridge's log price (Float64, NaN for ``train`` rows). ``train``
        rows carry inner-fold values, all others those of the model that learned from all ``train`` rows.
    threads : int
        Maximum number of BLAS threads.

    Raises
    ------
    ArtifactError
        Folds or features are not those of this catalogue, or the fold has no rows.
    """
    began = time.perf_counter()
    prices = read_table(catalogue / LABELLED, [ID, "price"])
    split = read_split(folds, prices[ID])
    train = fold_roles(split, fold)["train"]
    labelled, unlabelled = load_features(features, "labelled"), load_features(features, "unlabelled")
    if not labelled.ids.equals(prices[ID]):
        raise ArtifactError(f"{features}: rows are not those of the catalogue; rebuild the features")
    log_price = np.log(prices["price"].cast(pl.Float64).to_numpy())
    model = PriceFeatures(config, seed, threads)
    model.fit(labelled.take(train), log_price[train], split["group"].to_numpy()[train])
    known = pl.concat([model.out_of_fold(), model.transform(labelled.take(~train))])
    prices.select(ID).join(known, on=ID, how="left", maintain_order="left").write_parquet(out / LABELLED)
    model.transform(unlabelled).write_parquet(out / UNLABELLED)
    save_price_columns(model.columns, out)
    model.save(out / "model")
    logger.info(
        "price features, %s: %d training rows; %.1f s on %d threads", fold_words(fold), int(train.sum()),
        time.perf_counter() - began, threads,
    )  # fmt: skip
