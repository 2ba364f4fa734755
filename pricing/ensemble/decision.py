"""The price that minimises expected SMAPE, given a predictive distribution of the log price.

Of log price y and answer c the SMAPE of one row is ``2 tanh(|c - y| / 2)`` (times 100 in percent): with p = e^c and
a = e^y, ``|p - a| / ((p + a) / 2) = 2 |e^(c-y) - 1| / (e^(c-y) + 1)``. For a predictive distribution F the risk is

    R(c) = 2 E tanh(|c - Y| / 2),        R'(c) = E sech^2((c - Y) / 2) sign(c - Y),

so a minimum is a median of F in which an atom at distance d counts sech^2(d / 2): 1 close by, 0.79 at a factor of
e = 2.7, 0.42 at e^2 = 7.4, 0.07 at e^4 = 55. Hence

- F symmetric and unimodal: the median is the answer, and nothing is gained over it;
- F skewed: the answer lies between the median and the mode, away from the long tail, the more so the wider F is;
- F bimodal (one unit or the case of twelve, 12 apart: ln 12 = 2.5): R has a minimum near each mode, and the likelier
  mode is the answer, not the mean between them, which is wrong every time.

R is not convex, so it is evaluated on a grid and refined by a parabola through the three points around the best one.

The rule is used twice. The network of level 1 predicts a distribution of its own for every row, and answers by
`smape_optimal_points`. The stack as a whole gets a `Decision`: its cross-fitted residuals, divided by their predicted
spread s(x), are taken as atoms of one shape, so that the best offset from the stack's price is a function of s(x)
alone.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pricing.ensemble.nested_folds import Ints, Mask, cross_fitted
from pricing.ensemble.simplex_weights import beyond_luck
from pricing.ensemble.spread import SpreadModel, fit_spread
from pricing.errors import ArtifactError
from pricing.metrics.smape import Floats, smape_of_logs, smape_rows

_ATOMS = 1000
"""Quantiles that stand for the residuals."""
_WIDTHS = 12
"""Spreads for which the offset is computed; linear between them."""
_GRID = np.linspace(-2.5, 2.5, 501)


def smape_optimal_points(probabilities: Floats, atoms: Floats, grid: Floats) -> Floats:
    """The answer of lowest expected SMAPE for each row's distribution over shared atoms.

    Parameters
    ----------
    probabilities : ndarray of shape (n, k)
        Rows that sum to one.
    atoms : ndarray of shape (k,)
        Log prices (or differences from a base) that the probabilities belong to.
    grid : ndarray of shape (g,)
        Evenly spaced candidate answers, g >= 3.

    Returns
    -------
    ndarray of shape (n,)
        Log prices between the grid's ends.
    """
    risk = probabilities @ np.tanh(np.abs(atoms[:, None] - grid[None, :]) / 2)  # (n, k) @ (k, g)
    # rounded, as a product's last bits depend on a row's place among others
    return _lowest(np.round(risk, 12), grid)


def best_offset(residuals: Floats, scales: Floats, grid: Floats) -> Floats:
    """The offset of lowest expected SMAPE for residuals of one shape and several widths.

    Parameters
    ----------
    residuals : ndarray of shape (n,)
        Standardised residuals, log true minus log predicted, over their predicted spread.
    scales : ndarray of shape (s,)
        Predicted spreads.
    grid : ndarray of shape (g,)
        Evenly spaced candidate offsets, g >= 3.

    Returns
    -------
    ndarray of shape (s,)
    """
    risk = np.array(
        [np.tanh(np.abs(scale * residuals[:, None] - grid[None, :]) / 2).mean(axis=0) for scale in scales]
    )  # (s, g)
    return _lowest(risk, grid)


def _lowest(risk: Floats, grid: Floats) -> Floats:
    """The minimum of each row of values on a grid, refined by a parabola."""
    best = risk.argmin(axis=1)
    inner = np.clip(best, 1, len(grid) - 2)
    rows = np.arange(len(risk))
    left, middle, right = (risk[rows, inner + step] for step in (-1, 0, 1))
    bend = left - 2 * middle + right
    # a corner of |c - y| is no parabola: the refinement stays within half a step
    step = np.divide((left - right) / 2, bend, out=np.zeros_like(bend), where=bend > 1e-12)
    refined = grid[inner] + np.clip(step, -0.5, 0.5) * (grid[1] - grid[0])
    return np.where(best == inner, refined, grid[best])


@dataclass(frozen=True)
class Decision:
    """An offset of the log price that depends on its predicted spread; none where there are no offsets.

    Attributes
    ----------
    spread : SpreadModel or None
        Of the residuals.
    widths, offsets : tuple of float
        Offset at each spread, linear between and flat outside of them.
    """

    spread: SpreadModel | None = None
    widths: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()

    @property
    def kind(self) -> str:
        """``smape_optimal`` or ``none``."""
        return "smape_optimal" if self.offsets else "none"

    def apply(self, members: Floats, log_price: Floats) -> Floats:
        """Decided log prices of shape (n,) for members of shape (n, m) and the stack's log prices of shape (n,)."""
        if self.spread is None or not self.offsets:
            return log_price
        return log_price + np.interp(self.spread.predict(members, log_price), self.widths, self.offsets)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        spread = self.spread.to_dict() if self.spread else None
        return {"spread": spread, "widths": list(self.widths), "offsets": list(self.offsets)}

    @classmethod
    def from_dict(cls, record: dict[str, Any], count: int) -> "Decision":
        """The reverse of `to_dict`, for ``count`` members.

        Raises
        ------
        ArtifactError
            Widths that do not grow, offsets that are not finite or not as many.
        """
        widths, offsets = (tuple(float(one) for one in record[name]) for name in ("widths", "offsets"))
        spread = SpreadModel.from_dict(record["spread"], count) if record["spread"] is not None else None
        sound = (
            len(widths) == len(offsets) and bool((np.diff(widths) > 0).all()) and bool(offsets) == (spread is not None)
        )
        if not sound or not np.isfinite([*widths, *offsets]).all():
            raise ArtifactError("the ensemble's decision is damaged: expected one finite offset a growing spread")
        return cls(spread, widths, offsets)


