"""Small tables for the boosting tests."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from pricing.config.gbdt import CatBoostConfig, GBDTConfig, LightGBMConfig, XGBoostConfig

TINY = GBDTConfig(
    lightgbm=LightGBMConfig(rounds=12, early_stopping=4, num_leaves=7, learning_rate=0.2),
    xgboost=XGBoostConfig(rounds=12, early_stopping=4, max_depth=3, learning_rate=0.2),
    catboost=CatBoostConfig(rounds=12, early_stopping=4, depth=3, learning_rate=0.2),
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


@pytest.fixture(scope="session")
def tiny() -> GBDTConfig:
    """Settings that train in milliseconds."""
    return TINY


@pytest.fixture(scope="session")
def small_table() -> Callable[..., Any]:
    """The maker of small tables."""
    return make_table
