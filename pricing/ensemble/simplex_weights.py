"""Weights on the simplex that minimise SMAPE itself.

In log space the SMAPE of one row is ``200 tanh(|d| / 2)`` with d = ln p - ln y, so that the mean over rows is a bounded
and not convex function of the weights w with p = Z w. Its gradient is ``100 sech^2(d / 2) sign(d) z``.
"""

import numpy as np

from pricing.metrics.smape import Floats, smape_of_logs

_SEARCH_ROWS = 8_000
"""Rows on which the starts compete; only the winner is polished on all rows."""


def beyond_luck(gain: Floats) -> bool:
    """Whether a mean gain of shape (n,) exceeds its standard error: the price of adding a part to the stack."""
    return bool(gain.mean() > gain.std() / np.sqrt(len(gain)))


def optimise_weights(columns: Floats, log_true: Floats, *, starts: int, seed: int) -> Floats:
    """Non-negative weights that sum to one and minimise the SMAPE of the weighted log prices.

    SLSQP (scipy.optimize) from the plain mean, from the best single column and from random points of the simplex,
    because the loss is not convex; the best end point is polished on all rows. Never worse than the plain mean and the
    best single column on the rows given.

    Parameters
    ----------
    columns : ndarray of shape (n, m)
        Log prices, one column a model.
    log_true : ndarray of shape (n,)
        True log prices.
    starts : int
        Number of starts.
    seed : int
        Of the random starts and of the rows on which the starts compete.

    Returns
    -------
    ndarray of shape (m,), float64
        >= 0, sum 1.
    """
    m = columns.shape[1]
    if m == 1:
        return np.ones(1)
    rng = np.random.default_rng(seed)
    some = np.arange(len(columns))
    if len(some) > _SEARCH_ROWS:
        some = np.sort(rng.choice(len(some), _SEARCH_ROWS, replace=False))
    few, few_true = np.ascontiguousarray(columns[some]), log_true[some]
    singles = [smape_of_logs(columns[:, j], log_true) for j in range(m)]
    single = np.eye(m)[int(np.argmin(singles))]
    mean = np.full(m, 1 / m)
    # just beside the corner: exactly on it the other columns' gradients are all that SLSQP sees
    begin = [mean, 0.9 * single + 0.1 * mean, *rng.dirichlet(np.ones(m), size=max(0, starts - 2))][:starts]
    ends = [_descend(few, few_true, start) for start in begin]
    best = min(ends, key=lambda weights: smape_of_logs(few @ weights, few_true))
    candidates = [_descend(columns, log_true, best), single, mean]
    return min(candidates, key=lambda weights: smape_of_logs(columns @ weights, log_true))


def _descend(columns: Floats, log_true: Floats, start: Floats) -> Floats:
    from scipy.optimize import minimize

    n = len(columns)

    def loss(weights: Floats) -> tuple[float, Floats]:
        half = np.tanh((columns @ weights - log_true) / 2)  # (n,)
        slope = 100 * (1 - half * half) * np.sign(half)
        return float(200 * np.abs(half).mean()), columns.T @ slope / n

    total = {"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones_like(w)}
    options = {"maxiter": 60, "ftol": 1e-5}
    bounds = [(0.0, 1.0)] * len(start)
    end = minimize(loss, start, jac=True, method="SLSQP", bounds=bounds, constraints=total, options=options).x
    if not np.isfinite(end).all() or end.sum() <= 0:
        return start
    # SLSQP keeps bounds and sum to 1e-10 or so; crumbs below 1e-6 are its way of saying 0
    kept = np.where(end < 1e-6, 0.0, end)
    return kept / kept.sum()
