"""Runs the frozen parts of the encoders once over all texts and images, and keeps what they give."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from tqdm import tqdm

from pricing.catalogue.split import SPLITS
from pricing.download.images import Images
from pricing.members.multimodal.activations import Activations, new_array
from pricing.members.multimodal.encoder_parts import EncoderParts
from pricing.members.multimodal.encoders import image_patches
from pricing.members.multimodal.inputs import TokenTexts, image_transform, open_image, tokenize
from pricing.members.multimodal.optimisation import Precision, choose_precision, rows_per_batch, store_as_multiplied
from pricing.members.multimodal.settings import MultimodalSettings
from pricing.members.torch_parts.torch_setup import prepare_torch
from pricing.pretrained.saved_encoders import SavedEncoders
from pricing.pretrained.text import compose_texts, shape_batches
from pricing.store.tables import read_table

logger = logging.getLogger(__name__)


def encode_catalogue(
    catalogue: Path,
    images: Path | None,
    settings: MultimodalSettings,
    image_folder: Path | None,
    out: Path,
    threads: int = 1,
) -> None:
    """Save the encoders, and run their frozen parts over all texts and images of the catalogue.

    Parameters
    ----------
    catalogue : Path
        Output of the catalogue step.
    images : Path or None
        Output of the download step, None without images.
    settings : MultimodalSettings
        Which encoders there are, and what of them is frozen.
    image_folder : Path or None
        What the files in the table of images are relative to.
    out : Path
        Existing empty folder. Receives encoded.json, rows.parquet, the arrays of `Activations` as ``.npy`` files, and
        encoders/, see `SavedEncoders`.
    threads : int
        Cores.

    Raises
    ------
    WeightsError
        An encoder cannot be found; names the ways out.
    """
    device = prepare_torch(settings.device, threads)
    columns = ["sample_id", "catalog_content", "image_link"]
    frame = pl.concat(
        [
            read_table(catalogue / f"{split}.parquet").select(columns).with_columns(split=pl.lit(split))
            for split in SPLITS
        ]
    )
    found = None
    if images is not None and image_folder is not None:
        found = Images(read_table(images / "images.parquet"), image_folder)
    text, image = (tower.name if tower.enabled else None for tower in (settings.text, settings.image))
    parts = EncoderParts(settings, SavedEncoders.save(text, image, out / "encoders"))
    encode_rows(frame, image_files(found, settings), parts, device, out).save(out)


def image_files(images: Images | None, settings: MultimodalSettings) -> dict[str, Path]:
    """Return the file of every link whose image is there; none where images are off."""
    return images.files() if images is not None and settings.image.enabled else {}


def encode_rows(
    frame: pl.DataFrame,
    files: Mapping[str, Path],
    parts: EncoderParts,
    device: torch.device,
    out: Path | None = None,
) -> Activations:
    """Tokenise the texts and run the frozen parts over rows.

    Parameters
    ----------
    frame : DataFrame
        ``split``, ``sample_id``, ``catalog_content``, ``image_link``; ids are unique in a split.
    files : mapping of str to Path
        File of every link whose image is there.
    parts : EncoderParts
        What runs.
    device : torch.device
        Where the frozen parts run.
    out : Path, optional
        Existing folder for the arrays; without it they are in memory.

    Raises
    ------
    WeightsError
        An encoder is missing, damaged or cannot be cut.
    """
    settings = parts.settings
    precision = choose_precision(settings.training.precision, device)
    record: dict[str, Any] = {
        "text": None,
        "image": None,
        "precision": precision.name,
        "encoders": dict(parts.encoders.records),
    }
    arrays: dict[str, np.ndarray] = {}
    none = pl.lit(-1, pl.Int64)
    rows = frame.select("split", "sample_id", text_row=none, text_windows=none, image_row=none)
    if settings.text.enabled:
        started = time.perf_counter()
        texts = compose_texts(frame["catalog_content"])
        distinct = list(dict.fromkeys(texts))
        ids = tokenize(parts.tokenizer, distinct, settings.text.max_length, settings.text.windows)
        flat = TokenTexts.of([window for windows in ids for window in windows])
        arrays["text_offsets"] = _kept(out, "text_offsets", flat.offsets)
        if settings.text.trainable_layers is None:
            arrays["text_tokens"] = _kept(out, "text_tokens", flat.values)
        else:
            arrays["text_states"], record["text"] = _encode_texts(flat, parts, out, device, precision)
        counts = np.array([len(windows) for windows in ids], dtype=np.int64)
        place = dict(zip(distinct, range(len(distinct)), strict=True))
        chosen = np.array([place[text] for text in texts], dtype=np.int64)
        rows = rows.with_columns(
            text_row=pl.Series((np.cumsum(counts) - counts)[chosen], dtype=pl.Int64),
            text_windows=pl.Series(counts[chosen], dtype=pl.Int64),
        )
        logger.info("encoded %d texts in %.1f s", len(distinct), time.perf_counter() - started)
    if settings.image.keeps_patches:
        started = time.perf_counter()
        wanted = sorted({link for link in frame["image_link"] if link is not None and link in files})
        arrays["image_patches"], kept, record["image"] = _encode_images(wanted, files, parts, out, device, precision)
        position = {link: place for place, link in enumerate(kept)}
        found = [position.get(link, -1) for link in frame["image_link"]]
        rows = rows.with_columns(image_row=pl.Series(found, dtype=pl.Int64))
        logger.info("encoded %d images in %.1f s", len(kept), time.perf_counter() - started)
    return Activations(record | {"arrays": sorted(arrays)}, rows, arrays)


@torch.inference_mode()
def _encode_texts(
    texts: TokenTexts, parts: EncoderParts, out: Path | None, device: torch.device, precision: Precision
) -> tuple[np.ndarray, dict[str, Any]]:
    settings = parts.settings
    lower, width = parts.lower_text
    if parts.lower_on != device:
        lower.to(device)
        store_as_multiplied(lower, precision)
        parts.lower_on = device
    offsets, size = texts.offsets, rows_per_batch(settings.encode_batch, device)
    states = new_array(out, "text_states", (int(offsets[-1]), width))
    batches = shape_batches(np.diff(offsets), size, settings.text.max_length)
    for length, batch in _progress(batches, "texts"):
        tokens = torch.zeros(size, length, dtype=torch.int64)  # (B, T), unused rows included
        mask = torch.zeros(size, length, dtype=torch.int64)
        # an unused row attends to its padding rather than to nothing
        mask[:, 0] = 1
        for place, row in enumerate(batch):
            tokens[place, : texts.lengths[row]] = texts.get(row)
            mask[place, : texts.lengths[row]] = 1
        with precision.autocast():
            hidden = lower(input_ids=tokens.to(device), attention_mask=mask.to(device)).last_hidden_state  # (B, T, H)
        bits = _bits(hidden)
        for place, row in enumerate(batch):
            states[offsets[row] : offsets[row + 1]] = bits[place, : texts.lengths[row]]
    record = {"max_length": settings.text.max_length, "trainable_layers": settings.text.trainable_layers}
    return states, record | {"width": width}


@torch.inference_mode()
def _encode_images(
    links: Sequence[str],
    files: Mapping[str, Path],
    parts: EncoderParts,
    out: Path | None,
    device: torch.device,
    precision: Precision,
) -> tuple[np.ndarray, list[str], dict[str, Any]]:
    settings = parts.settings
    encoder, shape = parts.image  # (P, C)
    encoder.to(device).requires_grad_(False)
    transform = image_transform(encoder, settings.image.side, training=False)
    patches = new_array(out, "image_patches", (max(1, len(links)), *shape))
    kept: list[str] = []
    for start in _progress(range(0, len(links), settings.encode_batch), "images"):
        chosen, pixels = [], []
        for link in links[start : start + settings.encode_batch]:
            image = open_image(files[link])
            # a file that broke since it was fetched counts as missing
            if image is not None:
                chosen.append(link)
                pixels.append(transform(image))
        if chosen:
            with precision.autocast():
                # one shape for every batch: see shape_batches
                pixels += [torch.zeros_like(pixels[0])] * (settings.encode_batch - len(pixels))
                features = image_patches(encoder, torch.stack(pixels).to(device))[: len(chosen)]
            patches[len(kept) : len(kept) + len(chosen)] = _bits(features)
            kept += chosen
    return patches, kept, {"side": settings.image.side, "patches": shape[0], "width": shape[1]}


def _bits(tensor: torch.Tensor) -> np.ndarray:
    return tensor.to(torch.bfloat16).cpu().contiguous().view(torch.uint16).numpy()


def _kept(out: Path | None, name: str, values: np.ndarray) -> np.ndarray:
    array = new_array(out, name, values.shape, values.dtype)
    array[:] = values
    return array


def _progress(items: Iterable[Any], what: str) -> Iterable[Any]:
    return tqdm(items, desc=what, disable=None, leave=False)
