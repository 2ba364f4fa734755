"""A run's pretrained encoders, cut into what is frozen and what is trained; models of several folds share them."""

import copy
from functools import cached_property
from typing import Any, Self
from weakref import WeakValueDictionary

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from pricing.members.multimodal.encoders import fit_to_side, split_text_encoder
from pricing.members.multimodal.settings import MultimodalSettings
from pricing.pretrained.saved_encoders import SavedEncoders


class EncoderParts:
    """Parts of the encoders; each encoder is read once, when one of its parts is first asked for.

    Parameters
    ----------
    settings : MultimodalSettings
        Which encoders there are, and what of them is frozen.
    encoders : SavedEncoders
        Where they are read from.

    Raises
    ------
    WeightsError
        Of every property: an encoder is missing, is another one than the recorded one, or cannot be cut.
    """

    def __init__(self, settings: MultimodalSettings, encoders: SavedEncoders) -> None:
        self.settings, self.encoders = settings, encoders
        self.lower_on: torch.device | None = None
        """Where the lower text layers are, in the precision of their products; None before they have run."""

    @classmethod
    def shared(cls, settings: MultimodalSettings, encoders: SavedEncoders) -> "EncoderParts":
        """Return parts that are read whole, and shared by all models that are alive and made of the same ones."""
        hashes = tuple(record and record["sha256"] for record in (encoders.records["text"], encoders.records["image"]))
        key = (encoders.folder, hashes, settings)
        found = _SHARED.get(key)
        if found is None:
            _SHARED[key] = found = cls(settings, encoders).read()
        return found

    def read(self) -> Self:
        """Read everything that prices need, so that later no file is read."""
        if self.settings.text.enabled:
            _ = self.tokenizer, self._text
        if self.settings.image.enabled:
            _ = self.image
        return self

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the text encoder."""
        return self.encoders.tokenizer()

    @property
    def lower_text(self) -> tuple[nn.Module, int]:
        """The text encoder's frozen lower layers, token ids in and hidden states out, and the states' width."""
        lower, _, width = self._text
        return lower, width

    def upper_text(self) -> tuple[nn.Module, int]:
        """Return a copy of the text encoder's trained layers (of the whole one, where all are), and their width."""
        _, upper, width = self._text
        return copy.deepcopy(upper), width

    @cached_property
    def _text(self) -> tuple[Any, Any, int]:
        encoder: Any = self.encoders.text()
        width = int(encoder.config.hidden_size)
        if self.settings.text.trainable_layers is not None:
            return *split_text_encoder(encoder, self.settings.text.trainable_layers), width
        if hasattr(encoder, "pooler"):
            encoder.pooler = None
        return None, encoder, width

    @cached_property
    def image(self) -> tuple[Any, tuple[int, int]]:
        """The image encoder, fitted to the side, and the number of patches and channels that it gives."""
        encoder = self.encoders.image()
        return encoder, fit_to_side(encoder, self.settings.image.side)


_SHARED: WeakValueDictionary[Any, EncoderParts] = WeakValueDictionary()
