"""Stacking, calibration, report, submission."""

from typing import Literal

from pydantic import Field, field_validator

from pricing.config.base import Section
from pricing.metrics.interval_levels import INTERVAL_COLUMNS


class MetaTreesConfig(Section):
    """The shallow boosted trees of level 1."""

    rounds: int = Field(200, ge=1)
    """Boosting rounds, one for each hundred rows at most; nothing is stopped early on the rows it is judged by."""
    seeds: int = Field(2, ge=1, le=16)
    """Models that are averaged."""
    learning_rate: float = Field(0.05, gt=0, le=1)
    """Shrinkage."""
    num_leaves: int = Field(15, ge=2, le=256)
    """Leaves a tree."""
    min_data_in_leaf: int = Field(100, ge=1)
    """Rows a leaf."""
    feature_fraction: float = Field(0.5, gt=0, le=1)
    """Share of meta-features a tree."""
    bagging_fraction: float = Field(0.7, gt=0, le=1)
    """Share of rows a tree."""
    lambda_l2: float = Field(1.0, ge=0)
    """L2 penalty."""
    max_bin: int = Field(127, ge=7, le=255)
    """Bins a column."""


class MetaNetworkConfig(Section):
    """The network of level 1, which predicts a distribution."""

    networks: int = Field(3, ge=1, le=32)
    """Networks whose distributions are averaged."""
    bins: int = Field(48, ge=3, le=256)
    """Bins of the distribution; fewer where rows are few."""
    hidden: int = Field(64, ge=4, le=1024)
    """Units of each of the two hidden layers."""
    epochs: int = Field(15, ge=1)
    """Passes over the rows; fixed, so that nothing is stopped early on the rows it is judged by."""
    batch: int = Field(1024, ge=16)
    """Rows a step; fewer where rows are few."""
    learning_rate: float = Field(0.02, gt=0)
    """Peak of the one-cycle schedule."""
    weight_decay: float = Field(0.01, ge=0)
    """AdamW's."""


class EnsembleConfig(Section):
    """Level 1 meta-learners, level 2 weights, calibration, decision, intervals."""

    meta_learners: tuple[Literal["smape_linear", "ridge", "elasticnet", "trees", "network"], ...] = (
        "smape_linear", "ridge", "elasticnet", "trees", "network",
    )  # fmt: skip
    """Level 1 learners over the out-of-fold log prices, beside the plain mean, the best single member, the simplex
    weights and the greedy selection, which are always there."""
    noise_limit: float = Field(4.5, ge=0)
    """A member is left out where its rank correlation with the price is under this many standard errors of no
    correlation at all; 0 keeps every member."""
    most_members: int = Field(24, ge=2)
    """Most members, those of the largest weight, that the trees and the network see."""
    smape_linear_pull: float = Field(30.0, ge=0)
    """Penalty that draws the free coefficients to the simplex weights, as a number of rows."""
    ridge_alpha: float = Field(1.0, gt=0)
    """Ridge penalty, on standardised columns."""
    elasticnet_alpha: float = Field(0.001, gt=0)
    """ElasticNet penalty, on standardised columns."""
    elasticnet_l1_ratio: float = Field(0.5, ge=0, le=1)
    """Share of L1 in the ElasticNet penalty."""
    trees: MetaTreesConfig = MetaTreesConfig()
    """The shallow boosted trees."""
    network: MetaNetworkConfig = MetaNetworkConfig()
    """The network."""
    weight_starts: int = Field(5, ge=1)
    """Starts of the search for the simplex weights."""
    greedy_steps: int = Field(40, ge=1)
    """Most picks of the greedy selection."""
    calibration: tuple[Literal["isotonic", "affine"], ...] = ("isotonic", "affine")
    """Calibrations tried; kept only if they help out of fold."""
    decision: bool = True
    """Try the SMAPE-optimal decision; kept only if it helps out of fold."""
    nested_folds: int = Field(5, ge=3, le=10)
    """Most folds of the nested cross-fitting; where there are more, whole folds are put together."""
    standalone_folds: int = Field(5, ge=3, le=20)
    """Seeded folds of `pricing ensemble` where the table has no fold column."""
    on_bad_predictions: Literal["refuse", "clip"] = "refuse"
    """What `pricing ensemble` does with zero and negative predictions: refuse the file, or clip them to the smallest
    known price, which is counted and reported. Missing values, NaN and infinities are refused in any case."""
    bootstrap: int = Field(1000, ge=10)
    """Resamples of the confidence interval."""


class ReportConfig(Section):
    """report.html, plots/, and what people are shown of products."""

    dpi: int = Field(300, ge=50, le=600)
    """Resolution of the plots."""
    worst: int = Field(12, ge=0)
    """Worst errors shown with image and comparables."""
    categories: int = Field(12, ge=1, le=40)
    """Categories that the texts are clustered into."""
    thumbnails: bool = True
    """Keep a thumbnail of each labelled product's image in the model folder, for the page of `pricing serve`. Each has
    96 pixels and at most 4 KB."""
    driver_rows: int = Field(500, ge=0)
    """Maximum number of hold-out rows on which the importance of families and columns is measured. Time grows with it:
    500 rows of the challenge take 50 s of one core, explanations of the worst errors included. 0 leaves both out."""


class SubmissionConfig(Section):
    """submission.csv."""

    price_column: str = Field("predicted_price", min_length=1)
    """Header of the price column; the challenge's own upload wants price."""
    intervals: bool = False
    """Write 80 % and 95 % prediction intervals into a file beside the submission."""
    decimals: int | None = Field(None, ge=0, le=6)
    """Number of decimals of the prices in the submission and the files beside it. A price keeps at least three
    significant digits in any case. None takes the catalogue's own: 2, unless 95 % of its known prices
    need fewer or a fifth of them need more."""

    excel_safe: bool = False
    """Put an apostrophe before texts that a spreadsheet takes for formulas, in the submission and the files beside it:
    those that begin with = + - or @, ids among them."""

    @field_validator("price_column")
    @classmethod
    def _is_no_other_column(cls, name: str) -> str:
        if name in ("sample_id", *INTERVAL_COLUMNS):
            raise ValueError("the price column cannot be called like another column of the submission's files")
        return name
