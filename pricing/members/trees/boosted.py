"""What the members of the boosting libraries share: encoding, random seeds, prediction, saving.

A member averages its models over several random seeds (seed bagging). Trees of random thresholds, features and rows
differ by seed; the mean of three LightGBM models is 0.13 SMAPE better on the real rows than one of them is on average
(docs/LOG.md).
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median_low
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import polars as pl

from pricing.errors import ArtifactError, TrainingError
from pricing.members.contract import Contributions, Description, Member
from pricing.members.trees.matrix import EncodedFold, Values
from pricing.members.trees.tree_model import TrainedModel, TreeModel
from pricing.members.trees.tree_settings import TreeSettings
from pricing.store.artifacts import read_json, write_json
from pricing.store.tables import reading

if TYPE_CHECKING:
    from pricing.members.fold_rows import FoldRows, Rows

logger = logging.getLogger(__name__)

# between the seeds of one member's models, so that runs of neighbouring seeds share none
SEED_STEP = 1000


class BoostedMember(Member[TreeSettings]):
    """Boosted trees of one library: ``settings.seeds`` models per fold.

    Attributes
    ----------
    Model : type of TreeModel
        A model of the library.
    train : callable
        The library's ``train_*`` function.
    models : sequence of TreeModel
        One per seed, all with the same encoder; after `fit` or `load`.
    curves : DataFrame
        The mean curve over the models as far as each goes, with the columns of `TrainedModel.curves`; after `fit`.
    """

    Settings: ClassVar[type[TreeSettings]]
    Model: ClassVar[type[TreeModel]]
    train: ClassVar[Callable[..., TrainedModel]]
    searched = True
    seconds = 3.2

    models: Sequence[TreeModel]
    curves: pl.DataFrame

    def fit(self, rows: "FoldRows", *, rounds: int | None = None, resume: Path | None = None) -> Self:
        """Train one model per seed, each stopped on the ``valid`` rows where ``rounds`` is not given.

        Raises
        ------
        TrainingError
            There is nothing to learn from, or neither ``valid`` rows nor ``rounds``; or as the library's ``train_*``.
        SchemaError
            A column is neither text nor number, or the features lack what the settings read.
        """
        if rows.valid is None and rounds is None:
            raise TrainingError(
                f"{self.name}: no valid rows to stop on; give some, or rounds, such as the folds' median"
            )
        fold = EncodedFold.encode(rows, self.settings)
        options = {"threads": self.threads, "rounds": rounds}
        seeds = [self.seed + number * SEED_STEP for number in range(self.settings.seeds)]
        data = fold.train, fold.valid, fold.encoder, self.settings
        trained = [self.train(*data, seed=seed, **options) for seed in seeds]
        self.models = [one.model for one in trained]
        every = pl.concat([one.curves for one in trained])
        mean = every.group_by("round", "split", "metric").agg(pl.col("value").mean())
        self.curves = mean.sort("split", "metric", "round").select(every.columns)
        for model in self.models:
            if not model.importance()["importance"].sum():
                logger.warning(
                    "%s on %d rows: no tree has a split, so every row gets the same price; allow smaller leaves",
                    *(self.name, len(fold.train)),
                )
        return self

    def predict(self, rows: "Rows") -> np.ndarray:
        """Mean log price over the models, ndarray of shape (n,), float64.

        Raises
        ------
        SchemaError
            The features are not those that the models were trained with.
        """
        return self._predict(self._encoded(rows))

    def _encoded(self, rows: "Rows") -> Values:
        """The rows as numbers; a fold's members of several libraries mostly have one encoder, see `TreeModel.load`."""
        encoder = self.models[0].encoder
        if id(encoder) not in rows.encoded:
            # the encoder is kept too, so that no other one gets its identity
            rows.encoded[id(encoder)] = encoder, encoder.encode_values(rows.values, rows.features.tfidf)
        values: Values = rows.encoded[id(encoder)][1]
        return values

    def _predict(self, values: Values) -> np.ndarray:
        given = self.models[0].given(values) if values.shape[0] else None
        each = [model.predict_values(values, threads=self.threads, given=given) for model in self.models]
        return np.mean(each, axis=0)

    def contributions(self, rows: "Rows") -> Contributions:
        """Return the mean over the models of each column's SHAP values, by the library's own exact algorithm."""
        encoder, values = self.models[0].encoder, self._encoded(rows)
        found = [model.contributions(values, threads=self.threads) for model in self.models]
        return Contributions(encoder.names, np.mean(found, axis=0), self._predict(values))

    def save(self, folder: Path) -> None:
        """Write the models into folders ``0``, ``1``, ... and how many there are."""
        write_json(folder / "bag.json", {"models": len(self.models)})
        for number, model in enumerate(self.models):
            (folder / str(number)).mkdir()
            model.save(folder / str(number))

    @classmethod
    def load(cls, folder: Path, *, encoders: Path | None = None, threads: int = 1) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            It holds no models, one is missing or damaged, or they read different columns.
        """
        with reading(folder, "a member's models"):
            count = int(read_json(folder / "bag.json")["models"])
        member = cls(cls.Settings(), threads=threads)
        member.models = [cls.Model.load(folder / str(number)) for number in range(count)]
        if any(model.encoder != member.models[0].encoder for model in member.models):
            raise ArtifactError(f"{folder}: its models read different columns; train the member again")
        return member

    def importance(self) -> pl.DataFrame:
        """Return the mean share of the total gain: ``feature``, ``importance``, largest first."""
        every = pl.concat([model.importance() for model in self.models])
        mean = every.group_by("feature").agg(pl.col("importance").mean())
        return mean.sort(["importance", "feature"], descending=[True, False])

    def describe(self) -> Description:
        """Tell the lower median of the models' rounds, the number of features, mean curves and shares of the gain."""
        best_round = median_low(model.rounds for model in self.models)
        record = {"features": len(self.models[0].encoder.names)}
        return Description(best_round, record, self.curves, self.importance())
