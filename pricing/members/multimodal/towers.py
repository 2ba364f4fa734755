"""The encoders of one training: what is trained of them, and how rows are read for them."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pricing.errors import WeightsError
from pricing.members.multimodal.activations import Activations
from pricing.members.multimodal.dataset import AmazonMLDataset
from pricing.members.multimodal.encoder_parts import EncoderParts
from pricing.members.multimodal.encoders import ImageTower, TextTower
from pricing.members.multimodal.inputs import ImageFiles, image_transform
from pricing.members.multimodal.lora import setup_lora


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
        raise WeightsError(f"{error} Set members.multimodal.text.gradient_checkpointing to false.") from None


class Towers:
    """The encoders of one training: what is trained of them, and how rows are read for them.

    Parameters
    ----------
    kept : mapping
        Record of the activations that are read, see `Activations`.
    parts : EncoderParts
        What is trained is copied from there.
    """

    def __init__(self, kept: Mapping[str, Any], parts: EncoderParts) -> None:
        self.settings = parts.settings
        self.lora_share: float | None = None
        self.text = self._text(kept["text"], parts)
        self.image, self.transforms = self._image(kept["image"], parts)

    def _text(self, kept: Mapping[str, Any] | None, parts: EncoderParts) -> TextTower | None:
        settings = self.settings.text
        if not settings.enabled:
            return None
        if settings.trainable_layers == 0:
            assert kept is not None
            return TextTower(None, kept["width"], upper=True)
        part, width = parts.upper_text()
        if settings.gradient_checkpointing:
            enable_checkpointing(part)
        if self.settings.lora.enabled:
            part, self.lora_share = setup_lora(part, self.settings.lora)
        return TextTower(part, width, upper=settings.trainable_layers is not None)

    def merge(self) -> None:
        """Fold trained adapters into the weights, once: the same prices without the extra products."""
        if self.lora_share is not None:
            model: Any = self.text and self.text.encoder
            self.text.encoder, self.lora_share = model.merge_and_unload(), None  # type: ignore[union-attr]

    def _image(self, kept: Mapping[str, Any] | None, parts: EncoderParts) -> tuple[ImageTower | None, Any]:
        settings = self.settings.image
        if not settings.enabled:
            return None, None
        if settings.keeps_patches:
            assert kept is not None
            return ImageTower(None, kept["width"]), None
        encoder = copy.deepcopy(parts.image[0])
        transforms = [image_transform(encoder, settings.side, training=training) for training in (False, True)]
        return ImageTower(encoder, int(encoder.num_features), settings.frozen), transforms

    def dataset(
        self, frame: pl.DataFrame, values: np.ndarray, encoded: Activations, files: Mapping[str, Path], **options: Any
    ) -> AmazonMLDataset:
        """Rows with their texts and images, kept or to be computed."""
        ids = frame["sample_id"]
        text: Any = encoded.texts(ids) if self.settings.text.enabled else None
        images: Any = None
        if self.settings.image.keeps_patches:
            images = encoded.images(ids)
        elif self.settings.image.enabled:
            images = ImageFiles([files.get(link) for link in frame["image_link"]], *self.transforms)
        return AmazonMLDataset(frame, values, text=text, images=images, **options)
