"""Predictions of a trained network, by batches of like length."""

import copy

import numpy as np
import torch
from torch import nn

from pricing.errors import TrainingError
from pricing.neural.dataset import AmazonMLDataset, get_dataloader
from pricing.neural.optimisation import Precision

__all__ = ["predict", "predict_with_tta"]


@torch.inference_mode()
def predict(
    model: nn.Module, dataset: AmazonMLDataset, precision: Precision, *, batch_size: int = 64, workers: int = 0
) -> np.ndarray:
    """Log prices (n,) float64, in the data set's order.

    Raises
    ------
    TrainingError
        A prediction is not finite; names the row.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    result = np.full(len(dataset), np.nan)
    for batch in get_dataloader(dataset, batch_size, shuffle=False, workers=workers):
        with precision.autocast():
            prediction = model(batch.to(device))
        result[batch.rows.numpy()] = prediction.float().cpu().numpy()
    model.train(was_training)
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
    """Mean log price (n,) over the plain view and ``views - 1`` augmented ones (flips and crops of the pictures).

    Kept activations cannot be augmented, so there every view is the plain one, which is then computed once.
    """
    plain = predict(model, dataset, precision, batch_size=batch_size, workers=workers)
    if views == 1 or getattr(dataset.pictures, "augmented", None) is None:
        return plain
    total = plain
    shaken = copy.copy(dataset)
    shaken.training = True
    for view in range(1, views):
        shaken.epoch = -view  # seeds of its own, never those of a training epoch
        total = total + predict(model, shaken, precision, batch_size=batch_size, workers=workers)
    return total / views
