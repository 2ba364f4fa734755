"""Where a data set's texts and pictures come from: token ids or kept hidden states, picture files or kept patches.

Kept activations are bfloat16, written as uint16 ``.npy`` and read memory-mapped (NumPy has no bfloat16).
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pricing.neural import vision_ops  # isort: skip  # before timm

import numpy as np
import timm
import torch
from PIL import Image, UnidentifiedImageError
from torch import nn
from transformers import PreTrainedTokenizerBase

__all__ = [
    "KeptPictures",
    "KeptTexts",
    "PictureFiles",
    "PictureSource",
    "TextSource",
    "TokenTexts",
    "picture_transform",
    "tokenize",
]

_KEEP = vision_ops.declare_vision_ops


class TextSource(Protocol):
    """Texts by row."""

    lengths: np.ndarray
    """(n,) tokens a row."""

    def get(self, row: int) -> torch.Tensor:
        """Ids (T,) int64, or hidden states (T, H)."""
        ...


class PictureSource(Protocol):
    """Pictures by row."""

    present: np.ndarray
    """(n,) bool."""

    def get(self, row: int, seed: int | None) -> torch.Tensor | None:
        """Pixels (3, S, S) or patches (P, C); None where there is no readable picture. A seed asks for augmentation."""
        ...


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> list[np.ndarray]:
    """Token ids of each text, special tokens included, at most ``max_length``, without padding; int32."""
    if not texts:
        return []
    encoded = tokenizer(list(texts), truncation=True, max_length=max_length, padding=False, return_attention_mask=False)
    return [np.asarray(ids, dtype=np.int32) for ids in encoded["input_ids"]]


@dataclass
class TokenTexts:
    """Tokenised once, kept in memory."""

    ids: list[np.ndarray]

    def __post_init__(self) -> None:
        self.lengths = np.array([len(ids) for ids in self.ids], dtype=np.int64)

    def get(self, row: int) -> torch.Tensor:
        """Ids (T,) int64."""
        return torch.from_numpy(self.ids[row].astype(np.int64))


@dataclass
class KeptTexts:
    """Hidden states of the frozen lower layers.

    Parameters
    ----------
    states : (tokens of all rows, H) uint16
        bfloat16 bits, usually memory-mapped.
    offsets : (N + 1,) int64
        Where each stored row starts.
    rows : (n,) int64
        Stored row of each row of this source.
    """

    states: np.ndarray
    offsets: np.ndarray
    rows: np.ndarray

    def __post_init__(self) -> None:
        self.lengths = (self.offsets[1:] - self.offsets[:-1])[self.rows]

    def get(self, row: int) -> torch.Tensor:
        """Hidden states (T, H) bfloat16."""
        stored = self.rows[row]
        return _as_bf16(self.states[self.offsets[stored] : self.offsets[stored + 1]])


@dataclass
class KeptPictures:
    """Patches of the frozen encoder; ``rows`` (n,) int64 is -1 where there is no picture."""

    patches: np.ndarray
    rows: np.ndarray

    def __post_init__(self) -> None:
        self.present = self.rows >= 0

    def get(self, row: int, seed: int | None) -> torch.Tensor | None:
        """Patches (P, C) bfloat16; a kept activation cannot be augmented."""
        stored = self.rows[row]
        return None if stored < 0 else _as_bf16(self.patches[stored])


class PictureFiles:
    """Pictures decoded when asked for.

    Parameters
    ----------
    paths : sequence of Path or None
        One a row.
    plain, augmented : callable
        Transforms from `picture_transform`, PIL picture in, (3, S, S) out.
    """

    def __init__(
        self,
        paths: Sequence[Path | None],
        plain: Callable[[Image.Image], Any],
        augmented: Callable[[Image.Image], Any] | None = None,
    ) -> None:
        self.paths, self.plain, self.augmented = list(paths), plain, augmented
        self.present = np.array([path is not None for path in paths], dtype=bool)

    def get(self, row: int, seed: int | None) -> torch.Tensor | None:
        """Pixels (3, S, S); a missing or unreadable file gives None. Augmentation depends on the seed alone."""
        path = self.paths[row]
        picture = None if path is None else open_picture(path)
        if picture is None:
            return None
        if seed is None or self.augmented is None:
            return self.plain(picture)
        state = random.getstate()
        with torch.random.fork_rng(devices=[]):  # workers and resumed runs draw the same, whatever was drawn before
            torch.manual_seed(seed)
            random.seed(seed)
            try:
                return self.augmented(picture)
            finally:
                random.setstate(state)


def open_picture(path: Path) -> Image.Image | None:
    """Decode a picture to RGB; None if the file is missing or broken."""
    try:
        with Image.open(path) as file:
            if file.mode in ("RGBA", "LA", "P"):  # transparent packshots stand on white
                picture = file.convert("RGBA")
                ground = Image.new("RGBA", picture.size, "white")
                return Image.alpha_composite(ground, picture).convert("RGB")
            return file.convert("RGB")
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def picture_transform(encoder: nn.Module, side: int, *, training: bool) -> Callable[[Image.Image], Any]:
    """timm's transform for an encoder: its interpolation, mean and deviation, at the given side in pixels.

    In training: a crop of 70 to 100 % of the area, a horizontal flip, slight colour jitter. Else the whole picture, not
    the centre crop that ImageNet uses, since a packet fills its picture to the border.
    """
    data = timm.data.resolve_data_config({"input_size": (3, side, side)}, model=encoder)
    data["crop_pct"] = 1.0
    data.pop("crop_mode", None)
    if training:
        return timm.data.create_transform(
            **data, is_training=True, scale=(0.7, 1.0), ratio=(0.9, 1.1), hflip=0.5, color_jitter=0.1,
            auto_augment=None, re_prob=0.0,
        )  # fmt: skip
    return timm.data.create_transform(**data, is_training=False, crop_mode="squash")


def _as_bf16(bits: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(bits).copy()).view(torch.bfloat16)
