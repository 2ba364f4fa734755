"""The rows that the trees learn from and the table they read: prices, folds and features, joined by id."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from pricing.errors import ArtifactError, SchemaError
from pricing.features.load import FeatureSet, load_features, load_price_features
from pricing.members.trees.matrix import ID, FeatureSchema, Values
from pricing.store.tables import read_split, read_table


@dataclass(frozen=True)
class Rows:
    """Labelled rows in catalogue order.

    Attributes
    ----------
    ids : polars.Series, shape (n,)
        sample_id.
    log_price : ndarray, shape (n,)
        Natural log of the price.
    split : polars.DataFrame, n rows
        See :func:`pricing.store.tables.read_split`.
    """

    ids: pl.Series
    log_price: NDArray[np.float64]
    split: pl.DataFrame


def load_rows(catalogue: Path, folds: Path) -> Rows:
    """Join prices and folds by id.

    Raises
    ------
    ArtifactError
        A table is missing, or the two do not hold the same ids in the same order.
    """
    labelled = read_table(catalogue / "train.parquet", [ID, "price"])
    return Rows(labelled[ID], np.log(labelled["price"].to_numpy()), read_split(folds, labelled[ID]))


def assemble(features: FeatureSet, price_features: pl.DataFrame) -> pl.DataFrame:
    """Tabular and price columns side by side, the table that the trees read.

    Parameters
    ----------
    features : FeatureSet
        n rows.
    price_features : polars.DataFrame, n rows
        ``price_*`` columns; where it has a sample_id, it must be that of ``features``, row by row.

    Raises
    ------
    SchemaError
        The rows differ, or a column stands in both.
    """
    if ID in price_features.columns:
        if not price_features[ID].equals(features.ids):
            raise SchemaError(
                "price features and features hold other sample_ids, or another order; build both from the same rows"
            )
        price_features = price_features.drop(ID)
    if price_features.height != len(features):
        raise SchemaError(f"{price_features.height} rows of price features for {len(features)} rows of features")
    twice = sorted(set(features.tabular.columns) & set(price_features.columns))
    if twice:
        raise SchemaError(f"columns {twice[:5]} stand in both the features and the price features; rename one")
    return features.tabular.hstack(price_features.get_columns())


@dataclass(frozen=True)
class Tables:
    """What the trees read of n rows.

    Attributes
    ----------
    ids : polars.Series, shape (n,)
        sample_id.
    table : polars.DataFrame, n rows
        Tabular and price columns, as :func:`assemble` joins them.
    tfidf : csr_matrix, shape (n, v)
        Terms.
    """

    ids: pl.Series
    table: pl.DataFrame
    tfidf: sparse.csr_matrix


def load_tables(features: Path, price_features: Path, part: str) -> Tables:
    """One part ("train" or "test") of the two stages' outputs."""
    loaded = load_features(features, part)
    return Tables(loaded.ids, assemble(loaded, load_price_features(price_features, part, loaded.ids)), loaded.tfidf)


def labelled_tables(rows: Rows, features: Path, price_features: Path) -> Tables:
    """The labelled rows' tables; raises ArtifactError where they are not the catalogue's rows in its order."""
    loaded = load_tables(features, price_features, "train")
    if not loaded.ids.equals(rows.ids):
        raise ArtifactError(f"{features}: its rows are not the catalogue's; build the features of this catalogue again")
    return loaded


def encode_fold(
    table: pl.DataFrame,
    tfidf: sparse.csr_matrix | None,
    learning: NDArray[np.bool_],
    min_category_rows: int,
    terms: int,
) -> tuple[FeatureSchema, Values]:
    """The schema of the rows that a fold learns from (a mask of shape (n,)), and all n rows encoded by it."""
    known = tfidf[learning] if tfidf is not None else None
    schema = FeatureSchema.fit(table.filter(learning), min_category_rows, known, terms)
    return schema, schema.encode(table, tfidf)
