"""Runs the frozen parts of the encoders once over all texts and pictures, and keeps what they give.

Texts: hidden states below the trained layers, one after the other without padding. Pictures: patches of the frozen
encoder. Both are bfloat16 bits in ``.npy`` files that are read memory-mapped. Equal texts and equal links are
computed once.
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from tqdm import tqdm

from pricing.errors import ArtifactError
from pricing.members.multimodal.encoders import fit_to_side, picture_patches, split_text_encoder
from pricing.members.multimodal.inputs import (
    KeptPictures,
    KeptTexts,
    StoredTexts,
    TokenTexts,
    open_picture,
    picture_transform,
    tokenize,
)
from pricing.members.multimodal.optimisation import Precision, choose_precision
from pricing.members.multimodal.settings import MultimodalSettings
from pricing.pretrained.saved_encoders import SavedEncoders
from pricing.pretrained.text import compose_texts, shape_batches
from pricing.store.artifacts import write_json

__all__ = ["Activations", "encode_rows", "keeps_pictures"]

logger = logging.getLogger(__name__)


def freezes_texts(config: MultimodalSettings) -> bool:
    """Some lower layers of the text encoder are frozen."""
    return config.text.enabled and config.text.trainable_layers is not None


def keeps_pictures(config: MultimodalSettings) -> bool:
    """All of the picture encoder is frozen."""
    return config.image.enabled and config.image.frozen == "all"


@dataclass(frozen=True)
class Activations:
    """What `encode_rows` wrote, read back memory-mapped."""

    record: dict[str, Any]
    rows: pl.DataFrame
    """part String ("train" or "test"), sample_id String, text_row Int64 (first window), text_windows Int64, picture_row
    Int64 (-1 for none)."""
    folder: Path

    @classmethod
    def load(cls, folder: Path) -> "Activations":
        """Open the folder.

        Raises
        ------
        ArtifactError
            A file is missing or damaged.
        """
        try:
            record = json.loads((folder / "encoded.json").read_text(encoding="utf-8"))
            path = folder / "rows.parquet"
            rows = pl.read_parquet(path) if path.exists() else pl.DataFrame(schema=_ROWS)
        except (OSError, ValueError, pl.exceptions.PolarsError) as error:
            raise ArtifactError(
                f"{folder}: kept activations cannot be read ({error}); rebuild the encode stage"
            ) from None
        return cls(record, rows, folder)

    def of(self, part: str) -> "Activations":
        """Those of the rows with a price ("train") or of those to be priced ("test"), which may share ids."""
        return replace(self, rows=self.rows.filter(pl.col("part") == part))

    def texts(self, ids: pl.Series) -> StoredTexts:
        """Hidden states of these rows, in this order, or token ids where the whole encoder is trained."""
        kept = self.record["text"] is not None
        values = self._array("text_states.npy" if kept else "text_tokens.npy")
        offsets = np.asarray(self._array("text_offsets.npy"))
        first, counts = self._positions(ids, "text_row"), self._positions(ids, "text_windows")
        return (KeptTexts if kept else TokenTexts)(values, offsets, first, counts)

    def pictures(self, ids: pl.Series) -> KeptPictures:
        """Patches of these rows, in this order."""
        return KeptPictures(self._array("picture_patches.npy"), self._positions(ids, "picture_row"))

    def _positions(self, ids: pl.Series, column: str) -> np.ndarray:
        joined = pl.DataFrame({"sample_id": ids}).join(self.rows, on="sample_id", how="left", maintain_order="left")
        lost = joined.filter(pl.col(column).is_null())
        if lost.height:
            raise ArtifactError(
                f"{self.folder}: no activations for sample_id {lost['sample_id'][0]!r}; rebuild the encode stage"
            )
        return joined[column].to_numpy()

    def _array(self, name: str) -> np.ndarray:
        try:
            return np.load(self.folder / name, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ArtifactError(f"{self.folder / name}: cannot be read ({error}); rebuild the encode stage") from None


_ROWS = {
    "part": pl.String,
    "sample_id": pl.String,
    "text_row": pl.Int64,
    "text_windows": pl.Int64,
    "picture_row": pl.Int64,
}


def encode_rows(
    frame: pl.DataFrame,
    files: Mapping[str, Path],
    config: MultimodalSettings,
    encoders: SavedEncoders,
    out: Path,
    device: torch.device,
) -> None:
    """Tokenise the texts, run the frozen parts over rows and write what they give into an existing folder.

    Parameters
    ----------
    frame : DataFrame
        part ("train" or "test"), sample_id, catalog_content, image_link; ids are unique in a part.
    files : mapping
        image_link -> picture file, for the pictures that are there.
    config : MultimodalSettings
        Lengths, what is frozen.
    encoders : SavedEncoders
        What runs.
    device : torch.device
        Where the frozen parts run.

    Raises
    ------
    WeightsError
        An encoder is missing, damaged or cannot be cut.
    """
    precision = choose_precision(config.training.precision, device)
    record: dict[str, Any] = {
        "text": None, "image": None, "precision": precision.name, "encoders": dict(encoders.records),
    }  # fmt: skip
    none = pl.lit(-1, pl.Int64)
    rows = frame.select("part", "sample_id", text_row=none, text_windows=none, picture_row=none)
    if config.text.enabled:
        started = time.perf_counter()
        texts = compose_texts(frame["catalog_content"])
        distinct = list(dict.fromkeys(texts))
        ids = tokenize(encoders.tokenizer(), distinct, config.text.max_length, config.text.windows)
        flat = TokenTexts.of([window for windows in ids for window in windows])
        np.save(out / "text_offsets.npy", flat.offsets, allow_pickle=False)
        if freezes_texts(config):
            record["text"] = _encode_texts(flat, encoders, config, out, device, precision)
        else:
            np.save(out / "text_tokens.npy", flat.values, allow_pickle=False)
        counts = np.array([len(windows) for windows in ids], dtype=np.int64)
        place = dict(zip(distinct, range(len(distinct)), strict=True))
        chosen = np.array([place[text] for text in texts], dtype=np.int64)
        rows = rows.with_columns(
            text_row=pl.Series((np.cumsum(counts) - counts)[chosen], dtype=pl.Int64),
            text_windows=pl.Series(counts[chosen], dtype=pl.Int64),
        )
        logger.info("encoded %d texts in %.1f s", len(distinct), time.perf_counter() - started)
    if keeps_pictures(config):
        started = time.perf_counter()
        wanted = sorted({link for link in frame["image_link"] if link is not None and link in files})
        kept, record["image"] = _encode_pictures(wanted, files, config, encoders, out, device, precision)
        position = {link: place for place, link in enumerate(kept)}
        found = [position.get(link, -1) for link in frame["image_link"]]
        rows = rows.with_columns(picture_row=pl.Series(found, dtype=pl.Int64))
        logger.info("encoded %d pictures in %.1f s", len(kept), time.perf_counter() - started)
    if config.text.enabled or keeps_pictures(config):
        rows.write_parquet(out / "rows.parquet")
    write_json(out / "encoded.json", record)


@torch.inference_mode()
def _encode_texts(
    texts: TokenTexts,
    encoders: SavedEncoders,
    config: MultimodalSettings,
    out: Path,
    device: torch.device,
    precision: Precision,
) -> dict[str, Any]:
    assert config.text.trainable_layers is not None
    encoder: Any = encoders.text()
    width = int(encoder.config.hidden_size)
    lower, _ = split_text_encoder(encoder, config.text.trainable_layers)
    lower.to(device)
    offsets = texts.offsets
    states = _create(out / "text_states.npy", (int(offsets[-1]), width))
    batches = shape_batches(np.diff(offsets), config.encode_batch, config.text.max_length)
    for length, batch in _progress(batches, "texts"):
        tokens = torch.zeros(config.encode_batch, length, dtype=torch.int64)  # (B, T), unused rows included
        mask = torch.zeros(config.encode_batch, length, dtype=torch.int64)
        mask[:, 0] = 1  # an unused row attends to its padding rather than to nothing
        for place, row in enumerate(batch):
            tokens[place, : texts.lengths[row]] = texts.get(row)
            mask[place, : texts.lengths[row]] = 1
        with precision.autocast():
            hidden = lower(input_ids=tokens.to(device), attention_mask=mask.to(device)).last_hidden_state  # (B, T, H)
        bits = _bits(hidden)
        for place, row in enumerate(batch):
            states[offsets[row] : offsets[row + 1]] = bits[place, : texts.lengths[row]]
    _close(states)
    return {"max_length": config.text.max_length, "trainable_layers": config.text.trainable_layers, "width": width}


@torch.inference_mode()
def _encode_pictures(
    links: Sequence[str],
    files: Mapping[str, Path],
    config: MultimodalSettings,
    encoders: SavedEncoders,
    out: Path,
    device: torch.device,
    precision: Precision,
) -> tuple[list[str], dict[str, Any]]:
    encoder: Any = encoders.image()
    shape = fit_to_side(encoder, config.image.side)  # (P, C)
    encoder.to(device).requires_grad_(False)
    transform = picture_transform(encoder, config.image.side, training=False)
    patches = _create(out / "picture_patches.npy", (max(1, len(links)), *shape))
    kept: list[str] = []
    for start in _progress(range(0, len(links), config.encode_batch), "pictures"):
        chosen, pixels = [], []
        for link in links[start : start + config.encode_batch]:
            picture = open_picture(files[link])
            if picture is not None:  # a file that broke since it was fetched counts as missing
                chosen.append(link)
                pixels.append(transform(picture))
        if chosen:
            with precision.autocast():
                # one shape for every batch: see shape_batches
                pixels += [torch.zeros_like(pixels[0])] * (config.encode_batch - len(pixels))
                features = picture_patches(encoder, torch.stack(pixels).to(device))[: len(chosen)]
            patches[len(kept) : len(kept) + len(chosen)] = _bits(features)
            kept += chosen
    _close(patches)
    return kept, {"side": config.image.side, "patches": shape[0], "width": shape[1]}


def _bits(tensor: torch.Tensor) -> np.ndarray:
    return tensor.to(torch.bfloat16).cpu().contiguous().view(torch.uint16).numpy()


def _create(path: Path, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint16, shape=shape)


def _close(array: np.memmap[Any, Any]) -> None:
    array.flush()


def _progress(items: Any, what: str) -> Iterator[Any]:
    yield from tqdm(items, desc=what, disable=None, leave=False)
