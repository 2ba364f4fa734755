"""Small tables for the boosting tests."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pytest
from OLD.GBDT import GBDTConfig
from scipy import sparse

from pricing.members.catboost import CatBoostSettings
from pricing.members.lightgbm import LightGBMSettings
from pricing.members.trees.bag import TrainedBag
from pricing.members.trees.boosting import train_gbdt_models
from pricing.members.xgboost import XGBoostSettings

TINY = GBDTConfig(
    lightgbm=LightGBMSettings(rounds=12, early_stopping=4, num_leaves=7, learning_rate=0.2),
    xgboost=XGBoostSettings(rounds=12, early_stopping=4, max_depth=3, learning_rate=0.2),
    catboost=CatBoostSettings(rounds=12, early_stopping=4, depth=3, learning_rate=0.2),
)


def make_table(rows: int, seed: int = 0, numeric: int = 4, categories: int = 5) -> tuple[pl.DataFrame, np.ndarray]:
    """Numbers with holes, a category, a name no library takes as it is; and log prices that depend on them."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, numeric)).astype(np.float32)
    codes = rng.integers(0, categories, rows)
    log_price = 3.0 + 0.6 * values[:, 0] + 0.3 * codes + 0.1 * rng.standard_t(3, rows)
    values[rng.random(values.shape) < 0.05] = np.nan
    table = pl.DataFrame(
        {
            **{f'log [g/ml], "<{column}>": é': values[:, column] for column in range(numeric)},
            "brand": [f"brand {code}" for code in codes],
        }
    )
    return table, log_price


@dataclass
class OutOfFold:
    """One library over all folds: log prices of the rows by models that learnt them, and by the one that did not."""

    bags: list[TrainedBag]
    train: np.ndarray
    valid: np.ndarray

    @property
    def importance(self) -> dict[str, float]:
        tables = [bag.bag.importance() for bag in self.bags]
        mean = pl.concat(tables).group_by("feature").agg(pl.col("importance").sum() / len(tables))
        return dict(mean.iter_rows())


def out_of_fold(
    table: pl.DataFrame, log_price: np.ndarray, fold: np.ndarray, config: GBDTConfig,
    tfidf: sparse.csr_matrix | None = None,
) -> dict[str, OutOfFold]:  # fmt: skip
    """Train every library on every fold."""
    numbers = np.unique(fold)
    made = {member: OutOfFold([], np.zeros(len(fold)), np.zeros(len(fold))) for member in config.members}
    for number in numbers:
        inside = fold == number
        parts = {"learn": ~inside, "valid": inside, "train": ~inside}
        for member, result in train_gbdt_models(table, log_price, parts, config, tfidf=tfidf).items():
            made[member].bags.append(result.trained)
            made[member].valid[inside] = result.predicted["valid"]
            made[member].train[~inside] += result.predicted["train"] / (len(numbers) - 1)
    return made


@pytest.fixture(scope="session")
def tiny() -> GBDTConfig:
    """Settings that train in milliseconds."""
    return TINY


@pytest.fixture(scope="session")
def small_table() -> Callable[..., Any]:
    """The maker of small tables."""
    return make_table
