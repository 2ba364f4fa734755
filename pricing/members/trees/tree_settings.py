"""Settings that the three boosting libraries share."""

from typing import Literal

from pydantic import Field

from pricing.members.contract import MemberSettings

Objective = Literal["l1", "l2", "huber", "smape"]


class TreeSettings(MemberSettings):
    """What every boosting library takes."""

    device: Literal["cpu", "gpu"] = "cpu"
    """Where trees are trained."""
    seeds: int = Field(1, ge=1)
    """Number of models per fold, each with a seed of its own, whose predictions are averaged."""
    min_category_rows: int = Field(3, ge=1)
    """Minimum number of training rows of a category; a rarer one is read as missing."""
    amount_exponent: float = Field(0.0, ge=0, le=1)
    """The trees learn log price minus this number times log amount: 0 is log price, 1 is log price per unit."""
    terms: int = Field(0, ge=0)
    """Number of TF-IDF terms read beside the table, those in most training rows; 0 reads none."""
