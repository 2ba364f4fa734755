"""Bootstrap intervals of SMAPE, and the paired comparison of two models.

Percentile bootstrap over rows (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). Near
duplicates make rows dependent, so a group of rows may be resampled as a whole.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pricing.errors import PredictionsError
from pricing.metrics.price_metrics import check_pair, smape_per_row

_BLOCK = 4_000_000
"""Most random indices held at once (32 MB)."""


@dataclass(frozen=True)
class Interval:
    """A mean with its interval, in the unit of what was averaged."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Model B against model A on the same rows; ``difference`` is SMAPE(B) - SMAPE(A), so negative favours B."""

    difference: Interval
    rows: int

    @property
    def beyond_noise(self) -> bool:
        """Whether the interval of the difference excludes 0."""
        return self.difference.low > 0 or self.difference.high < 0


def bootstrap_interval(
    values: ArrayLike, *, resamples: int = 1000, level: float = 0.95, seed: int = 0, groups: ArrayLike | None = None
) -> Interval:
    """Percentile bootstrap interval of the mean.

    Parameters
    ----------
    values : array-like of shape (n,)
        One number a row, e.g. of `smape_per_row`.
    resamples : int
        Number of resamples.
    level : float
        Coverage, 0 to 1.
    groups : array-like of shape (n,), optional
        Rows of equal group are drawn together.

    Raises
    ------
    PredictionsError
        Empty or non-finite values, or group names of another length.
    """
    numbers, _ = check_pair(values, values)
    if not 0 < level < 1 or resamples < 1:
        raise PredictionsError(f"expected 0 < level < 1 and resamples >= 1, got {level} and {resamples}")
    mean = float(numbers.mean())
    sums, counts = _by_group(numbers, groups)
    rng = np.random.default_rng(seed)
    n = sums.size
    step = max(1, _BLOCK // n)
    means = np.empty(resamples)
    for start in range(0, resamples, step):
        drawn = rng.integers(0, n, size=(min(step, resamples - start), n))
        means[start : start + len(drawn)] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(low), float(high))


def _by_group(
    numbers: NDArray[np.float64], groups: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if groups is None:
        return numbers, np.ones_like(numbers)
    names = np.asarray(groups)
    if names.shape != numbers.shape:
        raise PredictionsError(f"{names.size} group names for {numbers.size} rows")
    _, index = np.unique(names, return_inverse=True)
    return np.bincount(index, weights=numbers).astype(np.float64), np.bincount(index).astype(np.float64)


def compare_predictions(
    y_true: ArrayLike,
    pred_a: ArrayLike,
    pred_b: ArrayLike,
    *,
    resamples: int = 1000,
    seed: int = 0,
    groups: ArrayLike | None = None,
) -> Comparison:
    """Compare two sets of predicted prices on the same rows by the bootstrap of their row-wise SMAPE difference.

    Pairing takes out what both models find hard, so that the interval is much narrower than those of the two figures.

    Parameters
    ----------
    y_true, pred_a, pred_b : array-like of shape (n,)
        Prices.
    """
    rows_a, rows_b = smape_per_row(y_true, pred_a), smape_per_row(y_true, pred_b)
    interval = bootstrap_interval(rows_b - rows_a, resamples=resamples, seed=seed, groups=groups)
    return Comparison(interval, rows_a.size)
