"""The trained network of one fold, with all that it needs to price rows: saved, loaded, predicting."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from pricing.errors import ArtifactError
from pricing.members.fold_rows import Rows
from pricing.members.multimodal.activations import Activations, split_of
from pricing.members.multimodal.dataset import AmazonMLDataset
from pricing.members.multimodal.encode import encode_rows, image_files
from pricing.members.multimodal.encoder_parts import EncoderParts
from pricing.members.multimodal.network import OptimizedMultimodalModel
from pricing.members.multimodal.optimisation import Precision, choose_precision, store_as_multiplied
from pricing.members.multimodal.prediction import predict_with_tta
from pricing.members.multimodal.settings import MultimodalSettings
from pricing.members.multimodal.towers import Towers
from pricing.members.torch_parts.scaler import TabularScaler
from pricing.members.torch_parts.tensors import load_model, read_config, save_model
from pricing.pretrained.saved_encoders import SavedEncoders
from pricing.store.tables import reading


class TrainedNetwork:
    """A network with what it reads rows by.

    Parameters
    ----------
    settings : MultimodalSettings
        The section ``members.multimodal``.
    scaler : TabularScaler
        Fitted on the training rows.
    encoded : Activations
        Of the training rows; what they are made of is saved with the network.
    towers : Towers
        The network's encoders.
    seed : int
        Of the network's first weights.
    """

    def __init__(
        self, settings: MultimodalSettings, scaler: TabularScaler, record: dict[str, Any], towers: Towers, seed: int = 0
    ) -> None:
        self.settings, self.scaler, self.record, self.towers = settings, scaler, record, towers
        self.parts: EncoderParts | None = None
        self._ready: torch.device | None = None
        torch.manual_seed(seed)
        self.model = OptimizedMultimodalModel(towers.text, towers.image, scaler.width, settings.fusion)

    def dataset(self, rows: Rows, **options: Any) -> AmazonMLDataset:
        """Rows as the network reads them; ``options`` as `AmazonMLDataset` takes them."""
        encoded = Activations.given(rows.prepared).of(split_of(rows.frame))
        values = self.scaler.transform_values(rows.values)
        return self.towers.dataset(rows.frame, values, encoded, image_files(rows.images, self.settings), **options)

    def predict(self, rows: Rows, device: torch.device) -> np.ndarray:
        """Log prices, ndarray of shape (n,), float64; the network cannot be saved or trained afterwards."""
        precision = choose_precision(self.settings.training.precision, device)
        if self._ready != device:
            self._make_ready(device, precision)
        return predict_with_tta(
            self.model, self.dataset(rows), precision, self.settings.training.tta, workers=self.settings.workers
        )

    def _make_ready(self, device: torch.device, precision: Precision) -> None:
        """Bring the network into the form that it prices in, once: going through its modules takes milliseconds."""
        self.towers.merge()
        self.model.to(device).eval()
        for name, part in self.model.named_children():
            if name != "skip":  # is never computed in less than single precision
                store_as_multiplied(part, precision)
        self._ready = device

    def encode(self, rows: Rows, device: torch.device) -> Activations:
        """What the frozen parts make of new rows, in memory; only of a network that was loaded."""
        assert self.parts is not None
        frame = rows.frame.with_columns(split=pl.lit(split_of(rows.frame)))
        return encode_rows(frame, image_files(rows.images, self.settings), self.parts, device)

    def save(self, folder: Path) -> None:
        """Write trained tensors, settings, and what the encoders are; these lie once per run, not once per fold."""
        encoders = self.record["encoders"]
        tree = self.settings.model_dump(mode="json")
        for kind, described in encoders.items():
            tree[kind]["name"] = described["name"] if described else ""  # no path of this machine
        kept = {kind: self.record[kind] for kind in ("text", "image")}
        save_model(self.model, folder, {"config": tree, "encoders": encoders, "kept": kept})
        self.scaler.save(folder / "scaler.json")

    @classmethod
    def load(cls, folder: Path, encoders: Path | None) -> "TrainedNetwork":
        """Read what `save` wrote, and the encoders, which networks of several folds share.

        Raises
        ------
        ArtifactError
            A file of the network is missing or damaged, or there is no folder of encoders.
        WeightsError
            An encoder is missing there, or is not the one that the network was trained on.
        """
        if encoders is None:
            raise ArtifactError(f"{folder}: its network reads pretrained encoders; give the folder that holds them")
        saved = read_config(folder)
        with reading(folder, "a network's settings"):
            settings = MultimodalSettings.model_validate(saved["config"])
            record = {"encoders": saved["encoders"], **saved["kept"]}
        parts = EncoderParts.shared(settings, SavedEncoders(encoders, record["encoders"]))
        network = cls(settings, TabularScaler.load(folder / "scaler.json"), record, Towers(record, parts))
        load_model(network.model, folder)
        network.towers.merge()
        network.parts = parts
        return network
