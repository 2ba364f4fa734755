"""Predictions of a trained network, by batches of one shape per text length.

A row's prediction depends in its last bits (in bfloat16 in its third digit) on the shape of the batch that it is
computed in. So a text is padded to the next multiple of 8 of its own length, a batch is filled up to the same number of
rows, and there are as many images as rows, blank ones included. On a CPU such a batch is one row; the few products
behind text and image are computed for as many rows as on a GPU: see docs/decisions/0004-batch-shapes.md.
"""

import copy
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from pricing.errors import TrainingError
from pricing.members.multimodal.dataset import AmazonMLDataset, collate, get_dataloader
from pricing.members.multimodal.inputs import ImageFiles
from pricing.members.multimodal.network import Batch
from pricing.members.multimodal.optimisation import Precision, rows_per_batch
from pricing.members.multimodal.ranks import Ranks
from pricing.pretrained.text import shape_batches


@torch.inference_mode()
def predict(
    model: Any,
    dataset: AmazonMLDataset,
    precision: Precision,
    *,
    rows: np.ndarray | None = None,
    batch_size: int = 32,
    workers: int = 0,
) -> np.ndarray:
    """Log prices (n,) float64, in the data set's order; processes that train together share the rows.

    A row's price is the same to the last bit whatever other rows stand beside it. So a text and image that several rows
    share is read once.

    Parameters
    ----------
    model : OptimizedMultimodalModel or TextPriceModel
        What it does with a batch are its ``sequences``, ``vectors`` and ``answer``.
    batch_size : int
        Rows of every batch, those that fill it up included; for ``sequences`` as `rows_per_batch` says.
    rows : (m,) ints, optional
        Only these rows; every other one's price is 0.

    Raises
    ------
    TrainingError
        A prediction is not finite; names the row.
    """
    device = next(model.parameters()).device
    size = rows_per_batch(batch_size, device)
    ranks = Ranks()
    was_training = model.training
    if was_training:
        model.eval()
    rows = np.arange(len(dataset)) if rows is None else rows
    # dealt out in order of length, so that every process gets as many tokens
    mine = rows[np.argsort(dataset.lengths[rows], kind="stable")][ranks.rank :: ranks.size] if ranks.size > 1 else rows
    result = np.zeros(len(dataset))
    _, first, same = np.unique(dataset.seen[mine], return_index=True, return_inverse=True)
    read = mine[np.sort(first)]
    groups = [read[places] for _, places in shape_batches(dataset.lengths[read], batch_size, sys.maxsize)]
    batches = [group[start : start + size].tolist() for group in groups for start in range(0, len(group), size)]
    shape = None if dataset.images is None else dataset.images.shape
    kept: list[torch.Tensor] = []
    # without processes a loader only adds its start to each product
    loaded: Iterator[Batch] = (collate([dataset[row] for row in batch]) for batch in batches)
    if workers:
        loaded = iter(get_dataloader(dataset, size, shuffle=False, workers=workers, batches=batches))
    for group in groups:
        parts = []
        for batch in islice(loaded, -(-len(group) // size)):
            filled = _filled(batch, size, shape).to(device)
            with precision.autocast():
                found = (filled.mask, filled.image_mask, *model.sequences(filled))
            parts.append([None if part is None else part[: len(batch.rows)] for part in found])
        mask, image_mask, text, image = (_joined(part, batch_size) for part in zip(*parts, strict=True))
        if mask is not None:
            mask[len(group) :, 0] = True  # a blank row attends to its padding rather than to nothing
        with precision.autocast():
            vectors = model.vectors(mask, image_mask, text, image)
        kept = kept or [vector.new_zeros(len(dataset), vector.shape[1]) for vector in vectors]
        for whole, vector in zip(kept, vectors, strict=True):
            whole[torch.from_numpy(group).to(device)] = vector[: len(group)]
    for whole in kept if len(read) < len(mine) else ():
        whole[torch.from_numpy(mine).to(device)] = whole[torch.from_numpy(mine[first][same]).to(device)]
    for start in range(0, len(mine), batch_size):
        places = torch.from_numpy(mine[start : start + batch_size])
        tabular, *vectors = (
            _padded(values[places.to(values.device)], batch_size).to(device) for values in (dataset.tabular, *kept)
        )  # (size, F), (size, D) ...
        with precision.autocast():
            result[places.numpy()] = model.answer(tabular, vectors)[: len(places)].float().cpu().numpy()
    if was_training:
        model.train()
    result = ranks.total(result, device)
    if not np.isfinite(result).all():
        row = int(np.flatnonzero(~np.isfinite(result))[0])
        raise TrainingError(f"the network's prediction for sample_id {dataset.ids[row]!r} is not finite")
    return result


def _filled(batch: Batch, size: int, shape: tuple[int, ...] | None) -> Batch:
    """The batch with blank rows behind its own, ``size`` in all, its texts padded to a multiple of 8, and ``size``
    images of the given shape, blank ones behind those that are there."""
    more = size - len(batch.rows)
    tokens, mask, images, image_mask = batch.tokens, batch.mask, batch.images, batch.image_mask
    if tokens is not None and mask is not None:
        longer = -mask.shape[1] % 8
        tokens = F.pad(tokens, (*(0, 0) * (tokens.ndim - 2), 0, longer, 0, more))  # (size, T[, H])
        mask = F.pad(mask, (0, longer, 0, more))  # (size, T)
        # a blank row attends to its padding rather than to nothing
        mask[len(batch.rows) :, 0] = True
    if shape is not None and image_mask is not None:
        there = torch.empty(0, *shape) if images is None else images
        images = torch.cat([there, torch.zeros(size - len(there), *shape, dtype=there.dtype)])  # (size, ...)
        image_mask = F.pad(image_mask, (0, more))  # (size,)
    return replace(batch, tokens=tokens, mask=mask, images=images, image_mask=image_mask)


def _padded(values: torch.Tensor, size: int) -> torch.Tensor:
    """As many rows, zeros behind those that are there."""
    return F.pad(values, (*(0, 0) * (values.ndim - 1), 0, size - len(values)))


def _joined(parts: tuple[Any, ...], size: int) -> Any:
    """Rows of several tensors one after the other, filled up to ``size``; None where there are none."""
    return None if parts[0] is None else _padded(torch.cat(parts), size)


def predict_with_tta(
    model: Any,
    dataset: AmazonMLDataset,
    precision: Precision,
    views: int,
    *,
    batch_size: int = 32,
    workers: int = 0,
) -> np.ndarray:
    """Mean log price (n,) over what can be seen of a row.

    That is: the plain view; the further windows of a text that is longer than one (see
    `pricing.pretrained.text.text_windows`), as far as the data set has them; and ``views - 1`` augmented views of the
    images (flips and crops), where they are decoded here. Kept activations of images cannot be augmented. Each is
    the same for a row whatever other rows stand beside it.
    """
    total = predict(model, dataset, precision, batch_size=batch_size, workers=workers)
    seen = np.ones(len(dataset))
    more: list[tuple[np.ndarray, str, Any]] = []
    if (text := dataset.text) is not None:
        windows = range(1, int(text.counts.max(initial=1)))
        more += [(np.flatnonzero(text.counts > number), "text", text.window(number)) for number in windows]
    if isinstance(images := dataset.images, ImageFiles):
        more += [(np.flatnonzero(images.present), "images", images.view(number)) for number in range(1, views)]
    for rows, name, source in more:
        other = copy.copy(dataset)
        setattr(other, name, source)
        total += predict(model, other, precision, rows=rows, batch_size=batch_size, workers=workers)
        seen[rows] += 1
    return total / seen
