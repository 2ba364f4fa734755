"""Linear learners of level 1: ``intercept + Z @ coefficients`` over the members' log prices Z (n, m).

``ridge`` and ``elasticnet`` minimise squared error and so aim at the conditional mean; ``smape_linear`` minimises SMAPE
itself over free coefficients, which weights on the simplex cannot have: members are shrunk and biased, so that the best
combination often sums to more than one and takes some of them back.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pricing.config.ensemble import EnsembleConfig
from pricing.metrics.smape import Floats

_MARGIN = 2.3
"""ln(10): how far outside of the learnt log prices a member's, seen from its own median, is believable. Learners
subtract members that err alike, which a cut spoils, so little is cut: with ln(1.35) 2,000 heavy-tailed rows gain 0.6
SMAPE instead of 0.2, but on normal errors the stack is more than 0.05 worse than ridge."""


@dataclass(frozen=True)
class LinearModel:
    """``intercept + Z @ coefficients``, Z clipped to what is believable.

    Attributes
    ----------
    intercept : float
        In log price.
    coefficients : ndarray of shape (m,)
        One a member.
    low, high : ndarray of shape (m,), optional
        Least and largest log price of each member, see `believable`; None clips nothing.
    """

    intercept: float
    coefficients: Floats
    low: Floats | None = None
    high: Floats | None = None

    def clipped(self, members: Floats) -> Floats:
        """The members' log prices of shape (n, m) as the model sees them."""
        return members if self.low is None else np.clip(members, self.low, self.high)

    def predict(self, members: Floats) -> Floats:
        """Log prices of shape (n,) for members of shape (n, m)."""
        seen = self.clipped(members)
        # a column at a time, always in this order: a BLAS product may round differently for another number of rows
        total = np.full(len(members), self.intercept)
        for j, coefficient in enumerate(self.coefficients):
            if coefficient != 0:
                total += coefficient * seen[:, j]
        return total


def believable(members: Floats, log_true: Floats) -> tuple[Floats, Floats]:
    """Least and largest believable log price of each member, two arrays of shape (m,).

    The range of the true prices and a factor of ten, moved to the member's median, so that a member that is off by a
    constant factor keeps its range. One price of 1e-300 among 2,000, which is -691 in log space, would otherwise decide
    what least squares makes of its member.
    """
    middle = np.median(log_true)
    centre = np.median(members, axis=0)
    return centre + (log_true.min() - middle - _MARGIN), centre + (log_true.max() - middle + _MARGIN)


def fit_ridge(members: Floats, log_true: Floats, config: EnsembleConfig) -> LinearModel:
    """Ridge regression on the standardised members."""
    from sklearn.linear_model import Ridge

    return _standardised(members, log_true, Ridge(alpha=config.ridge_alpha, solver="cholesky"))


def fit_elasticnet(members: Floats, log_true: Floats, config: EnsembleConfig) -> LinearModel:
    """ElasticNet on the standardised members."""
    from sklearn.linear_model import ElasticNet

    net = ElasticNet(
        alpha=config.elasticnet_alpha, l1_ratio=config.elasticnet_l1_ratio, max_iter=20_000, tol=1e-5, precompute=True
    )
    return _standardised(members, log_true, net)


def _standardised(members: Floats, log_true: Floats, estimator: Any) -> LinearModel:
    centre, scale = members.mean(axis=0), members.std(axis=0)
    scale = np.where(scale > 1e-12, scale, 1.0)  # a constant member gets no say
    fitted = estimator.fit((members - centre) / scale, log_true)
    coefficients = np.asarray(fitted.coef_, dtype=np.float64) / scale
    return LinearModel(float(fitted.intercept_ - coefficients @ centre), coefficients)


def fit_smape_linear(members: Floats, log_true: Floats, start: Floats, *, pull: float) -> LinearModel:
    """Free coefficients and intercept that minimise SMAPE, by L-BFGS from the simplex weights.

    The loss is ``mean 200 tanh(|d| / 2) + 100 (pull / n) |w - w0|^2`` with d = intercept + Z w - y: the penalty draws
    the coefficients to the simplex weights w0, so that few rows cannot lead far away from them.

    Parameters
    ----------
    members : ndarray of shape (n, m)
        Log prices.
    log_true : ndarray of shape (n,)
        True log prices.
    start : ndarray of shape (m,)
        Simplex weights w0.
    pull : float
        Strength of the penalty, as a number of rows.
    """
    from scipy.optimize import minimize

    n = len(log_true)
    centre = members.mean(axis=0)
    centred = members - centre
    strength = 100 * pull / n

    def loss(point: Floats) -> tuple[float, Floats]:
        half = np.tanh((centred @ point[1:] + point[0] - log_true) / 2)  # (n,)
        slope = (1 - half * half) * np.sign(half) * (100 / n)
        off = point[1:] - start
        gradient = np.concatenate([[slope.sum()], centred.T @ slope + 2 * strength * off])
        return float(200 * np.abs(half).mean() + strength * off @ off), gradient

    first = np.concatenate([[start @ centre], start])
    found = minimize(loss, first, jac=True, method="L-BFGS-B", options={"maxiter": 200, "ftol": 1e-9})
    point = found.x if np.isfinite(found.x).all() and found.fun <= loss(first)[0] else first
    coefficients = np.asarray(point[1:], dtype=np.float64)
    return LinearModel(float(point[0] - coefficients @ centre), coefficients)
