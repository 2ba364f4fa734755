"""The member `multimodal`: a network on text, image and features."""

from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pricing.members.contract import Description, Lane, Member, Reads
from pricing.members.multimodal.settings import MultimodalSettings
from pricing.store.stages import Stage

if TYPE_CHECKING:
    import numpy as np
    import torch

    from pricing.members.fold_rows import FoldRows, Rows
    from pricing.members.multimodal.activations import Activations
    from pricing.members.multimodal.trained_network import TrainedNetwork


class Multimodal(Member[MultimodalSettings]):
    """Pretrained encoders of text and image, fused with the features (`pricing.members.multimodal.network`)."""

    name = "multimodal"
    Settings = MultimodalSettings
    reads = frozenset({Reads.PRICE_FEATURES, Reads.IMAGES})
    lane = Lane.NETWORKS
    stage = Stage.NEURAL
    prepare = "pricing.members.multimodal.encode:encode_catalogue"
    shares_lanes = True
    seconds = 24.0
    moved: ClassVar = {
        **{f"neural.{name}": name for name in MultimodalSettings.model_fields if name not in ("enabled", "refit")},
        "neural.refit_multimodal": "refit",
    }
    network: "TrainedNetwork"
    description: Description

    @classmethod
    def refits(cls, settings: Any) -> bool:
        """Only by choice: the network takes longer than all other members together."""
        return settings.refit

    @classmethod
    def prepare_settings(cls, settings: Any) -> MultimodalSettings:
        """Return which encoders run, on what they run and in which precision."""
        training = settings.training.only("precision")
        return settings.only("device", "encode_batch", "text", "image").model_copy(update={"training": training})

    @classmethod
    def reads_images(cls, settings: Any) -> bool:
        """Only with an image encoder."""
        return settings.image.enabled

    def fit(self, rows: "FoldRows", *, rounds: int | None = None, resume: Path | None = None) -> Self:
        """Train the network, as in `Member.fit`; ``valid`` rows stop the training and choose the best epoch."""
        from pricing.members.multimodal.fitting import fit_network

        device = self._device()
        with nullcontext(resume) if resume else TemporaryDirectory(prefix="pricing-") as work:
            self.network, self.description = fit_network(rows, self.settings, self.seed, rounds, Path(work), device)
        return self

    def predict(self, rows: "Rows") -> "np.ndarray":
        """Log prices, ndarray of shape (n,), float64."""
        return self.network.predict(rows, self._device())

    def save(self, folder: Path) -> None:
        """Write what was trained; the encoders lie once per run, beside it."""
        self.network.save(folder)

    @classmethod
    def load(cls, folder: Path, *, encoders: Path | None = None, threads: int = 1) -> Self:
        """Read what `save` wrote, as in `Member.load`; models that share encoders read and hold these once."""
        from pricing.members.multimodal.trained_network import TrainedNetwork

        network = TrainedNetwork.load(folder, encoders)
        # trained on a GPU, it prices on a machine without one too
        device = "cpu" if network.settings.device == "cpu" else "auto"
        member = cls(network.settings.model_copy(update={"device": device}), threads=threads)
        member.network = network
        return member

    def describe(self) -> Description:
        """Return how the network was trained and how large it is."""
        return self.description

    def encode(self, rows: "Rows") -> "Activations":
        """What the encoders' frozen parts make of new rows, in memory."""
        return self.network.encode(rows, self._device())

    def _device(self) -> "torch.device":
        from pricing.members.torch_parts.torch_setup import prepare_torch

        return prepare_torch(self.settings.device, self.threads)
