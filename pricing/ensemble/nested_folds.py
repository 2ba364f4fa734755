"""Folds of the nested cross-fitting."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pricing.errors import PredictionsError
from pricing.metrics.smape import Floats

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


def cross_fitted(folds: Ints, predict: Callable[[Mask, Mask], Floats]) -> Floats:
    """Each fold's values by something that did not see the fold, shape (n,).

    Parameters
    ----------
    folds : ndarray of int, shape (n,)
        Fold of each row.
    predict : callable
        Takes two masks of shape (n,): rows to fit on, and rows to give the values of.
    """
    values = np.empty(len(folds))
    for fold in np.unique(folds):
        out = folds == fold
        values[out] = predict(~out, out)
    return values


def nesting_folds(folds: Ints, most: int) -> Ints:
    """Between three and ``most`` folds for nesting, from those that the members were trained on.

    More folds are put together, whole ones and the largest first, into parts of about equal size: the number of fits
    grows with the square of the number of folds, and rows that shared a fold stay together. Two folds are split in
    halves by position, because nesting needs three.

    Parameters
    ----------
    folds : ndarray of int, shape (n,)
        Fold of each row.
    most : int
        3 or more.

    Returns
    -------
    ndarray of int, shape (n,)
        The same labels where there are three to ``most`` of them.

    Raises
    ------
    PredictionsError
        Fewer than two folds.
    """
    labels, index, counts = np.unique(folds, return_inverse=True, return_counts=True)
    if len(labels) < 2:
        raise PredictionsError(f"expected at least two folds, got {labels.tolist()}")
    if len(labels) == 2:
        half = np.zeros(len(folds), dtype=np.int64)
        for label in labels:
            half[np.flatnonzero(folds == label)[1::2]] = 1
        return index.astype(np.int64) * 2 + half
    if len(labels) <= most:
        return folds.astype(np.int64)
    part = np.zeros(len(labels), dtype=np.int64)
    sizes = np.zeros(most, dtype=np.int64)
    for label in np.argsort(-counts, kind="stable"):
        part[label] = int(np.argmin(sizes))
        sizes[part[label]] += counts[label]
    return part[index]
