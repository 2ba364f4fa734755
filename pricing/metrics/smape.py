"""SMAPE of log prices, the figure that every stage is judged by.

With d the difference of two log prices, one row's SMAPE ``200 |p - q| / (p + q)`` is exactly ``200 tanh(|d| / 2)``. The
metrics of prices are in :mod:`pricing.metrics.price_metrics`.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def smape_rows(log_pred: ArrayLike, log_true: ArrayLike) -> Floats:
    """SMAPE of each row in percent (0 to 200) from log prices of any shapes that broadcast; in double precision."""
    difference = np.asarray(log_pred, dtype=np.float64) - np.asarray(log_true, dtype=np.float64)
    return 200.0 * np.tanh(np.abs(difference) / 2.0)


def smape_of_logs(log_pred: ArrayLike, log_true: ArrayLike) -> float:
    """Mean SMAPE in percent (0 to 200) from log prices (n,), (n,)."""
    return float(smape_rows(log_pred, log_true).mean())
