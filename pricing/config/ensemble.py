"""Stacking, calibration, report, submission."""

from typing import Literal

from pydantic import Field

from pricing.config.base import Section


class MetaLightGBMConfig(Section):
    """The shallow LightGBM of level 1."""

    rounds: int = Field(200, ge=1)
    """Boosting rounds; fixed, so that nothing is stopped early on the rows it is judged by."""
    learning_rate: float = Field(0.05, gt=0, le=1)
    """Shrinkage."""
    num_leaves: int = Field(15, ge=2, le=256)
    """Leaves a tree."""
    min_data_in_leaf: int = Field(50, ge=1)
    """Rows a leaf."""
    feature_fraction: float = Field(0.7, gt=0, le=1)
    """Share of meta-features a tree."""
    bagging_fraction: float = Field(0.7, gt=0, le=1)
    """Share of rows a tree."""
    lambda_l2: float = Field(1.0, ge=0)
    """L2 penalty."""


class EnsembleConfig(Section):
    """Level 1 meta-learners, level 2 weights, calibration."""

    meta_learners: tuple[Literal["ridge", "elasticnet", "lightgbm"], ...] = ("ridge", "elasticnet", "lightgbm")
    """Level 1 learners over the out-of-fold log prices, beside the plain mean, the best single member, the simplex
    weights and the greedy selection, which are always there."""
    ridge_alpha: float = Field(1.0, gt=0)
    """Ridge penalty, on standardised columns."""
    elasticnet_alpha: float = Field(0.001, gt=0)
    """ElasticNet penalty, on standardised columns."""
    elasticnet_l1_ratio: float = Field(0.5, ge=0, le=1)
    """Share of L1 in the ElasticNet penalty."""
    lightgbm: MetaLightGBMConfig = MetaLightGBMConfig()
    """The shallow LightGBM."""
    weight_starts: int = Field(5, ge=1)
    """Starts of the search for the simplex weights."""
    greedy_steps: int = Field(40, ge=1)
    """Most picks of the greedy selection."""
    calibration: tuple[Literal["isotonic", "affine"], ...] = ("isotonic", "affine")
    """Calibrations tried; kept only if they help out of fold."""
    standalone_folds: int = Field(5, ge=3, le=20)
    """Seeded folds of `pricing ensemble` where the table has no fold column."""
    bootstrap: int = Field(1000, ge=10)
    """Resamples of the confidence interval."""


class ReportConfig(Section):
    """report.html and plots/."""

    dpi: int = Field(300, ge=50, le=600)
    """Resolution of the plots."""
    worst: int = Field(12, ge=0)
    """Worst errors shown with picture."""


class SubmissionConfig(Section):
    """submission.csv."""

    price_column: str = Field("predicted_price", min_length=1)
    """Header of the price column; the challenge's own upload wants price."""
