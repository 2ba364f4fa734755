"""Training the ensemble, honest by construction: every choice is made inside the cross-fitting that judges it.

Level 1 learners are cross-fitted on the folds the members were trained on; level 2 is one of them or a blend of them
and of the members by simplex weights; then a calibration and the SMAPE-optimal decision, each only if it helps. The
reported figure is nested: the prediction of fold k comes from an ensemble whose screening, learners, choice, weights,
calibration and decision saw the other folds only.

The model that predicts fold j while k is outside is the one that predicts k while j is outside: learners are fitted
once for each pair, K (K - 1) / 2 + K + 1 times in all instead of K^2 + K + 1. Each fit runs on one thread, several
beside one another, so that no figure depends on the number of threads.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from threadpoolctl import threadpool_limits

from pricing.catalogue.fewest_rows import FEWEST_ROWS
from pricing.config.ensemble import EnsembleConfig
from pricing.ensemble.calibration import choose_calibration
from pricing.ensemble.decision import Decision, choose_decision
from pricing.ensemble.intervals import fit_intervals
from pricing.ensemble.learners import Level1, best_constant, fit_level_1
from pricing.ensemble.linear import LinearModel
from pricing.ensemble.nested_folds import Ints, Mask, cross_fitted, nesting_folds
from pricing.ensemble.simplex_weights import optimise_weights
from pricing.ensemble.stack import Ensemble
from pricing.errors import PredictionsError
from pricing.metrics.smape import Floats, smape_of_logs

_MARGIN = 0.3
"""ln(1.35): how far outside of the learnt log prices a prediction may lie."""


@dataclass(frozen=True)
class Choice:
    """An ensemble and how it was chosen.

    Attributes
    ----------
    name : str
        The level 1 learner that it uses, or ``blend``.
    ensemble : Ensemble
        Without intervals.
    candidates : dict of str to float
        Cross-fitted SMAPE of each candidate.
    calibration_scores, decision_scores : dict of str to float
        Cross-fitted SMAPE of each calibration and decision of the choice, and of ``none``.
    """

    name: str
    ensemble: Ensemble
    candidates: dict[str, float]
    calibration_scores: dict[str, float]
    decision_scores: dict[str, float]


@dataclass(frozen=True)
class TrainedEnsemble:
    """What `train_ensemble` found.

    Attributes
    ----------
    ensemble : Ensemble
        Fitted on all rows.
    oof : ndarray of shape (n,)
        Nested log price: each fold's by an ensemble that never saw the fold.
    raw : ndarray of shape (n,)
        The same before calibration and decision.
    constant : ndarray of shape (n,)
        Log price of the best constant, of the other folds.
    learner_oof : dict of str to ndarray of shape (n,)
        Cross-fitted log price of each level 1 learner.
    kept : tuple of int
        Members that know something, of the largest weight first.
    choice : Choice
        What the final ensemble was made of.
    fold_choices : dict of int to str
        What the ensemble that judges each fold chose, for the reader to see how stable the choice is.
    """

    ensemble: Ensemble
    oof: Floats
    raw: Floats
    constant: Floats
    learner_oof: dict[str, Floats]
    kept: tuple[int, ...]
    choice: Choice
    fold_choices: dict[int, str]


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
        Fold of each row; see `pricing.ensemble.nested_folds.nesting_folds`.
    names : tuple of str, length m
        The members' names.
    threads : int
        Fits that run beside one another.

    Raises
    ------
    PredictionsError
        Shapes that do not fit together, a value that is not finite, fewer than two folds or fewer than `FEWEST_ROWS`.
    """
    # the limit binds the libraries that are loaded: one that a fit loads later takes all cores, and rounds differently
    import scipy.linalg  # noqa: F401

    _check(members, log_price, folds, names)
    folds = nesting_folds(folds, config.nested_folds)
    labels = [int(fold) for fold in np.unique(folds)]
    outs: list[tuple[int, ...]] = [(), *((k,) for k in labels), *combinations(labels, 2)]

    def fit(out: tuple[int, ...]) -> Level1:
        chosen = ~np.isin(folds, out)
        return fit_level_1(members[chosen], log_price[chosen], config, seed)

    def judge(outer: int | None) -> tuple[Choice, Floats]:
        inside = np.ones(len(folds), dtype=bool) if outer is None else folds != outer
        fitted = fits[() if outer is None else (outer,)]
        columns = _cross_fitted(fits, members, folds, outer)
        rows = columns[inside], members[inside], log_price[inside], folds[inside]
        return _choose(*rows, fitted, names, config, seed), columns

    # the pool's threads multiply matrices on one thread each
    with threadpool_limits(1), ThreadPoolExecutor(max(1, threads)) as pool:
        fits = dict(zip(outs, pool.map(fit, outs), strict=True))
        outer_folds: list[int | None] = [*labels, None]
        judged = dict(zip(outer_folds, pool.map(judge, outer_folds), strict=True))
        nested, raw, constant = (np.empty_like(log_price) for _ in range(3))
        for outer in labels:
            rows = folds == outer
            ensemble = judged[outer][0].ensemble
            raw[rows] = ensemble.blend(members[rows])
            nested[rows] = ensemble.finish(members[rows], raw[rows])
            constant[rows] = best_constant(log_price[~rows])
        choice, columns = judged[None]
        kept = fits[()].kept
        intervals = fit_intervals(members, nested, log_price, folds, kept)
    learner_oof = {name: columns[:, j] for j, name in enumerate(fits[()].models)}
    fold_choices = {fold: judged[fold][0].name for fold in labels}
    ensemble = replace(choice.ensemble, intervals=intervals)
    return TrainedEnsemble(ensemble, nested, raw, constant, learner_oof, kept, choice, fold_choices)


