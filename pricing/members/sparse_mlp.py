"""The member `sparse_mlp`: averaged sparse MLPs on TF-IDF terms and engineered numbers."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field

from pricing.members.contract import Description, Lane, Member, MemberSettings
from pricing.store.stages import Stage

if TYPE_CHECKING:
    import numpy as np

    from pricing.members.fold_rows import FoldRows, Rows


class SparseMLPSettings(MemberSettings):
    """Averaged sparse MLPs on TF-IDF terms and engineered numbers."""

    hidden: tuple[int, ...] = (192, 64, 64)
    """Widths of the hidden layers."""
    epochs: int = Field(3, ge=1)
    """Number of passes over the training rows; the batch size doubles with each."""
    batch_size: int = Field(256, ge=8)
    """Number of rows per batch in the first epoch."""
    learning_rate: float = Field(3e-3, gt=0)
    """Learning rate of AdamW."""
    huber_delta: float = Field(0.5, gt=0)
    """Residual, in log price, above which the Huber loss grows linearly."""
    seeds: int = Field(2, ge=1)
    """Number of networks that are averaged, one per random seed."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout between the hidden layers."""
    weight_decay: float = Field(1e-2, ge=0)
    """Weight decay of AdamW."""
    dense: bool = True
    """Whether the engineered numbers (all but the SVD) are read beside the TF-IDF terms."""


class SparseMLPMember(Member[SparseMLPSettings]):
    """Networks of `pricing.members.sparse_network`; they read no price features, so that they err differently."""

    name = "sparse_mlp"
    Settings = SparseMLPSettings
    reads = frozenset()
    lane = Lane.NETWORKS
    stage = Stage.NEURAL
    seconds = 3.2
    moved: ClassVar = {"neural.sparse_mlp": ""}

    def fit(self, rows: "FoldRows", *, rounds: int | None = None, resume: Path | None = None) -> Self:
        """Train the networks, as in `Member.fit`; ``valid`` rows are only scored."""
        from pricing.members.sparse_network import SparseMLPEnsemble
        from pricing.members.torch_parts.scaler import TabularScaler
        from pricing.members.torch_parts.torch_setup import prepare_torch

        prepare_torch("cpu", self.threads)
        self.scaler = None
        if self.settings.dense:
            self.scaler = TabularScaler.fit(rows.train.features.tabular, without=rows.train.of_family("svd"))
        settings = self.settings if rounds is None else self.settings.model_copy(update={"epochs": rounds})
        valid = rows.valid
        shown = None if valid is None else (valid.features.tfidf, self._numbers(valid), valid.log_price)
        train = rows.train
        self.ensemble = SparseMLPEnsemble(settings)
        self.ensemble.fit(train.features.tfidf, self._numbers(train), train.log_price, self.seed, valid=shown)
        return self

    def predict(self, rows: "Rows") -> "np.ndarray":
        """Log prices, ndarray of shape (n,), float64."""
        from pricing.members.torch_parts.torch_setup import prepare_torch

        prepare_torch("cpu", self.threads)
        return self.ensemble.predict(rows.features.tfidf, self._numbers(rows))

    def save(self, folder: Path) -> None:
        """Write the networks and the scaler of their numbers."""
        self.ensemble.save(folder)
        if self.scaler is not None:
            self.scaler.save(folder / "scaler.json")

    @classmethod
    def load(cls, folder: Path, *, encoders: Path | None = None, threads: int = 1) -> Self:
        """Read what `save` wrote, as in `Member.load`."""
        from pricing.members.sparse_network import SparseMLPEnsemble
        from pricing.members.torch_parts.scaler import TabularScaler

        ensemble = SparseMLPEnsemble.load(folder)
        member = cls(ensemble.config, threads=threads)
        member.ensemble = ensemble
        member.scaler = TabularScaler.load(folder / "scaler.json") if ensemble.config.dense else None
        return member

    def describe(self) -> Description:
        """Return the networks' size and validation curves."""
        settings, size = self.ensemble.config, self.ensemble.count_parameters()
        record = {
            "params": settings.model_dump(mode="json"),
            "parameters": size,
            "trainable_parameters": size,
            "precision": "fp32",
        }
        return Description(settings.epochs, record, self.ensemble.curves)

    def _numbers(self, rows: "Rows") -> "np.ndarray":
        """Engineered numbers, ndarray of shape (n, f), float32; f is 0 where they are not read."""
        import numpy as np

        if self.scaler is None:
            return np.empty((len(rows), 0), np.float32)
        return self.scaler.transform(rows.features.tabular)
