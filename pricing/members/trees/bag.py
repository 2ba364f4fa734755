"""The average of one member's models over several random seeds (seed bagging).

Trees of random thresholds, features and rows differ by seed; the mean of three LightGBM models is 0.13 SMAPE better on
the real rows than one of them is on average (docs/LOG.md).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low

import numpy as np
import polars as pl

from pricing.errors import ArtifactError
from pricing.members.trees.matrix import TableEncoder, Values
from pricing.members.trees.tree_model import TrainedModel, TreeModel
from pricing.metrics.smape import Floats
from pricing.store.artifacts import write_json


@dataclass(frozen=True)
class Bag:
    """Models of one member, one fold and one encoder.

    Attributes
    ----------
    models : sequence of TreeModel
        At least one.
    """

    models: Sequence[TreeModel]

    @property
    def encoder(self) -> TableEncoder:
        """Columns that all of them read."""
        return self.models[0].encoder

    def predict_values(self, values: Values, *, threads: int = 1) -> Floats:
        """Return the mean log price of n rows encoded by ``encoder``, ndarray of shape (n,)."""
        return np.mean([model.predict_values(values, threads=threads) for model in self.models], axis=0)

    def importance(self) -> pl.DataFrame:
        """Return the mean share of the total gain: ``feature``, ``importance``, largest first."""
        every = pl.concat([model.importance() for model in self.models])
        mean = every.group_by("feature").agg(pl.col("importance").mean())
        return mean.sort(["importance", "feature"], descending=[True, False])

    def save(self, folder: Path) -> None:
        """Write ``0``, ``1``, ... and how many there are into an existing folder."""
        write_json(folder / "bag.json", {"models": len(self.models)})
        for number, model in enumerate(self.models):
            (folder / str(number)).mkdir()
            model.save(folder / str(number))

    @classmethod
    def load(cls, folder: Path, kind: type[TreeModel]) -> Bag:
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            It holds no bag, a model is missing or damaged, or they read different columns.
        """
        try:
            count = int(json.loads((folder / "bag.json").read_text(encoding="utf-8"))["models"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{folder}: holds no models ({error!r}); train the member again") from None
        models = [kind.load(folder / str(number)) for number in range(count)]
        if any(model.encoder != models[0].encoder for model in models):
            raise ArtifactError(f"{folder}: its models read different columns; train the member again")
        return cls(models)


@dataclass(frozen=True)
class TrainedBag:
    """The models of a bag and how they came about.

    Attributes
    ----------
    models : sequence of TrainedModel
        One per seed.
    """

    models: Sequence[TrainedModel]

    @property
    def bag(self) -> Bag:
        """What prices rows and is saved."""
        return Bag([trained.model for trained in self.models])

    @property
    def best_round(self) -> int:
        """Lower median of the rounds that the models kept: an int that one of them had."""
        return median_low(trained.best_round for trained in self.models)

    def curves(self) -> pl.DataFrame:
        """Return the mean curve over the models as far as each goes: the columns of `TrainedModel.curves`."""
        every = pl.concat([trained.curves for trained in self.models])
        mean = every.group_by("round", "split", "metric").agg(pl.col("value").mean())
        return mean.sort("split", "metric", "round").select(every.columns)
