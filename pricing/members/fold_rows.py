"""The rows of a fold: which it learns from, which it predicts, with their features, joined by id."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pricing.config import NeuralConfig
from pricing.errors import SchemaError
from pricing.features.load import FeatureSet, load_features, load_price_features
from pricing.store.tables import fold_parts, read_split, read_table

__all__ = ["FoldRows", "Part", "numbers_of", "picture_files", "read_catalogue_part", "read_fold", "write_curves"]

ID = "sample_id"


@dataclass(frozen=True)
class Part:
    """Rows of one kind: "learn", "valid", "holdout" or "test"."""

    name: str
    frame: pl.DataFrame
    """sample_id, catalog_content, image_link, and log_price where there are labels."""
    features: FeatureSet
    """In the order of frame."""
    price: pl.DataFrame
    """price_* columns in the order of frame."""

    def __len__(self) -> int:
        return self.frame.height

    @property
    def log_price(self) -> np.ndarray:
        """(n,) float64."""
        return self.frame["log_price"].to_numpy()


FoldRows = dict[str, Part]


def read_catalogue_part(catalogue: Path, part: str) -> pl.DataFrame:
    """train.parquet or test.parquet of the catalogue stage."""
    return read_table(catalogue / f"{part}.parquet")


def read_fold(catalogue: Path, folds: Path, features: Path, price_features: Path, fold: int | None) -> FoldRows:
    """The fold's parts: learn, valid, holdout and test (without a fold: learn, of all labelled rows, and test).

    Raises
    ------
    ArtifactError
        An input is missing or damaged, the folds are of other rows, or the fold has no rows.
    SchemaError
        The features are of other rows.
    """
    train, test = read_catalogue_part(catalogue, "train"), read_catalogue_part(catalogue, "test")
    chosen = fold_parts(read_split(folds, train[ID]), fold)
    train = train.with_columns(log_price=pl.col("price").log()).drop("price")
    train_features = load_features(features, "train").reorder(train[ID])
    train_price = load_price_features(price_features, "train", train[ID])
    parts = {
        name: Part(name, train.filter(pl.Series(mask)), train_features.take(mask), train_price.filter(pl.Series(mask)))
        for name, mask in chosen.items()
    }
    test_features = load_features(features, "test").reorder(test[ID])
    parts["test"] = Part("test", test, test_features, load_price_features(price_features, "test", test[ID]))
    return parts


def numbers_of(features: FeatureSet, price: pl.DataFrame, *, svd: bool = True) -> pl.DataFrame:
    """Tabular (``svd_*`` only if asked for) and ``price_*`` columns side by side, in the order of ``features``.

    Raises
    ------
    SchemaError
        The price features are of other rows.
    """
    if ID in price.columns:
        if not price[ID].equals(features.ids):
            price = pl.DataFrame({ID: features.ids}).join(price, on=ID, how="left", maintain_order="left")
        price = price.drop(ID)
    if price.height != len(features):
        raise SchemaError(f"price features hold {price.height} rows, the features {len(features)}")
    table = pl.concat([features.tabular, price], how="horizontal")
    return table if svd else table.select([name for name in table.columns if not name.startswith("svd_")])


def picture_files(images: Path | pl.DataFrame | None, pictures: Path | None, config: NeuralConfig) -> dict[str, Path]:
    """image_link -> file of the pictures that are there; empty where pictures are off."""
    if images is None or pictures is None or not config.image.enabled:
        return {}
    table = read_table(images / "images.parquet") if isinstance(images, Path) else images
    present = table.filter((pl.col("status") == "ok") & pl.col("file").is_not_null())
    return {link: pictures / file for link, file in zip(present["image_link"], present["file"], strict=True)}


def write_curves(out: Path, curves: list[dict[str, Any]]) -> None:
    """curves.parquet: epoch, split, metric, value."""
    schema = {"epoch": pl.Int32, "split": pl.String, "metric": pl.String, "value": pl.Float64}
    pl.DataFrame(curves, schema=schema).write_parquet(out / "curves.parquet")
