"""The gradient-boosting branch."""

from typing import Literal

from pydantic import Field

from pricing.config.base import Section

Objective = Literal["l1", "l2", "huber", "smape"]


class LightGBMConfig(Section):
    """LightGBM."""

    objective: Objective = "huber"
    """Loss on log price; smape is lgb_smape_objective."""
    huber_alpha: float = Field(0.3, gt=0)
    """Huber's threshold, in log price."""
    amount_exponent: float = Field(0.0, ge=0, le=1)
    """The trees learn log price less this times log amount: 0 is log price, 1 log price per unit; see trees.target."""
    terms: int = Field(0, ge=0)
    """TF-IDF terms read beside the table, those in most training rows."""
    rounds: int = Field(2000, ge=1)
    """Most boosting rounds."""
    early_stopping: int = Field(100, ge=1)
    """Rounds without gain on the fold's validation part before stopping."""
    learning_rate: float = Field(0.03, gt=0, le=1)
    """Shrinkage."""
    num_leaves: int = Field(63, ge=2)
    """Leaves a tree."""
    max_depth: int = Field(-1, ge=-1)
    """Depth of a tree; -1 leaves it to the leaves."""
    extra_trees: bool = False
    """Try one random threshold a feature and split: more rounds, less alike trees."""
    min_data_in_leaf: int = Field(20, ge=1)
    """Rows a leaf."""
    feature_fraction: float = Field(0.3, gt=0, le=1)
    """Share of features a tree."""
    bagging_fraction: float = Field(0.8, gt=0, le=1)
    """Share of rows a tree."""
    lambda_l1: float = Field(0.0, ge=0)
    """L1 penalty."""
    lambda_l2: float = Field(1.0, ge=0)
    """L2 penalty."""
    max_bin: int = Field(127, ge=8, le=1024)
    """Histogram bins a feature."""
    cat_smooth: float = Field(10.0, ge=0)
    """Pulls the statistics of rare categories together."""


class XGBoostConfig(Section):
    """XGBoost (hist)."""

    objective: Objective = "huber"
    """Loss on log price; smape is xgb_smape_objective."""
    huber_alpha: float = Field(0.3, gt=0)
    """Pseudo-Huber's slope, in log price."""
    amount_exponent: float = Field(0.0, ge=0, le=1)
    """The trees learn log price less this times log amount: 0 is log price, 1 log price per unit; see trees.target."""
    terms: int = Field(0, ge=0)
    """TF-IDF terms read beside the table, those in most training rows."""
    rounds: int = Field(2000, ge=1)
    """Most boosting rounds."""
    early_stopping: int = Field(100, ge=1)
    """Rounds without gain before stopping."""
    learning_rate: float = Field(0.03, gt=0, le=1)
    """Shrinkage."""
    max_depth: int = Field(7, ge=1, le=20)
    """Depth of a tree."""
    min_child_weight: float = Field(5.0, ge=0)
    """Least Hessian sum a leaf."""
    subsample: float = Field(0.8, gt=0, le=1)
    """Share of rows a tree."""
    colsample_bytree: float = Field(0.3, gt=0, le=1)
    """Share of features a tree."""
    colsample_bynode: float = Field(1.0, gt=0, le=1)
    """Share of the tree's features a split."""
    reg_lambda: float = Field(1.0, ge=0)
    """L2 penalty."""
    reg_alpha: float = Field(0.0, ge=0)
    """L1 penalty."""
    max_bin: int = Field(128, ge=8, le=1024)
    """Histogram bins a feature."""


class CatBoostConfig(Section):
    """CatBoost, with its built-in regression losses."""

    objective: Literal["MAE", "RMSE", "Huber"] = "Huber"
    """Built-in loss on log price."""
    huber_delta: float = Field(0.3, gt=0)
    """Huber's threshold, in log price."""
    amount_exponent: float = Field(0.0, ge=0, le=1)
    """The trees learn log price less this times log amount: 0 is log price, 1 log price per unit; see trees.target."""
    terms: int = Field(0, ge=0)
    """TF-IDF terms read beside the table, those in most training rows; CatBoost spreads them out."""
    rounds: int = Field(1500, ge=1)
    """Most boosting rounds."""
    early_stopping: int = Field(100, ge=1)
    """Rounds without gain before stopping."""
    learning_rate: float = Field(0.05, gt=0, le=1)
    """Shrinkage."""
    depth: int = Field(6, ge=1, le=12)
    """Depth of a (symmetric) tree."""
    l2_leaf_reg: float = Field(3.0, ge=0)
    """L2 penalty."""
    rsm: float = Field(0.3, gt=0, le=1)
    """Share of features a split."""
    subsample: float = Field(0.8, gt=0, le=1)
    """Share of rows a tree."""
    border_count: int = Field(128, ge=8, le=255)
    """Histogram borders a feature."""


MemberConfig = LightGBMConfig | XGBoostConfig | CatBoostConfig


class SearchConfig(Section):
    """The Optuna search; off unless it has a budget. Its choice is laid over the library's settings."""

    trials: int = Field(0, ge=0)
    """Trials a library; 0 with no time budget switches the search off."""
    seconds: float | None = Field(None, gt=0)
    """Time budget a library, in seconds; outside the byte-for-byte promise."""
    n_splits: int = Field(3, ge=2)
    """Folds a trial is judged by."""

    @property
    def enabled(self) -> bool:
        """Whether there is a budget."""
        return self.trials > 0 or self.seconds is not None


class GBDTConfig(Section):
    """Members and their settings."""

    members: tuple[Literal["lightgbm", "xgboost", "catboost"], ...] = ("lightgbm", "xgboost", "catboost")
    """Libraries that are trained."""
    device: Literal["cpu", "gpu"] = "cpu"
    """Where trees are grown."""
    seeds: int = Field(1, ge=1)
    """Models a library and fold, of different seeds, averaged."""
    min_category_rows: int = Field(3, ge=1)
    """A category seen in fewer training rows is read as a missing one."""
    lightgbm: LightGBMConfig = LightGBMConfig()
    """LightGBM's settings."""
    xgboost: XGBoostConfig = XGBoostConfig()
    """XGBoost's settings."""
    catboost: CatBoostConfig = CatBoostConfig()
    """CatBoost's settings."""
    search: SearchConfig = SearchConfig()
    """Hyperparameter search."""
