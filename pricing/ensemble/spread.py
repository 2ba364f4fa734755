"""How far a row's log price may lie from the stack's: a scale for each row, learnt from cross-fitted residuals.

The residual's absolute value is taken as Laplace with scale ``s(x) = exp(b @ f(x))``, whose negative log likelihood
``mean |r| / s(x) + ln s(x)`` is convex in b; f holds how the members disagree and what the price is about. The scale
normalises the conformal intervals and the SMAPE-optimal decision; neither needs the residuals to be Laplace.

New rows are predicted by the mean of the fold models, which agree more with one another than the single fold models
behind the out-of-fold rows (their standard deviation is a seventh smaller on the real rows), so that the same s would
be too small there. `SpreadModel.matched` moves it so that its mean log over unlabelled new rows is what it was on the
old ones.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pricing.errors import ArtifactError
from pricing.metrics.smape import Floats

_CAP = 3.0
"""Largest residual that counts as such: e^3 is a factor of twenty."""
_RANGE = (0.02, 3.0)
"""Least and largest spread: no price is known to within two percent."""
_FEWEST = 200
"""Rows whose mean says something."""


@dataclass(frozen=True)
class SpreadModel:
    """``exp(coefficients @ f(x))``, f standardised.

    Attributes
    ----------
    centre, scale, coefficients : ndarray of shape (p,)
        Of f; its first column is the constant.
    members : tuple of int
        Columns of the members' matrix that f is made of.
    mean_log : float
        Mean log spread of the rows it was fitted on.
    """

    members: tuple[int, ...]
    centre: Floats
    scale: Floats
    coefficients: Floats
    mean_log: float

    def matched(self, members: Floats, stack: Floats) -> "SpreadModel":
        """The same model with a constant that gives rows like these the mean log spread of the rows it was fitted on.

        Parameters
        ----------
        members : ndarray of shape (n, m)
            Log prices of rows that are as hard as those, on the whole; under 200 of them change nothing.
        stack : ndarray of shape (n,)
            The stack's log price.
        """
        if len(stack) < _FEWEST:
            return self
        coefficients = self.coefficients.copy()
        coefficients[0] += self.mean_log - float(np.log(self.predict(members, stack)).mean())
        return replace(self, coefficients=coefficients)

    def predict(self, members: Floats, stack: Floats) -> Floats:
        """Spreads of shape (n,), in log price.

        Parameters
        ----------
        members : ndarray of shape (n, m)
            Log prices.
        stack : ndarray of shape (n,)
            The stack's log price.
        """
        columns = _columns(members[:, list(self.members)], stack)
        total = np.full(len(stack), self.coefficients[0])
        # a column at a time: the same bits whatever rows are beside it
        for j in range(1, len(self.coefficients)):
            standard = np.clip((columns[:, j] - self.centre[j]) / self.scale[j], -5, 5)
            total += self.coefficients[j] * standard
        return np.clip(np.exp(np.clip(total, -20, 20)), *_RANGE)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {name: np.asarray(value).tolist() for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, record: dict[str, Any], count: int) -> "SpreadModel":
        """The reverse of `to_dict`, for ``count`` members.

        Raises
        ------
        ArtifactError
            Arrays that do not fit together, a value that is not finite, a member that is not there.
        """
        members = tuple(int(one) for one in record["members"])
        centre, scale, found = (np.array(record[name], dtype=float) for name in ("centre", "scale", "coefficients"))
        width = _columns(np.zeros((1, len(members))), np.zeros(1)).shape[1]
        fits = centre.shape == scale.shape == found.shape == (width,)
        if not fits or not np.isfinite(np.concatenate([centre, scale, found])).all() or not (scale > 0).all():
            raise ArtifactError("the ensemble's spread is damaged: expected one finite number a column")
        if not all(0 <= one < count for one in members):
            raise ArtifactError(f"the ensemble's spread names member {max(members)} of {count}")
        return cls(members, centre, scale, found, float(record["mean_log"]))


def _columns(members: Floats, stack: Floats) -> Floats:
    """f(x): constant, price, its square, log of the members' spread, its square, and each member's distance."""
    if not members.shape[1]:
        return np.column_stack([np.ones(len(stack)), stack, stack**2])
    # row by row, or from eight columns on a row's mean would depend on how many rows there are
    off = np.ascontiguousarray(members) - stack[:, None]
    distance = np.abs(off)
    width = np.log(np.sqrt(np.square(off).mean(axis=1)) + 0.02)
    return np.column_stack([np.ones(len(stack)), stack, stack**2, width, width**2, np.log(distance + 0.05)])


def fit_spread(members: Floats, stack: Floats, residuals: Floats, kept: tuple[int, ...]) -> SpreadModel:
    """Fit the scale on residuals of predictions that did not see their own rows.

    Parameters
    ----------
    members : ndarray of shape (n, m)
        Log prices.
    stack : ndarray of shape (n,)
        Cross-fitted log price of the stack.
    residuals : ndarray of shape (n,)
        Log true price minus ``stack``.
    kept : tuple of int
        Members to look at.
    """
    from scipy.optimize import minimize

    columns = _columns(members[:, list(kept)], stack)
    centre, scale = columns.mean(axis=0), columns.std(axis=0)
    centre[0], scale[0] = 0.0, 1.0
    scale = np.where(scale > 1e-9, scale, 1.0)
    standard = np.clip((columns - centre) / scale, -5, 5)
    size = np.minimum(np.abs(residuals), _CAP)
    n = len(size)

    def loss(point: Floats) -> tuple[float, Floats]:
        log_scale = np.clip(standard @ point, -10, 10)
        ratio = size * np.exp(-log_scale)
        # three rows' worth of no effect, so that few rows do not invent one
        off = np.concatenate([[0.0], point[1:]])
        return float((ratio + log_scale).mean() + 3 / n * off @ off), standard.T @ (1 - ratio) / n + 6 / n * off

    first = np.zeros(columns.shape[1])
    first[0] = np.log(max(float(size.mean()), 1e-3))
    found = minimize(loss, first, jac=True, method="L-BFGS-B", options={"maxiter": 200})
    point = np.asarray(found.x if np.isfinite(found.x).all() else first, dtype=np.float64)
    model = SpreadModel(kept, centre, scale, point, 0.0)
    return replace(model, mean_log=float(np.log(model.predict(members, stack)).mean()))
