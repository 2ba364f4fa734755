"""Greedy ensemble selection with replacement.

Caruana, Niculescu-Mizil, Crew and Ksikes, Ensemble Selection from Libraries of Models, ICML 2004. Its weights are
multiples of one over the number of picks, which makes it hard to overfit.
"""

import numpy as np

from pricing.metrics.smape import Floats, smape_of_logs

_ROWS = 20_000
"""Rows that decide the picks; more would only cost time."""


def select_greedily(columns: Floats, log_true: Floats, *, steps: int, seed: int) -> Floats:
    """Weights of the greedy selection: add, again and again, the model that lowers the mean's SMAPE most.

    Parameters
    ----------
    columns : ndarray of shape (n, m)
        Log prices, one column a model.
    log_true : ndarray of shape (n,)
        True log prices.
    steps : int
        Most picks; the picks up to the best prefix count.

    Returns
    -------
    ndarray of shape (m,), float64
        >= 0, sum 1.
    """
    n, m = columns.shape
    if n > _ROWS:
        some = np.sort(np.random.default_rng(seed).choice(n, _ROWS, replace=False))
        columns, log_true = columns[some], log_true[some]
    counts = np.zeros(m)
    total = np.zeros(len(columns))
    best_counts, best_score = counts, np.inf
    for step in range(1, steps + 1):
        scores = [smape_of_logs((total + columns[:, j]) / step, log_true) for j in range(m)]
        pick = int(np.argmin(scores))
        counts = counts.copy()
        counts[pick] += 1
        total = total + columns[:, pick]
        if scores[pick] < best_score - 1e-9:
            best_counts, best_score = counts, scores[pick]
        elif step - best_counts.sum() >= 8:
            break
    return best_counts / best_counts.sum()