def _cross_fitted(fits: dict[tuple[int, ...], Level1], members: Floats, folds: Ints, outer: int | None) -> Floats:
    """Level 1 log prices (n, learners): fold j by learners that saw neither j nor outer, whose own rows stay 0."""
    columns = np.zeros((len(members), len(fits[()].models)))
    for fold in np.unique(folds):
        if fold == outer:
            continue
        out = tuple(sorted({int(fold)} | ({outer} if outer is not None else set())))
        rows = folds == fold
        for j, model in enumerate(fits[out].models.values()):
            columns[rows, j] = model.predict(members[rows])
    return columns


def _choose(
    columns: Floats,
    members: Floats,
    log_price: Floats,
    folds: Ints,
    fitted: Level1,
    names: tuple[str, ...],
    config: EnsembleConfig,
    seed: int,
) -> Choice:
    """Choose between the learners and their blend by cross-fitted SMAPE, then the calibration, then the decision."""
    learners = dict(fitted.models)
    predictions = {name: columns[:, j] for j, name in enumerate(learners)}
    for j in fitted.kept:
        single = LinearModel(0.0, np.eye(members.shape[1])[j])
        learners[f"member {names[j]}"], predictions[f"member {names[j]}"] = single, members[:, j]
    table = np.column_stack(list(predictions.values()))

    def blend(learn: Mask, out: Mask) -> Floats:
        return table[out] @ optimise_weights(table[learn], log_price[learn], starts=config.weight_starts, seed=seed)

    predictions["blend"] = cross_fitted(folds, blend)
    candidates = {name: smape_of_logs(values, log_price) for name, values in predictions.items()}
    # ties go to the first, which is the simpler
    name = min(candidates, key=lambda candidate: candidates[candidate])
    if name == "blend":
        found = optimise_weights(table, log_price, starts=config.weight_starts, seed=seed)
    else:
        found = np.eye(len(learners))[list(learners).index(name)]
    # a constant has nothing to be calibrated
    kinds = config.calibration if fitted.kept else ()
    calibration, adjusted, calibration_scores = choose_calibration(kinds, predictions[name], log_price, folds)
    decision, decision_scores = Decision(), {"none": smape_of_logs(adjusted, log_price)}
    if config.decision and fitted.kept:
        decision, decision_scores = choose_decision(members, adjusted, log_price, folds, fitted.kept)
    weights = {learner: float(weight) for learner, weight in zip(learners, found, strict=True)}
    # members are there for the blend; a learner of the configuration stays, so that the artifact is whole
    used = {one: model for one, model in learners.items() if weights[one] > 0 or one in fitted.models}
    bounds = float(log_price.min()) - _MARGIN, float(log_price.max()) + _MARGIN
    ensemble = Ensemble(names, used, {one: weights[one] for one in used}, calibration, decision, bounds)
    return Choice(name, ensemble, candidates, calibration_scores, decision_scores)


def _check(members: Floats, log_price: Floats, folds: Ints, names: tuple[str, ...]) -> None:
    n = len(log_price)
    if members.shape != (n, len(names)) or log_price.shape != (n,) or folds.shape != (n,):
        raise PredictionsError(
            f"expected members of shape ({n}, {len(names)}) and as many folds as prices, got members {members.shape}, "
            f"prices {log_price.shape}, folds {folds.shape}"
        )
    if not names or len(set(names)) != len(names):
        raise PredictionsError(f"expected at least one member and distinct names, got {names}")
    if n < FEWEST_ROWS:
        raise PredictionsError(f"{n} rows are too few to stack on; expected {FEWEST_ROWS} or more")
    if not (np.isfinite(members).all() and np.isfinite(log_price).all()):
        raise PredictionsError("a member's log price or a true log price is not finite; check the out-of-fold tables")
