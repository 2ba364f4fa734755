"""A small catalogue with brands, quantities, near-duplicates and prices that its texts explain."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pricing.config.features import FeaturesConfig, PriceFeaturesConfig, TfidfConfig
from pricing.features.engineer import FeatureEngineer
from pricing.features.load import FeatureSet

BRANDS = {"Harbour Lane": 0.0, "Mill Stone": 0.4, "Kestrel & Vane": 0.9, "Orchard Row": -0.4, "Luma": 1.4}
GOODS = ("Oolong Tea", "Rye Flour", "Pepper Jelly", "Cocoa Nibs", "Sea Salt", "Maple Syrup", "Rice Crackers")

PRICE_CONFIG = PriceFeaturesConfig(inner_folds=3, neighbours=5)
CONFIG = FeaturesConfig(
    tfidf=TfidfConfig(
        word_max_features=500, title_max_features=500, char_max_features=800, svd_components=8, max_characters=5_000
    ),
    price=PRICE_CONFIG,
)


@dataclass(frozen=True)
class Products:
    """Rows, prices and groups; every tenth row is repeated with another pack in the same group."""

    frame: pl.DataFrame
    log_price: np.ndarray
    groups: np.ndarray


def make_products(count: int, seed: int = 0) -> Products:
    rng = np.random.default_rng(seed)
    texts, log_price, groups = [], [], []
    names = list(BRANDS)
    for number in range(count):
        twin = number % 10 == 9
        if not twin:
            brand, good = names[rng.integers(len(names))], GOODS[rng.integers(len(GOODS))]
            size, quality = int(rng.choice([2, 4, 8, 12, 16, 32])), rng.random() < 0.3
        pack = int(rng.choice([1, 1, 2, 6, 12]))
        title = f"{brand} {'Organic ' if quality else ''}{good}, {size} oz (Pack of {pack})"
        texts.append(
            f"Item Name: {title}\nBullet Point 1: Fine {good.lower()} from {brand}, lot {rng.integers(50)}\n"
            f"Value: {size * pack}\nUnit: Ounce\n"
        )
        log_price.append(0.5 + 0.6 * np.log(size * pack) + BRANDS[brand] + 0.3 * quality + 0.1 * rng.normal())
        groups.append(number - 1 if twin else number)
    frame = pl.DataFrame({"sample_id": [f"p{number}" for number in range(count)], "catalog_content": texts})
    return Products(frame, np.array(log_price), np.array(groups))


@pytest.fixture(scope="session")
def products() -> Products:
    return make_products(150)


@pytest.fixture(scope="session")
def engineer(products: Products) -> FeatureEngineer:
    return FeatureEngineer(CONFIG).fit(products.frame)


@pytest.fixture(scope="session")
def features(engineer: FeatureEngineer, products: Products) -> FeatureSet:
    return engineer.transform(products.frame)


@pytest.fixture(scope="session")
def indexed(products: Products) -> FeatureEngineer:
    """An engineer whose index holds all products."""
    made = FeatureEngineer(CONFIG).fit(products.frame)
    made.index_labelled(products.frame, products.groups)
    return made


@pytest.fixture(scope="session")
def compared(indexed: FeatureEngineer, products: Products) -> FeatureSet:
    """The products' own features, compared with each other but never within a group."""
    assert indexed.index is not None
    own = indexed.transform(products.frame)
    return replace(own, nearest=indexed.index.search(own, products.groups))


@pytest.fixture(scope="session")
def stage_inputs(tmp_path_factory: pytest.TempPathFactory, products: Products) -> tuple[Path, Path]:
    """Catalogue and folds folders as their stages write them: 110 labelled rows (20 held out) and 40 to price."""
    catalogue, folds = tmp_path_factory.mktemp("catalogue"), tmp_path_factory.mktemp("folds")
    labelled = products.frame.head(110).with_columns(
        image_link=pl.lit(None, dtype=pl.String), price=pl.Series(np.exp(products.log_price[:110]))
    )
    labelled.write_parquet(catalogue / "labelled.parquet")
    products.frame.tail(40).with_columns(image_link=pl.lit(None, dtype=pl.String)).write_parquet(
        catalogue / "unlabelled.parquet"
    )
    groups = products.groups[:110]
    held = groups >= 90
    pl.DataFrame(
        {
            "sample_id": labelled["sample_id"],
            "group": [f"g{group}" for group in groups],
            "part": np.where(held, "holdout", "train"),
            "fold": np.where(held, -1, groups % 3).astype(np.int8),
        }
    ).write_parquet(folds / "folds.parquet")
    return catalogue, folds