def fit_decision(members: Floats, log_pred: Floats, log_true: Floats, kept: tuple[int, ...]) -> Decision:
    """Spread and offsets from predictions of shape (n,) that did not see their own rows.

    Parameters
    ----------
    members : ndarray of shape (n, m)
        Log prices.
    kept : tuple of int
        Members that the spread looks at.
    """
    residuals = log_true - log_pred
    spread = fit_spread(members, log_pred, residuals, kept)
    widths = spread.predict(members, log_pred)
    atoms = np.quantile(residuals / widths, (np.arange(_ATOMS) + 0.5) / _ATOMS)
    scales = np.unique(np.quantile(widths, np.linspace(0.01, 0.99, _WIDTHS)))
    offsets = best_offset(atoms, scales, _GRID)
    return Decision(spread, tuple(float(one) for one in scales), tuple(float(one) for one in offsets))


def choose_decision(
    members: Floats, log_pred: Floats, log_true: Floats, folds: Ints, kept: tuple[int, ...]
) -> tuple[Decision, dict[str, float]]:
    """The decision where it helps out of fold by more than its standard error, fitted on all rows; else none.

    Parameters
    ----------
    members : ndarray of shape (n, m)
        Log prices.
    log_pred : ndarray of shape (n,)
        Cross-fitted log price of the stack.
    folds : ndarray of shape (n,)
        Fold of each row.

    Returns
    -------
    decision : Decision
    scores : dict of str to float
        Cross-fitted SMAPE without it (``none``) and with it (``smape_optimal``).
    """

    def apply(learn: Mask, out: Mask) -> Floats:
        fitted = fit_decision(members[learn], log_pred[learn], log_true[learn], kept)
        return fitted.apply(members[out], log_pred[out])

    adjusted = cross_fitted(folds, apply)
    scores = {"none": smape_of_logs(log_pred, log_true), "smape_optimal": smape_of_logs(adjusted, log_true)}
    if beyond_luck(smape_rows(log_pred, log_true) - smape_rows(adjusted, log_true)):
        return fit_decision(members, log_pred, log_true, kept), scores
    return Decision(), scores
