"""The search of each boosting library, by a function of its own for notebooks."""

from functools import partial

from pricing.members.catboost import CatBoost
from pricing.members.lightgbm import LightGBM
from pricing.members.tuning.search import optimize
from pricing.members.xgboost import XGBoost

optimize_lightgbm = partial(optimize, LightGBM)
"""Search LightGBM's settings; the other parameters and the errors are those of `optimize`."""
optimize_xgboost = partial(optimize, XGBoost)
"""Search XGBoost's settings; the other parameters and the errors are those of `optimize`."""
optimize_catboost = partial(optimize, CatBoost)
"""Search CatBoost's settings; the other parameters and the errors are those of `optimize`."""
