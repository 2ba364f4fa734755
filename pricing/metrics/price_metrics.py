"""Metrics of predicted prices.

Prices are plain prices (not logs) everywhere in this module. SMAPE is in percent, 0 to 200, as the challenge defines
it; for one row with log difference d = ln p - ln y it is exactly ``200 tanh(|d| / 2)``.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pricing.errors import PredictionsError
from pricing.metrics.smape import Floats


def check_pair(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Floats, Floats]:
    """Both arrays as float64 of shape (n,), n > 0, all finite.

    Raises
    ------
    PredictionsError
        Other than one dimension, different lengths, empty, NaN or infinite; names the first such position.
    """
    true, predicted = np.asarray(y_true), np.asarray(y_pred)
    if true.ndim != 1 or predicted.ndim != 1 or true.shape != predicted.shape:
        raise PredictionsError(
            f"metrics need two one-dimensional arrays of equal length, got shapes {true.shape} (true) and "
            f"{predicted.shape} (predicted); flatten them or align the rows"
        )
    if true.size == 0:
        raise PredictionsError("metrics of zero rows are not defined, got empty arrays; pass at least one row")
    checked = []
    for name, values in (("true", true), ("predicted", predicted)):
        try:
            numbers = values.astype(np.float64)
        except (TypeError, ValueError):
            raise PredictionsError(f"{name} values are not numbers, got dtype {values.dtype}") from None
        bad = np.flatnonzero(~np.isfinite(numbers))
        if bad.size:
            raise PredictionsError(
                f"{bad.size} of {numbers.size} {name} values are not finite, the first is {numbers[bad[0]]} at "
                f"position {bad[0]}; fill or drop them first"
            )
        checked.append(numbers)
    return checked[0], checked[1]


def smape_per_row(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """SMAPE of each row in percent, ``200 |p - y| / (|p| + |y|)``, and 0 where both are 0.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
        Prices.

    Returns
    -------
    ndarray of shape (n,), float64
        0 to 200.

    Raises
    ------
    PredictionsError
        Shapes differ, zero rows, a value that is not finite.
    """
    true, predicted = check_pair(y_true, y_pred)
    # halves first: the sum of two huge prices must not overflow
    true, predicted = true / 2, predicted / 2
    size = np.abs(true) + np.abs(predicted)
    ratio = np.divide(np.abs(predicted - true), size, out=np.zeros_like(size), where=size > 0)
    return 200.0 * ratio


def calculate_smape(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Symmetric mean absolute percentage error in percent, 0 (perfect) to 200.

    ``100 / n * sum |p - y| / ((|p| + |y|) / 2)``; a row whose price and prediction are both 0 counts as perfect.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
        Prices, not log prices.

    Raises
    ------
    PredictionsError
        Shapes differ, zero rows, a value that is not finite.

    Examples
    --------
    >>> calculate_smape([100.0, 0.0], [120.0, 0.0])
    9.090909090909092
    """
    return float(smape_per_row(y_true, y_pred).mean())


def smape_scorer(*, log_target: bool = True) -> Callable[[Any, Any, ArrayLike], float]:
    """A scikit-learn scorer (greater is better): the negative SMAPE of prices.

    Parameters
    ----------
    log_target : bool
        Whether the estimator was fitted on log prices, so that target and prediction are turned into prices first.

    Returns
    -------
    callable ``(estimator, X, y) -> float``
        For ``cross_val_score(..., scoring=smape_scorer())`` and searches.
    """

    def score(estimator: Any, X: Any, y: ArrayLike) -> float:
        predicted = np.asarray(estimator.predict(X))
        if log_target:
            return -calculate_smape(log_to_price(y), log_to_price(predicted))
        return -calculate_smape(y, predicted)

    return score


def log_to_price(log_price: ArrayLike) -> Floats:
    """Prices of natural log prices: ``exp``."""
    return np.exp(np.asarray(log_price, dtype=np.float64))


