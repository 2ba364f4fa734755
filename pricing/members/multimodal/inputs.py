"""Where a data set's texts and images come from: token ids or kept hidden states, image files or kept patches.

Kept activations are bfloat16, written as uint16 ``.npy`` and read memory-mapped (NumPy has no bfloat16).
"""

import copy
import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pricing.pretrained.vision_ops  # noqa: F401  # isort: skip  # before timm

import numpy as np
import timm
import torch
from PIL import Image, UnidentifiedImageError
from torch import nn
from transformers import PreTrainedTokenizerBase

from pricing.pretrained.text import text_windows


def tokenize(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int, windows: int = 1
) -> list[list[np.ndarray]]:
    """Token ids of each text's windows, special tokens included, at most ``max_length``, without padding; int32.

    The first window is the text truncated; see `pricing.pretrained.text.text_windows` for the others.
    """
    if not texts:
        return []
    options: Any = {"padding": False, "return_attention_mask": False, "verbose": False}
    if windows == 1:
        encoded = tokenizer(list(texts), truncation=True, max_length=max_length, **options)
        return [[np.asarray(ids, dtype=np.int32)] for ids in encoded["input_ids"]]
    mask = tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"]
    before, after = mask.index(0), mask[::-1].index(0)
    whole = tokenizer(list(texts), truncation=False, **options)["input_ids"]
    return [text_windows(np.asarray(ids, dtype=np.int32), max_length, windows, before, after) for ids in whole]


class _Mapped:
    """Pickled, as for a loader's processes, without the data of its memory-mapped ``.npy`` files: they are mapped there
    again."""

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: Path(str(value.filename)) if isinstance(value, np.memmap) else value
            for name, value in vars(self).items()
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            mapped = isinstance(value, Path)
            setattr(self, name, np.load(value, mmap_mode="r", allow_pickle=False) if mapped else value)


@dataclass
class StoredTexts(_Mapped):
    """Texts one after the other, usually memory-mapped; a text may have several windows, stored in a row.

    Parameters
    ----------
    values : (tokens of all stored windows,) or (tokens of all stored windows, H)
        Token ids or hidden states.
    offsets : (N + 1,) int64
        Where each stored window starts.
    rows : (n,) int64
        First stored window of each row of this source.
    counts : (n,) int64
        Windows of each row.
    """

    values: np.ndarray
    offsets: np.ndarray
    rows: np.ndarray
    counts: np.ndarray

    def __post_init__(self) -> None:
        self.lengths = (self.offsets[1:] - self.offsets[:-1])[self.rows]

    def window(self, number: int) -> Self:
        """The windows of this number, from 0; the last one of a row that has fewer."""
        last = np.minimum(number, self.counts - 1)
        return type(self)(self.values, self.offsets, self.rows + last, np.ones_like(self.counts))

    def _stored(self, row: int) -> np.ndarray:
        stored = self.rows[row]
        return self.values[self.offsets[stored] : self.offsets[stored + 1]]


class TokenTexts(StoredTexts):
    """Token ids, int32."""

    @classmethod
    def of(cls, ids: Sequence[np.ndarray]) -> "TokenTexts":
        """One window per row, from a list."""
        offsets = np.concatenate([[0], np.cumsum([len(i) for i in ids], dtype=np.int64)]).astype(np.int64)
        values = np.concatenate([*ids, np.empty(0, np.int32)]).astype(np.int32)
        return cls(values, offsets, np.arange(len(ids)), np.ones(len(ids), np.int64))

    def get(self, row: int) -> torch.Tensor:
        """Ids (T,) int64."""
        return torch.from_numpy(self._stored(row).astype(np.int64))


class KeptTexts(StoredTexts):
    """Hidden states of the frozen lower layers, as uint16 bits of bfloat16."""

    def get(self, row: int) -> torch.Tensor:
        """Hidden states (T, H) bfloat16."""
        return _as_bf16(self._stored(row))


