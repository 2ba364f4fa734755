"""Predictions of a trained network, by batches of like length."""

import copy
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from pricing.errors import TrainingError
from pricing.neural.dataset import AmazonMLDataset, get_dataloader
from pricing.neural.optimisation import Precision
from pricing.neural.ranks import Ranks
from pricing.neural.sources import PictureFiles

__all__ = ["predict", "predict_with_tta"]


class _Some(Dataset[Any]):
    """Some rows of a data set, under the numbers that they have there."""

    def __init__(self, dataset: AmazonMLDataset, rows: np.ndarray) -> None:
        self.dataset, self.rows, self.lengths = dataset, rows, dataset.lengths[rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> dict[str, Any]:
        return self.dataset[int(self.rows[place])]


@torch.inference_mode()
def predict(
    model: nn.Module,
    dataset: AmazonMLDataset,
    precision: Precision,
    *,
    rows: np.ndarray | None = None,
    batch_size: int = 64,
    workers: int = 0,
) -> np.ndarray:
    """Log prices (n,) float64, in the data set's order; processes that train together share the rows.

    Parameters
    ----------
    rows : (m,) ints, optional
        Only these rows; every other one's price is 0.

    Raises
    ------
    TrainingError
        A prediction is not finite; names the row.
    """
    device = next(model.parameters()).device
    ranks = Ranks()
    was_training = model.training
    model.eval()
    rows = np.arange(len(dataset)) if rows is None else rows
    # dealt out in order of length, so that every process gets as many tokens
    mine = rows[np.argsort(dataset.lengths[rows], kind="stable")][ranks.rank :: ranks.size] if ranks.size > 1 else rows
    result = np.zeros(len(dataset))
    some: Any = _Some(dataset, mine)
    for batch in get_dataloader(some, batch_size, shuffle=False, workers=workers):
        with precision.autocast():
            prediction = model(batch.to(device))
        result[batch.rows.numpy()] = prediction.float().cpu().numpy()
    model.train(was_training)
    result = ranks.total(result, device)
    if not np.isfinite(result).all():
        row = int(np.flatnonzero(~np.isfinite(result))[0])
        raise TrainingError(f"the network's prediction for sample_id {dataset.ids[row]!r} is not finite")
    return result


def predict_with_tta(
    model: nn.Module,
    dataset: AmazonMLDataset,
    precision: Precision,
    views: int,
    *,
    batch_size: int = 64,
    workers: int = 0,
) -> np.ndarray:
    """Mean log price (n,) over what can be seen of a row.

    That is: the plain view; the further windows of a text that is longer than one (see
    `pricing.pretrained.text.text_windows`), as far as the data set has them; and ``views - 1`` augmented views of the
    pictures (flips and crops), where they are decoded here. Kept activations of pictures cannot be augmented. Each is
    the same for a row whatever other rows stand beside it.
    """
    total = predict(model, dataset, precision, batch_size=batch_size, workers=workers)
    seen = np.ones(len(dataset))
    if dataset.text is not None:
        for number in range(1, int(dataset.text.counts.max(initial=1))):
            rows = np.flatnonzero(dataset.text.counts > number)
            other = copy.copy(dataset)
            other.text = dataset.text.window(number)
            total += predict(model, other, precision, rows=rows, batch_size=batch_size, workers=workers)
            seen[rows] += 1
    if isinstance(dataset.pictures, PictureFiles):
        rows = np.flatnonzero(dataset.pictures.present)
        for number in range(1, views):
            other = copy.copy(dataset)
            other.pictures = dataset.pictures.view(number)
            total += predict(model, other, precision, rows=rows, batch_size=batch_size, workers=workers)
            seen[rows] += 1
    return total / seen
