"""Calibration of the stack's log price: identity, log-affine, isotonic.

Both real ones are monotone, fitted on cross-fitted predictions, and kept only where they help out of fold.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from pricing.ensemble.nested_folds import Ints, Mask, cross_fitted
from pricing.ensemble.simplex_weights import beyond_luck
from pricing.errors import ArtifactError
from pricing.metrics.smape import Floats, smape_of_logs, smape_rows


@dataclass(frozen=True)
class Calibration:
    """A non-decreasing map from log price to log price.

    ``affine``: ``offset + slope (z - centre) + centre``. ``isotonic``: linear between knots, flat outside of them.
    """

    kind: str = "none"
    offset: float = 0.0
    slope: float = 1.0
    centre: float = 0.0
    knots_x: tuple[float, ...] = field(default=(), repr=False)
    knots_y: tuple[float, ...] = field(default=(), repr=False)

    def apply(self, log_price: Floats) -> Floats:
        """Calibrated log prices of shape (n,)."""
        if self.kind == "affine":
            return self.offset + self.centre + self.slope * (log_price - self.centre)
        if self.kind == "isotonic":
            return np.interp(log_price, self.knots_x, self.knots_y)
        return log_price

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Calibration":
        """The reverse of `to_dict`.

        Raises
        ------
        ArtifactError
            An unknown kind, a slope that is not positive, knots that are not sorted.
        """
        calibration: Calibration = TypeAdapter(cls).validate_python(record)
        x, y = np.array(calibration.knots_x), np.array(calibration.knots_y)
        sorted_knots = len(x) == len(y) and bool((np.diff(x) >= 0).all()) and bool((np.diff(y) >= 0).all())
        numbers = np.concatenate([x, y, [calibration.offset, calibration.slope, calibration.centre]])
        good = calibration.kind in ("none", "affine") or (calibration.kind == "isotonic" and len(x) > 0)
        if not (good and sorted_knots and np.isfinite(numbers).all() and calibration.slope > 0):
            raise ArtifactError(f"calibration {calibration.kind!r} is damaged: expected a non-decreasing map")
        return calibration


def fit_calibration(kind: str, log_pred: Floats, log_true: Floats) -> Calibration:
    """Fit one kind on predictions of shape (n,) that did not see their own rows.

    ``affine`` minimises SMAPE itself over offset and slope (Nelder-Mead, the slope kept positive); ``isotonic`` is
    least squares in log price by pool adjacent violators.
    """
    if kind == "isotonic":
        from sklearn.isotonic import IsotonicRegression

        fitted = IsotonicRegression(out_of_bounds="clip").fit(log_pred, log_true)
        # interpolation is monotone only in exact arithmetic; the running maximum makes it so in floats
        heights = np.maximum.accumulate(fitted.y_thresholds_)
        return Calibration("isotonic", knots_x=tuple(fitted.X_thresholds_.tolist()), knots_y=tuple(heights.tolist()))
    if kind == "affine":
        from scipy.optimize import minimize

        centre = float(np.median(log_pred))

        def loss(point: Floats) -> float:
            return smape_of_logs(point[0] + centre + np.exp(point[1]) * (log_pred - centre), log_true)

        # the log of the slope is searched, so that the map stays increasing
        simplex = np.array([[0.0, 0.0], [0.05, 0.0], [0.0, 0.05]])
        options = {"initial_simplex": simplex, "xatol": 1e-4, "fatol": 1e-4, "maxiter": 100}
        found = minimize(loss, np.zeros(2), method="Nelder-Mead", options=options)
        return Calibration("affine", offset=float(found.x[0]), slope=float(np.exp(found.x[1])), centre=centre)
    return Calibration()


def choose_calibration(
    kinds: tuple[str, ...], log_pred: Floats, log_true: Floats, folds: Ints
) -> tuple[Calibration, Floats, dict[str, float]]:
    """The calibration that helps out of fold, fitted on all rows; the identity where none does.

    Each kind is fitted on all folds but one and judged on that one. A kind is kept only if its mean gain in SMAPE over
    the raw prediction exceeds the gain's standard error, because a calibration that wins by luck costs on new rows.

    Parameters
    ----------
    kinds : tuple of str
        ``isotonic``, ``affine``.
    log_pred : ndarray of shape (n,)
        Cross-fitted log prices of the stack.
    folds : ndarray of shape (n,)
        Fold of each row.

    Returns
    -------
    calibration : Calibration
        Fitted on all rows.
    adjusted : ndarray of shape (n,)
        Cross-fitted calibrated log prices: each fold's by a calibration that did not see it.
    scores : dict of str to float
        Cross-fitted SMAPE of each kind, and of ``none``.
    """
    raw = smape_rows(log_pred, log_true)
    scores = {"none": float(raw.mean())}
    best, best_adjusted = "none", log_pred
    for kind in kinds:

        def apply(learn: Mask, out: Mask, kind: str = kind) -> Floats:
            return fit_calibration(kind, log_pred[learn], log_true[learn]).apply(log_pred[out])

        adjusted = cross_fitted(folds, apply)
        gain = raw - smape_rows(adjusted, log_true)
        scores[kind] = float(scores["none"] - gain.mean())
        if beyond_luck(gain) and scores[kind] < scores[best]:
            best, best_adjusted = kind, adjusted
    return fit_calibration(best, log_pred, log_true), best_adjusted, scores
