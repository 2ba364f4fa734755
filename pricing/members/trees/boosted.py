"""What the members of the boosting libraries share: encoding, random seeds, prediction, saving."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from pricing.errors import TrainingError
from pricing.members.contract import Description, Member
from pricing.members.trees.bag import Bag, TrainedBag
from pricing.members.trees.matrix import EncodedFold
from pricing.members.trees.tree_model import TrainedModel, TreeModel
from pricing.members.trees.tree_settings import TreeSettings

if TYPE_CHECKING:
    import numpy as np

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
    bag : Bag
        The models, after `fit` or `load`.
    trained : TrainedBag
        The same and how they came about, after `fit`.
    """

    Settings: ClassVar[type[TreeSettings]]
    Model: ClassVar[type[TreeModel]]
    train: ClassVar[Callable[..., TrainedModel]]
    searched = True
    seconds = 3.2

    bag: Bag
    trained: TrainedBag

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
        self.trained = TrainedBag(
            [
                self.train(fold.train, fold.valid, fold.encoder, self.settings, seed=self.seed + number * SEED_STEP,
                           threads=self.threads, rounds=rounds)
                for number in range(self.settings.seeds)
            ]
        )  # fmt: skip
        self.bag = self.trained.bag
        for model in self.bag.models:
            if not model.importance()["importance"].sum():
                logger.warning(
                    "%s on %d rows: no tree has a split, so every row gets the same price; allow smaller leaves",
                    *(self.name, len(fold.train)),
                )
        return self

    def predict(self, rows: "Rows") -> "np.ndarray":
        """Log prices, ndarray of shape (n,), float64.

        Raises
        ------
        SchemaError
            The features are not those that the models were trained with.
        """
        values = self.bag.encoder.encode(rows.table(), rows.features.tfidf)
        return self.bag.predict_values(values, threads=self.threads)

    def save(self, folder: Path) -> None:
        """Write one folder per model."""
        self.bag.save(folder)

    @classmethod
    def load(cls, folder: Path, *, encoders: Path | None = None, threads: int = 1) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            A model is missing or damaged, or they read different columns.
        """
        member = cls(cls.Settings(), threads=threads)
        member.bag = Bag.load(folder, cls.Model)
        return member

    def describe(self) -> Description:
        """Tell the median best round, the number of features, mean curves and mean shares of the gain."""
        return Description(
            best_round=self.trained.best_round,
            record={"features": len(self.bag.encoder.names)},
            curves=self.trained.curves(),
            importance=self.bag.importance(),
        )
