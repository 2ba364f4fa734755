r"""SMAPE as a boosting objective.

The trees predict log price. With :math:`d = f - y` the difference of log prices, one row's SMAPE is

.. math:: \frac{2\,|p - q|}{p + q} = 2 \tanh(|d| / 2) =: s(d), \qquad p = e^f,\ q = e^y.

Gradient.  With :math:`\operatorname{sech}^2(d/2) = 4 e^{-|d|} / (1 + e^{-|d|})^2`, a form that loses no digits:

.. math:: s'(d) = \operatorname{sign}(d)\,\operatorname{sech}^2(d / 2).

Hessian.  The true one, :math:`s''(d) = -\operatorname{sech}^2(d/2) \tanh(|d|/2)`, is never positive: s is bounded and
redescending, so a Newton step on it walks uphill, and its absolute value or a constant are arbitrary step lengths.
But s is concave as a function of :math:`d^2`, so the parabola that touches it at :math:`\pm d_0`,

.. math:: q(d) = s(d_0) + \frac{s'(d_0)}{2 d_0} (d^2 - d_0^2),

lies above s everywhere. Its curvature :math:`h(d_0) = s'(d_0) / d_0 = \operatorname{sech}^2(d_0/2) / |d_0|` is the
Hessian used here: each boosting step then minimises a majoriser (MM, iteratively reweighted least squares) and cannot
raise the loss it majorises. At the kink h is infinite, so |d| is floored at :data:`FLOOR`: rows closer than that have
a finite curvature, and a step from there ends within :data:`FLOOR` of the row's price.

Start.  A redescending loss has no pull on rows far away, so boosting must begin at the log-median: the training
functions centre the labels on it and start from zero. Only LightGBM's built-in objectives add a constant of their own
to that (Huber: the mean), which is worth nothing: 50.40 with it, 50.45 without (docs/LOG.md).

References
----------
Hunter and Lange, "A Tutorial on MM Algorithms", The American Statistician 58 (2004).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pricing.metrics.smape import smape_of_logs

FLOOR = 0.1
"""Least |d| in the Hessian, in log price."""

SMALLEST_HESSIAN = 1e-6
"""Keeps the Hessian of a row that is hopelessly far away positive (d over 16 or so)."""

Floats = NDArray[np.floating[Any]]


def smape_gradient_hessian(difference: Floats, floor: float = FLOOR) -> tuple[Floats, Floats]:
    """First derivative of one row's SMAPE, and the curvature of its quadratic majoriser.

    Parameters
    ----------
    difference : ndarray, shape (n,)
        Predicted minus actual log price.
    floor : float
        Least |d| in the Hessian, in log price.

    Returns
    -------
    gradient, hessian : ndarray, shape (n,)
        sign(d) sech^2(d/2), and sech^2(d/2) / max(|d|, floor), which is positive. See the module's derivation.
    """
    distance = np.abs(difference)
    decay = np.exp(-distance)
    slope = 4.0 * decay / np.square(1.0 + decay)  # sech^2(d / 2), in (0, 1]
    hessian = np.maximum(slope / np.maximum(distance, floor), SMALLEST_HESSIAN)
    return np.copysign(slope, difference) * (distance > 0), hessian


def lgb_smape_objective(preds: Floats, train_data: Any) -> tuple[Floats, Floats]:
    """LightGBM objective: ``params["objective"] = lgb_smape_objective``.

    Parameters
    ----------
    preds : ndarray, shape (n,)
        Current scores, log price (centred like the labels).
    train_data : lightgbm.Dataset
        Gives the labels, shape (n,), log price.

    Returns
    -------
    gradient, hessian : ndarray, shape (n,)
        Of 2 tanh(|d| / 2), see :func:`smape_gradient_hessian`.
    """
    return smape_gradient_hessian(preds - train_data.get_label())


def lgb_smape_eval(preds: Floats, eval_data: Any) -> tuple[str, float, bool]:
    """LightGBM metric ``feval=lgb_smape_eval``: ("smape", percent 0 to 200, higher is better: False)."""
    return "smape", smape_of_logs(preds, eval_data.get_label()), False


def xgb_smape_objective(predt: Floats, dtrain: Any) -> tuple[Floats, Floats]:
    """XGBoost objective ``obj=xgb_smape_objective``; shapes and units as :func:`lgb_smape_objective`."""
    return smape_gradient_hessian(predt - dtrain.get_label())


def xgb_smape_eval(predt: Floats, dmatrix: Any) -> tuple[str, float]:
    """XGBoost metric ``custom_metric=xgb_smape_eval``: ("smape", percent 0 to 200)."""
    return "smape", smape_of_logs(predt, dmatrix.get_label())
