"""Prediction intervals by split conformal prediction on cross-fitted residuals, normalised by the predicted spread.

With r_i the log residual of a prediction that did not see row i and s_i its predicted spread, the interval of a new row
is ``[z + q_low s, z + q_high s]``: q_high is the ``ceil((n + 1) (1 + level) / 2)``-th smallest of r_i / s_i, and q_low
the mirror image. For a model fitted on other rows it covers at least ``level`` of exchangeable new rows, whatever the
model and the spread (Lei, G'Sell, Rinaldo, Tibshirani and Wasserman, Distribution-Free Predictive Inference for
Regression, 2018); the normalisation makes it narrow where the members agree. Cross-fitted residuals cost no rows and
cover about the level (Barber, Candes, Ramdas and Tibshirani, Predictive Inference with the Jackknife+, 2021).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pricing.ensemble.nested_folds import Ints, Mask, cross_fitted
from pricing.ensemble.spread import SpreadModel, fit_spread
from pricing.errors import ArtifactError
from pricing.metrics.interval_levels import LEVELS
from pricing.metrics.smape import Floats


@dataclass(frozen=True)
class Intervals:
    """Spread of each row, and what to multiply it by.

    Attributes
    ----------
    spread : SpreadModel
        Of the residuals.
    quantiles : dict of int to (float, float)
        Level in percent to the standardised residuals at its ends.
    oof_coverage : dict of int to float
        Level to the percentage of rows covered when quantiles and spread come from the other folds.
    """

    spread: SpreadModel
    quantiles: Mapping[int, tuple[float, float]]
    oof_coverage: Mapping[int, float] = field(default_factory=dict)

    def around(self, members: Floats, log_price: Floats) -> dict[int, tuple[Floats, Floats]]:
        """Level to lowest and highest log price, each of shape (n,); the price itself is always inside.

        Parameters
        ----------
        members : ndarray of shape (n, m)
            Log prices.
        log_price : ndarray of shape (n,)
            The stack's.
        """
        spread = self.spread.predict(members, log_price)
        return {
            level: (log_price + min(low, 0.0) * spread, log_price + max(high, 0.0) * spread)
            for level, (low, high) in self.quantiles.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "spread": self.spread.to_dict(),
            "quantiles": {str(level): list(ends) for level, ends in self.quantiles.items()},
            "oof_coverage": {str(level): value for level, value in self.oof_coverage.items()},
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any], count: int) -> "Intervals":
        """The reverse of `to_dict`, for ``count`` members.

        Raises
        ------
        ArtifactError
            A quantile that is not finite, or ends in the wrong order.
        """
        quantiles = {int(level): (float(low), float(high)) for level, (low, high) in record["quantiles"].items()}
        if not all(np.isfinite(ends).all() and ends[0] <= ends[1] for ends in quantiles.values()):
            raise ArtifactError(f"the ensemble's intervals {quantiles} are damaged: expected finite ends in order")
        coverage = {int(level): float(value) for level, value in record["oof_coverage"].items()}
        return cls(SpreadModel.from_dict(record["spread"], count), quantiles, coverage)


def fit_intervals(members: Floats, log_pred: Floats, log_true: Floats, folds: Ints, kept: tuple[int, ...]) -> Intervals:
    """Fit spread and quantiles on predictions that did not see their own rows.

    Parameters
    ----------
    members : ndarray of shape (n, m)
        Log prices.
    log_pred : ndarray of shape (n,)
        Nested log price of the stack.
    folds : ndarray of shape (n,)
        Fold of each row; the spread that standardises a row's residual did not see its fold.
    kept : tuple of int
        Members that the spread looks at.
    """
    residuals = log_true - log_pred

    def standardise(learn: Mask, out: Mask) -> Floats:
        spread = fit_spread(members[learn], log_pred[learn], residuals[learn], kept)
        return residuals[out] / spread.predict(members[out], log_pred[out])

    standard = cross_fitted(folds, standardise)
    coverage = {}
    for level in LEVELS:
        inside = np.empty(len(standard), dtype=bool)
        for fold in np.unique(folds):
            out = folds == fold
            low, high = _ends(standard[~out], level)
            inside[out] = (standard[out] >= low) & (standard[out] <= high)
        coverage[level] = float(100 * inside.mean())
    quantiles = {level: _ends(standard, level) for level in LEVELS}
    return Intervals(fit_spread(members, log_pred, residuals, kept), quantiles, coverage)


def _ends(standard: Floats, level: int) -> tuple[float, float]:
    """The conformal quantiles; with too few rows for the level, the extremes."""
    ordered = np.sort(standard)
    n = len(ordered)
    rank = min(int(np.ceil((n + 1) * (1 + level / 100) / 2)), n)
    return float(ordered[n - rank]), float(ordered[rank - 1])
