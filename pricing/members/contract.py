"""What a base model is: one class per file, listed in `pricing.members.registry`.

A member learns log prices from the rows of one fold and predicts others. Reading the rows, writing predictions, curves
and importance, and averaging folds with the refit are done for all members alike, in `pricing.members.train_fold` and
`pricing.members.predictions`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from pricing.config.base import Section
from pricing.store.stages import Stage

# numpy and polars, which a command that only reads settings need not load
if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from pricing.members.fold_rows import FoldRows, Rows


class Lane(StrEnum):
    """Processes of a run; the steps of one lane run one after another."""

    TREES = "trees"
    """Catalogue, features, trees, stack."""
    NETWORKS = "networks"
    """Encoders and networks."""
    DOWNLOAD = "download"
    """Images."""


class Reads(StrEnum):
    """What a member reads of a row, beside its features (the engineered numbers and the TF-IDF terms)."""

    PRICE_FEATURES = "price_features"
    """Features that read the prices of the fold's training rows."""
    IMAGES = "images"
    """Text and image themselves, as the member's own preparation step left them."""


class MemberSettings(Section):
    """Settings that every member has; its own class adds the rest. The section is ``members.NAME``."""

    enabled: bool = True
    """Whether the member is trained."""


SettingsT = TypeVar("SettingsT", bound=MemberSettings)


@dataclass(frozen=True)
class Description:
    """How a trained member came about.

    Attributes
    ----------
    best_round : int or None
        Rounds or epochs that were kept. The median over the folds is given to the refit; None where it needs none.
    record : mapping
        More entries of member.json: numbers of parameters, precision ...
    curves : list of mapping
        ``round``, ``split``, ``metric``, ``value``.
    importance : DataFrame or None
        ``feature`` and ``importance``, its share of the gain.
    """

    best_round: int | None = None
    record: Mapping[str, Any] = field(default_factory=dict)
    curves: "list[dict[str, Any]] | pl.DataFrame" = field(default_factory=list)
    importance: "pl.DataFrame | None" = None


@dataclass(frozen=True)
class Contributions:
    """What each column adds to a member's log prices.

    Attributes
    ----------
    names : tuple of str
        p columns of `pricing.members.fold_rows.Rows.table`, or terms as `pricing.features.schema.term_name` names them.
    values : ndarray of shape (n, p + 1), float64
        In log price; a row's sum is its predicted log price. The last column is one number, what the member says of any
        row.
    log_price : ndarray of shape (n,), float64
        Predicted log prices, as `Member.predict` gives them to the last bit; a library may sum ``values`` in float32.
    centred : bool
        Whether the last column is the mean prediction of the rows that were learnt from.
    """

    names: tuple[str, ...]
    values: "np.ndarray"
    log_price: "np.ndarray"
    centred: bool = True


class Member(ABC, Generic[SettingsT]):
    """One base model on one fold.

    Parameters
    ----------
    settings : MemberSettings
        The section ``members.NAME``.
    seed : int
        The run's seed.
    threads : int
        Cores.

    Attributes
    ----------
    name : str
        As in the configuration, metrics.json and the report; a column of the ensemble's tables.
    Settings : type
        Class of the settings.
    reads : frozenset of Reads
        What it reads beside the features.
    lane : Lane
        Where it is trained.
    stage : Stage
        The stage that trains it.
    prepare : str or None
        ``module:function`` of a step that is run once before the folds, over all rows; its output is the member's
        `FoldRows.prepared`.
    needs_roles : bool
        Whether it is trained only where the catalogue's columns have roles.
    searched : bool
        Whether `pricing.members.tuning` has a search space for it.
    shares_lanes : bool
        Whether its last folds may be trained in the lane of the trees, see ``resources.encoder_folds_beside``.
    seconds : float
        Seconds of one core per 1,000 rows and fold, for a forecast without an earlier run.
    moved : mapping of str to str
        Keys of earlier versions of the configuration to those below ``members.NAME``; an error names the new one.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[MemberSettings]]
    reads: ClassVar[frozenset[Reads]] = frozenset({Reads.PRICE_FEATURES})
    lane: ClassVar[Lane] = Lane.TREES
    stage: ClassVar[Stage] = Stage.GBDT
    prepare: ClassVar[str | None] = None
    needs_roles: ClassVar[bool] = False
    searched: ClassVar[bool] = False
    shares_lanes: ClassVar[bool] = False
    seconds: ClassVar[float] = 3.0
    moved: ClassVar[Mapping[str, str]] = {}

    def __init__(self, settings: SettingsT, *, seed: int = 0, threads: int = 1) -> None:
        self.settings, self.seed, self.threads = settings, seed, threads

    @classmethod
    def refits(cls, settings: MemberSettings) -> bool:
        """Whether one more model is trained on all labelled rows where the run refits."""
        return True

    @classmethod
    def prepare_settings(cls, settings: MemberSettings) -> MemberSettings:
        """Return the settings that the preparation step reads, others at their defaults: a part of its key."""
        return settings

    @classmethod
    def reads_images(cls, settings: MemberSettings) -> bool:
        """Whether it looks at images with these settings."""
        return Reads.IMAGES in cls.reads

    @classmethod
    def check(cls, settings: MemberSettings) -> None:
        """Raise ConfigError where what is installed cannot train the member; called before a run starts."""

    @abstractmethod
    def fit(self, rows: "FoldRows", *, rounds: int | None = None, resume: Path | None = None) -> Self:
        """Learn from the fold's ``train`` rows; ``valid`` rows may stop the training, and no other row is looked at.

        Parameters
        ----------
        rows : FoldRows
            The refit has no ``valid`` rows.
        rounds : int, optional
            Rounds or epochs of the refit: the folds' median best one.
        resume : Path, optional
            Folder for checkpoints; a training that was killed continues from those found there.
        """

    @abstractmethod
    def predict(self, rows: "Rows") -> "np.ndarray":
        """Log prices, ndarray of shape (n,), float64. A row's price does not depend on the rows beside it."""

    def contributions(self, rows: "Rows") -> Contributions | None:
        """Return what each column adds to the log prices of n rows, exactly; None where the member cannot tell."""
        return None

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the model into an existing empty folder, before the first `predict`; equal models give equal bytes."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, *, encoders: Path | None = None, threads: int = 1) -> Self:
        """Read what `save` wrote; it then predicts without reading a file.

        Parameters
        ----------
        encoders : Path, optional
            Folder of the run's pretrained encoders.

        Raises
        ------
        ArtifactError
            The folder holds no whole model.
        """

    def describe(self) -> Description:
        """Tell how the model came about, after `fit`."""
        return Description()

    def encode(self, rows: "Rows") -> Any:
        """Return what the frozen parts make of new rows, once for all models of the member: their ``Rows.prepared``."""
        return None