def evaluate_predictions(y_true: ArrayLike, y_pred: ArrayLike) -> dict[str, float]:
    """All metrics of one set of predicted prices.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
        Prices, not log prices.

    Returns
    -------
    dict
        ``rows``; ``smape``, ``mdape`` (median absolute percentage error of the rows with a price above 0), ``bias``
        (mean of ln p - ln y as percent; above 0 the predictions are high on average) and ``within_10``,
        ``within_25``, ``within_50`` (rows at most that far from the true price), all in percent; ``mae`` and ``rmse``
        in the unit of the price; ``rmsle`` (root mean square of ln(1 + p) - ln(1 + y)); ``r2`` (1 - SSE / SST of
        prices; 0 where all true prices are equal and the predictions are not, 1 where they are too).

    Raises
    ------
    PredictionsError
        Shapes differ, zero rows, a value that is not finite or is negative.
    """
    true, predicted = check_pair(y_true, y_pred)
    for name, values in (("true", true), ("predicted", predicted)):
        if values.min() < 0:
            position = int(values.argmin())
            raise PredictionsError(f"{name} price {values[position]} at position {position} is negative")
    error = predicted - true
    priced = true > 0
    relative = np.abs(error[priced]) / true[priced]
    both = priced & (predicted > 0)
    logs = np.log(predicted[both]) - np.log(true[both])
    spread = float(np.square(true - true.mean()).sum())
    residual = float(np.square(error).sum())
    return {
        "rows": int(true.size),
        "smape": calculate_smape(true, predicted),
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt(np.square(error).mean())),
        "rmsle": float(np.sqrt(np.square(np.log1p(predicted) - np.log1p(true)).mean())),
        "mdape": float(100 * np.median(relative)) if relative.size else 0.0,
        "r2": 1 - residual / spread if spread > 0 else float(residual == 0),
        "bias": float(100 * np.expm1(logs.mean())) if logs.size else 0.0,
        **{f"within_{share}": _within(relative, share) for share in (10, 25, 50)},
    }


def _within(relative: Floats, share: int) -> float:
    # the bound is inclusive, and 110 against 100 must count as within 10 % although 110 / 100 - 1 > 0.1 in floats
    return float(100 * (relative <= share / 100 + 1e-12).mean()) if relative.size else 0.0


def calculate_metrics_by_quantile(y_true: ArrayLike, y_pred: ArrayLike, n_quantiles: int = 4) -> list[dict[str, float]]:
    """All metrics in each quantile of the true price, cheapest first.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
        Prices.
    n_quantiles : int
        Number of parts of equal size. Equal prices never part, so there are fewer and uneven ones where prices
        repeat much.

    Returns
    -------
    list of dict
        Those of `evaluate_predictions` and ``quantile`` (0 is the cheapest), ``low``, ``high`` (lowest and highest
        true price in it). The parts are disjoint and hold every row.

    Raises
    ------
    PredictionsError
        As `evaluate_predictions`, or ``n_quantiles`` below 1.
    """
    true, predicted = check_pair(y_true, y_pred)
    if n_quantiles < 1:
        raise PredictionsError(f"n_quantiles must be at least 1, got {n_quantiles}")
    edges = np.quantile(true, np.linspace(0, 1, n_quantiles + 1)[1:-1])
    part = np.searchsorted(edges, true, side="left")
    rows = []
    for quantile in np.unique(part):
        chosen = part == quantile
        rows.append(
            {
                "quantile": float(quantile),
                "low": float(true[chosen].min()),
                "high": float(true[chosen].max()),
                **evaluate_predictions(true[chosen], predicted[chosen]),
            }
        )
    return rows


def metrics_by_group(y_true: ArrayLike, y_pred: ArrayLike, groups: Sequence[str]) -> dict[str, dict[str, float]]:
    """All metrics in each named group (a category, with or without image, ...), in order of name.

    Raises
    ------
    PredictionsError
        As `evaluate_predictions`, or another number of group names than of rows.
    """
    true, predicted = check_pair(y_true, y_pred)
    names = np.asarray(groups, dtype=str)
    if names.shape != true.shape:
        raise PredictionsError(f"{names.size} group names for {true.size} rows")
    return {str(name): evaluate_predictions(true[names == name], predicted[names == name]) for name in np.unique(names)}
