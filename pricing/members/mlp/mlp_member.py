"""What the members made of averaged MLPs have in common: all but what they read."""

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pricing.members.contract import Description, Lane, Member
from pricing.members.mlp.mlp_settings import MLPSettings
from pricing.store.stages import Stage

if TYPE_CHECKING:
    import numpy as np

    from pricing.members.fold_rows import FoldRows, Rows
    from pricing.members.mlp.networks import Inputs

_LENGTH = 8.0
"""Length of an embedding as it is read: its 384 numbers then are some 0.4, as standard scores are, not 0.05."""

MLPSettingsT = TypeVar("MLPSettingsT", bound=MLPSettings)


class MLPMember(Member[MLPSettingsT]):
    """Networks of `pricing.members.mlp.networks` on what the settings name of terms, numbers and embeddings."""

    lane = Lane.NETWORKS
    stage = Stage.NEURAL

    def fit(self, rows: "FoldRows", *, rounds: int | None = None, resume: Path | None = None) -> Self:
        """Train the networks, as in `Member.fit`; ``valid`` rows are only scored."""
        from pricing.members.mlp.networks import MLPEnsemble
        from pricing.members.torch_parts.scaler import TabularScaler
        from pricing.members.torch_parts.torch_setup import prepare_torch

        prepare_torch("cpu", self.threads)
        train, valid = rows.train, rows.valid
        self.scaler = None
        if self.settings.dense:
            self.scaler = TabularScaler.fit(train.table(), without=train.of_family("svd"))
        settings = self.settings if rounds is None else self.settings.model_copy(update={"epochs": rounds})
        shown = None if valid is None else (self.inputs(valid), valid.log_price)
        self.ensemble = MLPEnsemble(self.name, settings)
        self.ensemble.fit(self.inputs(train), train.log_price, self.seed, valid=shown)
        return self

    def predict(self, rows: "Rows") -> "np.ndarray":
        """Log prices, ndarray of shape (n,), float64."""
        from pricing.members.torch_parts.torch_setup import prepare_torch

        prepare_torch("cpu", self.threads)
        return self.ensemble.predict(self.inputs(rows))

    def save(self, folder: Path) -> None:
        """Write the networks and the scaler of their numbers."""
        self.ensemble.save(folder)
        if self.scaler is not None:
            self.scaler.save(folder / "scaler.json")

    @classmethod
    def load(cls, folder: Path, *, encoders: Path | None = None, threads: int = 1) -> Self:
        """Read what `save` wrote, as in `Member.load`."""
        from pricing.members.mlp.networks import MLPEnsemble
        from pricing.members.torch_parts.scaler import TabularScaler

        settings: Any = cls.Settings
        ensemble = MLPEnsemble.load(folder, cls.name, settings)
        config: Any = ensemble.config
        member = cls(config, threads=threads)
        member.ensemble = ensemble
        member.scaler = TabularScaler.load(folder / "scaler.json") if config.dense else None
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

    def inputs(self, rows: "Rows") -> "Inputs":
        """Return what the networks read of n products."""
        import numpy as np
        from scipy import sparse

        from pricing.members.mlp.networks import Inputs

        settings, features, size = self.settings, rows.features, len(rows)
        terms = features.tfidf if settings.terms else sparse.csr_matrix((size, 0), dtype=np.float32)
        numbers, vectors = np.empty((size, 0), np.float32), [np.empty((size, 0), np.float32)]
        if self.scaler is not None:
            numbers = self.scaler.transform_values(rows.values)
        if settings.embeddings:
            blocks = features.embedding, features.parts
            vectors += [block.reshape(size, prod(block.shape[1:])) for block in blocks if block is not None]
        return Inputs(terms, numbers, np.concatenate(vectors, axis=1) * np.float32(_LENGTH))
