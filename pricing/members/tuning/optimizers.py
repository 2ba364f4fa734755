"""The search of each boosting library, by a function of its own for notebooks."""

from collections.abc import Sequence
from pathlib import Path

from pricing.config.tuning import TuningConfig
from pricing.members.catboost import CatBoost, CatBoostSettings
from pricing.members.lightgbm import LightGBM, LightGBMSettings
from pricing.members.trees.matrix import EncodedFold
from pricing.members.tuning.search import optimize
from pricing.members.tuning.search_result import SearchResult
from pricing.members.xgboost import XGBoost, XGBoostSettings


def optimize_lightgbm(
    folds: Sequence[EncodedFold], settings: LightGBMSettings, tuning: TuningConfig, *,
    seed: int = 0, work: Path, threads: int = 1,
) -> SearchResult:  # fmt: skip
    """Search LightGBM's settings; parameters and errors as in `pricing.members.tuning.search.optimize`."""
    return optimize(LightGBM, folds, settings, tuning, seed=seed, work=work, threads=threads)


def optimize_xgboost(
    folds: Sequence[EncodedFold], settings: XGBoostSettings, tuning: TuningConfig, *,
    seed: int = 0, work: Path, threads: int = 1,
) -> SearchResult:  # fmt: skip
    """Search XGBoost's settings; parameters and errors as in `pricing.members.tuning.search.optimize`."""
    return optimize(XGBoost, folds, settings, tuning, seed=seed, work=work, threads=threads)


def optimize_catboost(
    folds: Sequence[EncodedFold], settings: CatBoostSettings, tuning: TuningConfig, *,
    seed: int = 0, work: Path, threads: int = 1,
) -> SearchResult:  # fmt: skip
    """Search CatBoost's settings; parameters and errors as in `pricing.members.tuning.search.optimize`."""
    return optimize(CatBoost, folds, settings, tuning, seed=seed, work=work, threads=threads)
