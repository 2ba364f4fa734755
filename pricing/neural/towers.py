"""The encoders of one training: what is trained of them, and how rows are read for them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pricing.config import NeuralConfig
from pricing.errors import WeightsError
from pricing.neural.activations import Activations, keeps_pictures
from pricing.neural.dataset import AmazonMLDataset
from pricing.neural.encoders import ImageTower, TextTower, split_text_encoder
from pricing.neural.lora import LoraReport, merge_lora, setup_lora
from pricing.neural.sources import PictureFiles, picture_transform
from pricing.pretrained.weights import describe, find_encoder, load_image_encoder, load_text_encoder

__all__ = ["Towers"]


def enable_checkpointing(encoder: Any) -> None:
    """Recompute activations in the backward pass; transformers 5 renamed the switch."""
    if hasattr(encoder, "activation_checkpointing_enable"):
        encoder.activation_checkpointing_enable()
    else:
        encoder.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


class Towers:
    """The encoders of one training: what is trained of them, and how rows are read for them."""

    def __init__(self, config: NeuralConfig, encoded: Activations) -> None:
        self.config = config
        self.lora: LoraReport | None = None
        self.text, self.text_record = self._text(encoded.record.get("text"))
        self.image, self.transforms, self.image_record = self._image(encoded.record.get("image"))

    def _text(self, kept: Mapping[str, Any] | None) -> tuple[TextTower | None, dict[str, Any] | None]:
        settings = self.config.text
        if not settings.enabled:
            return None, None
        if settings.trainable_layers == 0:
            assert kept is not None
            return TextTower(None, kept["width"], upper=True), dict(kept)
        source = find_encoder(settings.name, "text")
        encoder: Any = load_text_encoder(source)
        record = describe(source, encoder.state_dict())
        if kept is not None and kept["sha256"] != record["sha256"]:
            raise WeightsError(
                f"text encoder {settings.name}: its tensors hash to {record['sha256'][:12]}, the kept activations' "
                f"to {kept['sha256'][:12]}; put the same weights back or run the encode stage again"
            )
        width = int(encoder.config.hidden_size)
        part = encoder
        if settings.trainable_layers is not None:
            _, part = split_text_encoder(encoder, settings.trainable_layers)
        elif hasattr(encoder, "pooler"):
            encoder.pooler = None
        if settings.gradient_checkpointing:
            enable_checkpointing(part)
        if self.config.lora.enabled:
            part, self.lora = setup_lora(part, self.config.lora)
        return TextTower(part, width, upper=settings.trainable_layers is not None), record

    def merge(self) -> None:
        """Fold trained adapters into the weights: the same prices without the extra products."""
        if self.lora is not None:
            assert self.text is not None
            self.text.encoder = merge_lora(self.text.encoder)  # type: ignore[arg-type]

    def _image(self, kept: Mapping[str, Any] | None) -> tuple[ImageTower | None, Any, dict[str, Any] | None]:
        settings = self.config.image
        if not settings.enabled:
            return None, None, None
        if settings.frozen == "all":
            assert kept is not None
            return ImageTower(None, kept["width"]), None, dict(kept)
        source = find_encoder(settings.name, "image")
        encoder: Any = load_image_encoder(source)
        record = describe(source, encoder.state_dict())
        transforms = [picture_transform(encoder, settings.side, training=training) for training in (False, True)]
        return ImageTower(encoder, int(encoder.num_features), settings.frozen), transforms, record

    def dataset(
        self, frame: pl.DataFrame, values: np.ndarray, encoded: Activations, files: Mapping[str, Path], **options: Any
    ) -> AmazonMLDataset:
        """Rows with their texts and pictures, kept or to be computed."""
        ids = frame["sample_id"]
        text: Any = None
        pictures: Any = None
        if self.config.text.enabled:
            text = encoded.texts(ids)
        if self.config.image.enabled:
            if keeps_pictures(self.config):
                pictures = encoded.pictures(ids)
            else:
                pictures = PictureFiles([files.get(link) for link in frame["image_link"]], *self.transforms)
        features = pl.DataFrame(values).insert_column(0, ids)
        return AmazonMLDataset(frame, features, text=text, pictures=pictures, **options)
