"""Training the ensemble, honest by construction: every choice is made inside the cross-fitting that judges it.

Level 1 learners are cross-fitted on the folds the members were trained on; level 2 is one of them or a blend of all by
simplex weights; then a calibration, if it helps. The reported figure is nested: the prediction of fold k comes from an
ensemble whose learners, choice, weights and calibration saw the other folds only.

The model that predicts fold j while k is outside is the one that predicts k while j is outside: learners are fitted
once for each pair, K (K - 1) / 2 + K + 1 times in all instead of K^2 + K + 1.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from pricing.config.ensemble import EnsembleConfig
from pricing.ensemble.calibration import Calibration, choose_calibration
from pricing.ensemble.ensemble import Ensemble
from pricing.ensemble.learners import Model, fit_learners
from pricing.ensemble.weights import optimise_weights, smape_of_logs
from pricing.errors import PredictionsError

__all__ = ["TrainedEnsemble", "best_constant", "train_ensemble"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MARGIN = 0.3
"""ln(1.35): how far outside of the learnt log prices a prediction may lie."""


@dataclass(frozen=True)
class TrainedEnsemble:
    """What `train_ensemble` found.

    Attributes
    ----------
    ensemble : Ensemble
        Fitted on all rows.
    oof : ndarray of shape (n,)
        Nested log price: each fold's by an ensemble that never saw the fold.
    constant : ndarray of shape (n,)
        Log price of the best constant, of the other folds.
    learner_oof : dict of str to ndarray of shape (n,)
        Cross-fitted log price of each level 1 learner.
    choice : str
        The level 1 learner that the final ensemble uses, or ``blend``.
    fold_choices : dict of int to str
        What the ensemble that judges each fold chose, for the reader to see how stable the choice is.
    candidates : dict of str to float
        Cross-fitted SMAPE of each candidate of the final choice.
    calibration_scores : dict of str to float
        Cross-fitted SMAPE of each calibration of the final choice.
    """

    ensemble: Ensemble
    oof: Floats
    constant: Floats
    learner_oof: dict[str, Floats]
    choice: str
    fold_choices: dict[int, str]
    candidates: dict[str, float]
    calibration_scores: dict[str, float]


def train_ensemble(
    members: Floats,
    log_price: Floats,
    folds: Ints,
    names: tuple[str, ...],
    config: EnsembleConfig,
    seed: int,
    *,
    threads: int = 1,
) -> TrainedEnsemble:
    """Train the stack on out-of-fold log prices.

    Parameters
    ----------
    members : ndarray of shape (n, m)
        Out-of-fold log prices, one column a member.
    log_price : ndarray of shape (n,)
        True log prices.
    folds : ndarray of shape (n,)
        Fold of each row. Two folds are split in halves: nesting needs three.
    names : tuple of str, length m
        The members' names.
    threads : int
        Threads of the LightGBM learner.

    Raises
    ------
    PredictionsError
        Shapes that do not fit together, a value that is not finite, fewer than two folds or fewer than 30 rows.
    """
    folds = _checked_folds(members, log_price, folds, names)
    labels = [int(fold) for fold in np.unique(folds)]
    fits = {
        out: fit_learners(members[chosen], log_price[chosen], config, seed, threads=threads)
        for out in [(), *((k,) for k in labels), *combinations(labels, 2)]
        for chosen in [~np.isin(folds, out)]
    }
    nested, constant = np.empty_like(log_price), np.empty_like(log_price)
    fold_choices = {}
    for outer in labels:
        inside = folds != outer
        columns = _cross_fitted(fits, members, folds, outer)
        choice = _choose(columns[inside], log_price[inside], folds[inside], list(fits[()]), config, seed)
        judge = _assemble(names, fits[(outer,)], choice, log_price[inside])
        nested[~inside] = judge.predict_matrix(members[~inside])
        constant[~inside] = best_constant(log_price[inside])
        fold_choices[outer] = choice.name
    columns = _cross_fitted(fits, members, folds, None)
    choice = _choose(columns, log_price, folds, list(fits[()]), config, seed)
    return TrainedEnsemble(
        ensemble=_assemble(names, fits[()], choice, log_price),
        oof=nested,
        constant=constant,
        learner_oof={name: columns[:, j] for j, name in enumerate(fits[()])},
        choice=choice.name,
        fold_choices=fold_choices,
        candidates=choice.candidates,
        calibration_scores=choice.calibration_scores,
    )


def best_constant(log_price: Floats) -> float:
    """The one log price with the lowest SMAPE; the baseline that any model has to beat.

    A little better than the median where prices are skewed. Searched on the quantiles, as the minimum lies among them.
    """
    grid = np.quantile(log_price, np.linspace(0.05, 0.95, 181))
    scores = [smape_of_logs(np.full_like(log_price, point), log_price) for point in grid]
    return float(grid[int(np.argmin(scores))])


@dataclass(frozen=True)
class _Choice:
    name: str
    weights: dict[str, float]
    calibration: Calibration
    candidates: dict[str, float]
    calibration_scores: dict[str, float]


def _cross_fitted(
    fits: dict[tuple[int, ...], dict[str, Model]], members: Floats, folds: Ints, outer: int | None
) -> Floats:
    """Level 1 log prices (n, learners): fold j by learners that saw neither j nor outer, whose own rows stay 0."""
    columns = np.zeros((len(members), len(fits[()])))
    for fold in np.unique(folds):
        if fold == outer:
            continue
        out = tuple(sorted({int(fold)} | ({outer} if outer is not None else set())))
        rows = folds == fold
        for j, model in enumerate(fits[out].values()):
            columns[rows, j] = model.predict(members[rows])
    return columns


def _choose(
    columns: Floats, log_price: Floats, folds: Ints, learners: list[str], config: EnsembleConfig, seed: int
) -> _Choice:
    """Choose between the learners and their blend by cross-fitted SMAPE, then the calibration."""
    starts = config.weight_starts
    blended = np.empty_like(log_price)
    for fold in np.unique(folds):
        out = folds == fold
        weights = optimise_weights(columns[~out], log_price[~out], starts=starts, seed=seed)
        blended[out] = columns[out] @ weights
    predictions = {name: columns[:, j] for j, name in enumerate(learners)} | {"blend": blended}
    candidates = {name: smape_of_logs(values, log_price) for name, values in predictions.items()}
    # ties go to the first, which is the simpler
    name = min(candidates, key=lambda candidate: candidates[candidate])
    if name == "blend":
        found = optimise_weights(columns, log_price, starts=starts, seed=seed)
    else:
        found = np.eye(len(learners))[learners.index(name)]
    calibration, scores = choose_calibration(config.calibration, predictions[name], log_price, folds)
    weights_by_name = {learner: float(weight) for learner, weight in zip(learners, found, strict=True)}
    return _Choice(name, weights_by_name, calibration, candidates, scores)


def _assemble(names: tuple[str, ...], learners: dict[str, Model], choice: _Choice, log_price: Floats) -> Ensemble:
    bounds = (float(log_price.min()) - _MARGIN, float(log_price.max()) + _MARGIN)
    return Ensemble(names, learners, choice.weights, choice.calibration, bounds)


def _checked_folds(members: Floats, log_price: Floats, folds: Ints, names: tuple[str, ...]) -> Ints:
    n = len(log_price)
    if members.shape != (n, len(names)) or log_price.shape != (n,) or folds.shape != (n,):
        raise PredictionsError(
            f"expected members of shape ({n}, {len(names)}) and as many folds as prices, got members {members.shape}, "
            f"prices {log_price.shape}, folds {folds.shape}"
        )
    if not names or len(set(names)) != len(names):
        raise PredictionsError(f"expected at least one member and distinct names, got {names}")
    if n < 30:
        raise PredictionsError(f"{n} rows are too few to stack on; expected 30 or more")
    if not (np.isfinite(members).all() and np.isfinite(log_price).all()):
        raise PredictionsError("a member's log price or a true log price is not finite; check the out-of-fold tables")
    labels = np.unique(folds)
    if len(labels) < 2:
        raise PredictionsError(f"expected at least two folds, got {labels.tolist()}")
    if len(labels) == 2:
        # halves by position inside the fold; the members' predictions stay out of fold
        half = np.zeros(n, dtype=np.int64)
        for label in labels:
            rows = np.flatnonzero(folds == label)
            half[rows[1::2]] = 1
        return folds.astype(np.int64) * 2 + half
    return folds.astype(np.int64)