@dataclass
class KeptImages(_Mapped):
    """Patches of the frozen encoder; ``rows`` (n,) int64 is -1 where there is no image."""

    patches: np.ndarray
    rows: np.ndarray

    def __post_init__(self) -> None:
        self.present = self.rows >= 0

    @property
    def shape(self) -> tuple[int, ...]:
        """(P, C)."""
        return self.patches.shape[1:]

    def get(self, row: int, seed: int | None) -> torch.Tensor | None:
        """Patches (P, C) bfloat16; a kept activation cannot be augmented."""
        stored = self.rows[row]
        return None if stored < 0 else _as_bf16(self.patches[stored])


class ImageFiles:
    """Images decoded when asked for.

    Parameters
    ----------
    paths : sequence of Path or None
        One per row.
    plain, augmented : callable
        Transforms from `image_transform`, PIL image in, (3, S, S) out.
    """

    def __init__(
        self,
        paths: Sequence[Path | None],
        plain: Callable[[Image.Image], Any],
        augmented: Callable[[Image.Image], Any] | None = None,
    ) -> None:
        self.paths, self.plain, self.augmented = list(paths), plain, augmented
        self.present = np.array([path is not None for path in paths], dtype=bool)
        self.rows = np.unique([str(path or "") for path in paths], return_inverse=True)[1]
        self.number = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """(3, S, S)."""
        return tuple(self.plain(Image.new("RGB", (8, 8))).shape)

    def view(self, number: int) -> "ImageFiles":
        """The same images, seen in another way for each number from 1: always as images that are augmented.

        The way depends on the number and the file's bytes alone, so a product is seen, and priced, alike in every
        catalogue that it stands in.
        """
        other = copy.copy(self)
        other.number = number
        return other

    def get(self, row: int, seed: int | None) -> torch.Tensor | None:
        """Pixels (3, S, S); a missing or unreadable file gives None. Augmentation depends on the seed alone."""
        path = self.paths[row]
        image = None if path is None else open_image(path)
        if path is None or image is None:
            return None
        if seed is None and self.number:
            seed = zlib.crc32(path.read_bytes(), self.number)
        if seed is None or self.augmented is None:
            return self.plain(image)
        state = random.getstate()
        # workers and resumed runs draw the same, whatever was drawn before
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            random.seed(seed)
            try:
                return self.augmented(image)
            finally:
                random.setstate(state)


TextInput = TokenTexts | KeptTexts
"""Texts by row."""
ImageInput = KeptImages | ImageFiles
"""Images by row."""


def open_image(path: Path) -> Image.Image | None:
    """Decode an image to RGB; None if the file is missing or broken."""
    try:
        with Image.open(path) as file:
            # transparent packshots stand on white
            if file.mode in ("RGBA", "LA", "P"):
                image = file.convert("RGBA")
                ground = Image.new("RGBA", image.size, "white")
                return Image.alpha_composite(ground, image).convert("RGB")
            return file.convert("RGB")
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def image_transform(encoder: nn.Module, side: int, *, training: bool) -> Callable[[Image.Image], Any]:
    """timm's transform for an encoder: its interpolation, mean and deviation, at the given side in pixels.

    In training: a crop of 70 to 100 % of the area, a horizontal flip, slight colour jitter. Else the whole image, not
    the centre crop that ImageNet uses, since a packet fills its image to the border.
    """
    data = timm.data.resolve_data_config({"input_size": (3, side, side)}, model=encoder)
    data["crop_pct"] = 1.0
    data.pop("crop_mode", None)
    if training:
        return timm.data.create_transform(
            **data,
            is_training=True,
            scale=(0.7, 1.0),
            ratio=(0.9, 1.1),
            hflip=0.5,
            color_jitter=0.1,
            auto_augment=None,
            re_prob=0.0,
        )
    return timm.data.create_transform(**data, is_training=False, crop_mode="squash")


def _as_bf16(bits: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(bits).copy()).view(torch.bfloat16)
