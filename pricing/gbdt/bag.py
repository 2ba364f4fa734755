"""One member's models of several seeds, averaged: what one seed guesses otherwise than another is noise.

Trees of random thresholds, features and rows differ by seed; the mean of three LightGBM models is 0.13 SMAPE better on
the real rows than one of them is on average (docs/LOG.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pricing.errors import ArtifactError
from pricing.gbdt.matrix import FeatureSchema, Values
from pricing.gbdt.model import GBDTModel, TrainedModel

__all__ = ["Bag", "curves", "median_round"]


@dataclass(frozen=True)
class Bag:
    """Models of one member, one fold and one schema.

    Attributes
    ----------
    models : sequence of GBDTModel
        At least one.
    """

    models: Sequence[GBDTModel]

    @property
    def schema(self) -> FeatureSchema:
        """Columns that all of them read."""
        return self.models[0].schema

    def predict_values(self, values: Values, *, threads: int = 1) -> NDArray[np.float64]:
        """Mean log price of n rows encoded by ``schema``, shape (n,)."""
        return np.mean([model.predict_values(values, threads=threads) for model in self.models], axis=0)

    def importance(self) -> pl.DataFrame:
        """Mean share of the total gain: feature, importance, largest first."""
        every = pl.concat([model.importance() for model in self.models])
        mean = every.group_by("feature").agg(pl.col("importance").mean())
        return mean.sort(["importance", "feature"], descending=[True, False])

    def save(self, folder: Path) -> None:
        """Write ``0``, ``1``, ... into an existing folder."""
        for number, model in enumerate(self.models):
            (folder / str(number)).mkdir()
            model.save(folder / str(number))

    @classmethod
    def load(cls, folder: Path) -> Bag:
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            There is no model, one is damaged, or they read different columns.
        """
        count = len(list(folder.glob("*/schema.json")))
        if not count:
            raise ArtifactError(f"{folder}: holds no models; train the member again")
        models = [GBDTModel.load(folder / str(number)) for number in range(count)]
        if any(model.schema != models[0].schema for model in models):
            raise ArtifactError(f"{folder}: its models read different columns; train the member again")
        return cls(models)


def median_round(trained: Sequence[TrainedModel]) -> int:
    """Rounds that the models kept: their lower median, an int that one of them had."""
    return median_low(model.best_round for model in trained)


def curves(trained: Sequence[TrainedModel]) -> pl.DataFrame:
    """Mean curve over the models as far as each goes: the columns of `TrainedModel.curves`."""
    every = pl.concat([model.curves for model in trained])
    mean = every.group_by("round", "split", "metric").agg(pl.col("value").mean())
    return mean.sort("split", "metric", "round").select(trained[0].curves.columns)
