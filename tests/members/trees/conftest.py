"""Small tables for the boosting tests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from pricing.features.load import save_features, save_price_columns
from pricing.features.schema import make_columns
from pricing.members.catboost import CatBoost, CatBoostSettings
from pricing.members.fold_rows import FoldInputs, FoldRows
from pricing.members.lightgbm import LightGBM, LightGBMSettings
from pricing.members.trees.boosted import BoostedMember
from pricing.members.trees.boosting import table_rows, train_gbdt_models
from pricing.members.trees.matrix import EncodedFold
from pricing.members.trees.tree_model import TrainedModel
from pricing.members.trees.tree_settings import TreeSettings
from pricing.members.xgboost import XGBoost, XGBoostSettings

LIBRARIES: dict[str, type[BoostedMember]] = {member.name: member for member in (LightGBM, XGBoost, CatBoost)}

TINY: dict[str, TreeSettings] = {
    "lightgbm": LightGBMSettings(rounds=12, early_stopping=4, num_leaves=7, learning_rate=0.2),
    "xgboost": XGBoostSettings(rounds=12, early_stopping=4, max_depth=3, learning_rate=0.2),
    "catboost": CatBoostSettings(rounds=12, early_stopping=4, depth=3, learning_rate=0.2),
}

# labelled and unlabelled rows of `write_stages`
ROWS, TESTS = 160, 20

each_library = pytest.mark.parametrize("library", LIBRARIES)


def tiny(library: str, **changes: Any) -> TreeSettings:
    """Settings that train in milliseconds, with some changed."""
    return TINY[library].model_copy(update=changes)


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

    fitted: list[BoostedMember]
    train: np.ndarray
    valid: np.ndarray

    @property
    def importance(self) -> dict[str, float]:
        tables = [member.importance() for member in self.fitted]
        mean = pl.concat(tables).group_by("feature").agg(pl.col("importance").sum() / len(tables))
        return dict(mean.iter_rows())


def out_of_fold(
    table: pl.DataFrame, log_price: np.ndarray, fold: np.ndarray, settings: Mapping[str, TreeSettings],
    tfidf: sparse.csr_matrix | None = None,
) -> dict[str, OutOfFold]:  # fmt: skip
    """Train libraries on every fold."""
    numbers = np.unique(fold)
    made = {member: OutOfFold([], np.zeros(len(fold)), np.zeros(len(fold))) for member in settings}
    for number in numbers:
        inside = fold == number
        parts = {"train": ~inside, "valid": inside, "learnt": ~inside}
        for member, result in train_gbdt_models(table, log_price, parts, settings, tfidf=tfidf).items():
            made[member].fitted.append(result.member)
            made[member].valid[inside] = result.predicted["valid"]
            made[member].train[~inside] += result.predicted["learnt"] / (len(numbers) - 1)
    return made


def fold_rows(table: pl.DataFrame, log_price: np.ndarray, cut: int, tfidf: sparse.csr_matrix | None = None) -> FoldRows:
    """The first ``cut`` rows to learn from, the rest to stop on."""
    found = {}
    for role, part in (("train", slice(0, cut)), ("valid", slice(cut, None))):
        found[role] = table_rows(table[part], log_price[part], None if tfidf is None else tfidf[part])
    return FoldRows(0, FoldInputs(Path(), Path(), Path()), found)


def train(library: str, rows: FoldRows, settings: TreeSettings | None = None, **options: Any) -> TrainedModel:
    """Train one model of one seed; tiny where no settings are given."""
    settings = settings or TINY[library]
    fold = EncodedFold.encode(rows, settings)
    return LIBRARIES[library].train(fold.train, fold.valid, fold.encoder, settings, **options)


@pytest.fixture(scope="session")
def small_table() -> Callable[..., Any]:
    """The maker of small tables."""
    return make_table


def write_stages(root: Path) -> Path:
    """catalogue/, folds/, features/ and price/ as their steps leave them: 160 labelled rows, 3 folds, 20 test rows."""
    table, log_price = make_table(ROWS + TESTS, 3)
    ids = pl.Series("sample_id", [f"id{number}" for number in range(ROWS + TESTS)])
    for name in ("catalogue", "folds", "features", "price"):
        (root / name).mkdir()
    save_price_columns(make_columns("ridge", ("price_ridge",)), root / "price")
    ridge = log_price + np.random.default_rng(0).normal(0, 0.5, len(log_price))
    price = pl.DataFrame({"sample_id": ids, "price_ridge": ridge.astype(np.float32), "ridge": ridge})
    prices = pl.DataFrame({"sample_id": ids, "price": np.exp(log_price)})
    for split, part in (("labelled", slice(0, ROWS)), ("unlabelled", slice(ROWS, None))):
        rows = table_rows(table.with_columns(ids)[part], tfidf=sparse.csr_matrix((len(ids[part]), 3), dtype=np.float32))
        save_features(rows.features, root / "features", split)
        price[part].write_parquet(root / "price" / f"{split}.parquet")
        known = prices[part] if split == "labelled" else prices[part].drop("price")
        known.write_parquet(root / "catalogue" / f"{split}.parquet")
    fold = np.arange(ROWS) % 4 - 1  # a quarter is the hold-out
    folds = prices[:ROWS].select("sample_id", group="sample_id", part=pl.Series(np.where(fold < 0, "holdout", "train")))
    folds.with_columns(fold=pl.Series(fold, dtype=pl.Int8)).write_parquet(root / "folds" / "folds.parquet")
    return root
