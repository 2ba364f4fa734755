"""The member `gaussian_process`: a Gaussian process with a learnt kernel."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field

from pricing.members.contract import Description, Member, MemberSettings
from pricing.store.stages import Stage

if TYPE_CHECKING:
    import numpy as np
    import torch
    from scipy import sparse

    from pricing.features.load import FeatureSet
    from pricing.features.schema import Column
    from pricing.members.fold_rows import FoldRows, Rows
    from pricing.members.kernels.kernel import ProductKernel, Products
    from pricing.members.torch_parts.scaler import TabularScaler

AMOUNTS = ("log_amount", "log_pack")
"""Roles of the columns that say how much of the product there is."""


class GaussianProcessSettings(MemberSettings):
    """Gaussian process with a learnt kernel."""

    enabled: bool = False
    """Whether the member is trained."""
    fit_rows: int = Field(1500, ge=2)
    """Maximum number of training rows that the kernel is learnt on. Time grows with its cube, memory with its
    square."""
    steps: int = Field(20, ge=0)
    """Number of Adam steps that learn the kernel."""
    learning_rate: float = Field(0.1, gt=0)
    """Learning rate of Adam, for logarithms of variances and length scales."""
    landmarks: int = Field(7000, ge=2)
    """Maximum number of training rows that span the mean; with all rows the mean is exact."""
    huber_delta: float = Field(0.3, gt=0)
    """Residual, in log price, above which a training row gets less weight."""
    passes: int = Field(2, ge=0)
    """Number of times that the training rows are weighted again; 0 weights all alike."""


class GaussianProcessMember(Member[GaussianProcessSettings]):
    """The process of `pricing.members.kernels`, trained on the cores of the trees after these have finished."""

    name = "gaussian_process"
    Settings = GaussianProcessSettings
    stage = Stage.NEURAL
    seconds = 11.5
    moved: ClassVar = {"neural.gaussian_process": ""}

    def fit(self, rows: "FoldRows", *, rounds: int | None = None, resume: Path | None = None) -> Self:
        """Learn kernel and mean from the ``train`` rows, as in `Member.fit`; nothing is stopped early."""
        from pricing.members.kernels.process import GaussianProcess
        from pricing.members.torch_parts.scaler import TabularScaler
        from pricing.members.torch_parts.torch_setup import prepare_torch

        prepare_torch("cpu", self.threads)
        train = rows.train
        self.scaler = TabularScaler.fit(train.table(), without=train.of_family("svd"))  # the words are read themselves
        products = _products(train, self.scaler)
        self.process = GaussianProcess(self.settings, _kernel(self.scaler, train.columns, products.meaning is not None))
        self.process.fit(products, rows.train.log_price, self.seed)
        return self

    def predict(self, rows: "Rows") -> "np.ndarray":
        """Log prices, ndarray of shape (n,), float64."""
        from pricing.members.torch_parts.torch_setup import prepare_torch

        prepare_torch("cpu", self.threads)
        return self.process.predict(self.products(rows))

    def products(self, rows: "Rows") -> "Products":
        """Return what the kernel reads of n products."""
        return _products(rows, self.scaler)

    def encode(self, rows: "Rows") -> "_Read":
        """Return terms and embeddings as the processes of all folds read them."""
        return _Read.of(rows.features)

    def save(self, folder: Path) -> None:
        """Write the process and the scaler of its numbers."""
        from pricing.store.artifacts import write_json

        self.process.save(folder)
        self.scaler.save(folder / "scaler.json")
        kernel = self.process.kernel
        write_json(
            folder / "model.json", {"groups": kernel.groups, "amounts": kernel.amounts, "meaning": kernel.meaning}
        )

    @classmethod
    def load(cls, folder: Path, *, encoders: Path | None = None, threads: int = 1) -> Self:
        """Read what `save` wrote, as in `Member.load`."""
        from pricing.members.kernels.kernel import ProductKernel
        from pricing.members.kernels.process import GaussianProcess
        from pricing.members.torch_parts.scaler import TabularScaler
        from pricing.members.torch_parts.tensors import read_config

        scaler, record = TabularScaler.load(folder / "scaler.json"), read_config(folder)
        kernel = ProductKernel(list(record["groups"]), list(record["amounts"]), bool(record["meaning"]))
        process = GaussianProcess.load(folder, kernel)
        member = cls(process.config, threads=threads)
        member.scaler, member.process = scaler, process
        return member

    def describe(self) -> Description:
        """Return the learnt kernel and how its evidence grew."""
        kernel = self.process.kernel
        record = {
            "kernel": {name: float(value.detach().exp()) for name, value in kernel.log.items()},
            "trainable_parameters": sum(parameter.numel() for parameter in kernel.parameters()),
        }
        return Description(self.settings.steps, record, self.process.curves)


def _kernel(scaler: "TabularScaler", columns: "tuple[Column, ...]", meaning: bool) -> "ProductKernel":
    from pricing.features.schema import with_role
    from pricing.members.kernels.kernel import ProductKernel, group_of

    known = {column.name: column for column in columns}
    groups = [group_of(known[name]) for name in (*scaler.numeric, *(name for name, _ in scaler.levels))]
    amounts = [scaler.numeric.index(name) for role in AMOUNTS for name in with_role(columns, role)]
    return ProductKernel(groups, amounts, meaning)


def _products(rows: "Rows", scaler: "TabularScaler") -> "Products":
    import numpy as np
    import torch

    from pricing.members.kernels.kernel import Products

    read = rows.prepared if isinstance(rows.prepared, _Read) else None
    if read is None or read.features is not rows.features:
        read = _Read.of(rows.features)
    numbers = scaler.transform_values(rows.values)
    return Products(torch.from_numpy(numbers.astype(np.float64)), read.terms, read.meaning)


@dataclass(frozen=True)
class _Read:
    """What the process reads of features, and not of the fold."""

    features: "FeatureSet"
    terms: "sparse.csr_matrix"
    meaning: "torch.Tensor | None"

    @classmethod
    def of(cls, features: "FeatureSet") -> Self:
        import numpy as np
        import torch
        from sklearn.preprocessing import normalize

        embedding, terms = features.embedding, features.tfidf
        meaning = None if embedding is None else torch.from_numpy(embedding.astype(np.float64))
        unit = normalize(terms) if terms.shape[0] else terms  # scikit-learn refuses a matrix without rows
        return cls(features, unit, meaning)
