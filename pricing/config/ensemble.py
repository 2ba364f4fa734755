"""Stacking, calibration, report, submission."""

from typing import Literal

from pydantic import Field

from pricing.config.base import Section


class EnsembleConfig(Section):
    """Level 1 meta-learners, level 2 weights, calibration."""

    meta_learners: tuple[Literal["ridge", "elasticnet", "lightgbm"], ...] = ("ridge", "elasticnet", "lightgbm")
    """Level 1 learners over the out-of-fold log prices."""
    ridge_alpha: float = Field(1.0, gt=0)
    """Ridge penalty."""
    elasticnet_alpha: float = Field(0.001, gt=0)
    """ElasticNet penalty."""
    elasticnet_l1_ratio: float = Field(0.5, ge=0, le=1)
    """Share of L1 in the ElasticNet penalty."""
    weight_starts: int = Field(5, ge=1)
    """Starts of the search for the simplex weights."""
    calibration: tuple[Literal["isotonic", "affine"], ...] = ("isotonic", "affine")
    """Calibrations tried; kept only if they help out of fold."""
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
