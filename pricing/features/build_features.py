"""The features step: reads no price and runs once. Same input, same bytes."""

import logging
import time
from pathlib import Path

import polars as pl

from pricing.catalogue.split import LABELLED, UNLABELLED, read_split
from pricing.config.columns import CHALLENGE, ColumnsConfig
from pricing.config.features import FeaturesConfig
from pricing.features.engineer import FeatureEngineer
from pricing.features.load import ID, save_features
from pricing.store.tables import read_table

logger = logging.getLogger(__name__)


def build_features(
    catalogue: Path,
    folds: Path,
    config: FeaturesConfig,
    seed: int,
    out: Path,
    *,
    columns: ColumnsConfig = CHALLENGE,
    threads: int = 1,
    work: Path | None = None,
) -> None:
    """Engineer the features of all rows, fitted on the rows outside the hold-out (training part and unlabelled rows).

    Parameters
    ----------
    catalogue, folds : Path
        Outputs of the catalogue and folds stages.
    config : FeaturesConfig
        Its ``price`` part is not read here.
    seed : int
        Of the randomised SVD.
    out : Path
        Existing empty folder; receives engineer/ (with the index of all labelled rows' texts), and the splits
        ``labelled`` and ``unlabelled`` as `pricing.features.load` describes them.
    columns : ColumnsConfig
        Roles of the catalogue's columns.
    threads : int
        Maximum number of threads of BLAS and torch.
    work : Path, optional
        Folder for work in progress: embeddings are kept by text in its folder embeddings.

    Raises
    ------
    ArtifactError
        The folds are not those of this catalogue.
    """
    began = time.perf_counter()
    labelled, unlabelled = (read_table(catalogue / name).drop("price", strict=False) for name in (LABELLED, UNLABELLED))
    split = read_split(folds, labelled[ID])
    visible = pl.concat([labelled.filter(split["part"] == "train"), unlabelled])
    engineer = FeatureEngineer(config, seed, threads, work / "embeddings" if work else None, columns).fit(visible)
    fitted = time.perf_counter()
    indexed = engineer.index_labelled(labelled, split["group"].to_numpy())
    engineer.save(out / "engineer")
    save_features(indexed, out, "labelled")
    save_features(engineer.transform(unlabelled), out, "unlabelled")
    logger.info(
        "features: %d rows, %d columns, %d terms; fit %.1f s, transform %.1f s, %d threads",
        labelled.height + unlabelled.height, len(engineer.schema.names), engineer.schema.tfidf_columns,
        fitted - began, time.perf_counter() - fitted, threads,
    )  # fmt: skip
