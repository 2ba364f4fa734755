"""The encoders of one training: what is trained of them, and how rows are read for them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pricing.errors import WeightsError
from pricing.members.multimodal.activations import Activations, keeps_pictures
from pricing.members.multimodal.dataset import AmazonMLDataset
from pricing.members.multimodal.encoders import ImageTower, TextTower, fit_to_side, split_text_encoder
from pricing.members.multimodal.inputs import PictureFiles, picture_transform
from pricing.members.multimodal.lora import LoraReport, merge_lora, setup_lora
from pricing.members.multimodal.settings import MultimodalSettings
from pricing.pretrained.saved_encoders import SavedEncoders

__all__ = ["Towers"]


def enable_checkpointing(encoder: Any) -> None:
    """Recompute activations in the backward pass; transformers 5 renamed the switch.

    Raises
    ------
    WeightsError
        The architecture cannot (MPNet is one).
    """
    try:
        if hasattr(encoder, "activation_checkpointing_enable"):
            encoder.activation_checkpointing_enable()
        else:
            encoder.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    except ValueError as error:
        raise WeightsError(f"{error} Set neural.text.gradient_checkpointing to false.") from None


class Towers:
    """The encoders of one training: what is trained of them, and how rows are read for them."""

    def __init__(self, config: MultimodalSettings, encoded: Activations, encoders: SavedEncoders) -> None:
        self.config = config
        self.lora: LoraReport | None = None
        self.text = self._text(encoded.record["text"], encoders)
        self.image, self.transforms = self._image(encoded.record["image"], encoders)

    def _text(self, kept: Mapping[str, Any] | None, encoders: SavedEncoders) -> TextTower | None:
        settings = self.config.text
        if not settings.enabled:
            return None
        if settings.trainable_layers == 0:
            assert kept is not None
            return TextTower(None, kept["width"], upper=True)
        encoder: Any = encoders.text()
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
        return TextTower(part, width, upper=settings.trainable_layers is not None)

    def merge(self) -> None:
        """Fold trained adapters into the weights: the same prices without the extra products."""
        if self.lora is not None:
            assert self.text is not None
            self.text.encoder = merge_lora(self.text.encoder)  # type: ignore[arg-type]

    def _image(self, kept: Mapping[str, Any] | None, encoders: SavedEncoders) -> tuple[ImageTower | None, Any]:
        settings = self.config.image
        if not settings.enabled:
            return None, None
        if settings.frozen == "all":
            assert kept is not None
            return ImageTower(None, kept["width"]), None
        encoder: Any = encoders.image()
        fit_to_side(encoder, settings.side)
        transforms = [picture_transform(encoder, settings.side, training=training) for training in (False, True)]
        return ImageTower(encoder, int(encoder.num_features), settings.frozen), transforms

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
