"""metrics.json: what the stack reached, and what it was made of."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pricing.ensemble.stacking import TrainedEnsemble
from pricing.metrics.bootstrap import bootstrap_interval, compare_predictions
from pricing.metrics.interval_levels import LEVELS
from pricing.metrics.price_metrics import (
    calculate_metrics_by_quantile,
    evaluate_predictions,
    log_to_price,
    smape_per_row,
)
from pricing.metrics.smape import Floats, smape_of_logs


def describe_training(
    trained: TrainedEnsemble,
    members: Mapping[str, Floats],
    price: Floats,
    *,
    resamples: int,
    seed: int,
    groups: Any = None,
) -> dict[str, Any]:
    """The out-of-fold part of metrics.json; SMAPE in percent.

    Parameters
    ----------
    members : mapping of str to ndarray of shape (n,)
        Out-of-fold log prices.
    price : ndarray of shape (n,)
        True prices.
    groups : array-like of shape (n,), optional
        Near-duplicates share one; the intervals resample whole groups.
    """
    log_price = np.log(price)
    shares = member_weights(members, trained.oof)
    scores = {name: smape_of_logs(values, log_price) for name, values in members.items()}
    best = min(scores, key=lambda name: scores[name])
    stack = log_to_price(trained.oof)
    interval = bootstrap_interval(smape_per_row(price, stack), resamples=resamples, seed=seed, groups=groups)
    single = log_to_price(members[best])
    versus = compare_predictions(price, single, stack, resamples=resamples, seed=seed, groups=groups)
    mean = np.mean(list(members.values()), axis=0)
    return {
        "rows": len(price),
        "models": {name: {"oof_smape": scores[name], "weight": shares[name]} for name in members},
        "stack": {
            "oof_smape": interval.mean,
            "oof_smape_low": interval.low,
            "oof_smape_high": interval.high,
            "raw_oof_smape": smape_of_logs(trained.raw, log_price),
            "oof": evaluate_predictions(price, stack),
            "choice": trained.choice.name,
            "fold_choices": {str(fold): name for fold, name in trained.fold_choices.items()},
            "level_2_weights": trained.ensemble.weights,
            "candidates": trained.choice.candidates,
            "calibration": trained.ensemble.calibration.kind,
            "calibrations": trained.choice.calibration_scores,
            "decision": trained.ensemble.decision.kind,
            "decisions": trained.choice.decision_scores,
            "noise_members": sorted(set(members) - {trained.ensemble.members[j] for j in trained.kept}),
            "best_single": best,
            "gain_over_best_single": {
                "smape": -versus.difference.mean,
                "low": -versus.difference.high,
                "high": -versus.difference.low,
            },
        },
        "mean": {"oof_smape": smape_of_logs(mean, log_price)},
        "constant": {"oof_smape": smape_of_logs(trained.constant, log_price)},
        "intervals": {str(level): {"oof_coverage": value} for level, value in _coverages(trained).items()},
    }


def _coverages(trained: TrainedEnsemble) -> Mapping[int, float]:
    return trained.ensemble.intervals.oof_coverage if trained.ensemble.intervals else {}


def member_weights(members: Mapping[str, Floats], stack: Floats) -> dict[str, float]:
    """How much of each member is in the stack: coefficients of the stack's log price on theirs, by least squares.

    Trees and networks have no weights of their own; these say what a linear stack of the same prices would take. A
    slight penalty (1e-3 of a member's variance) divides what copies of one member have in common among them.
    """
    matrix = np.column_stack(list(members.values()))
    centred = matrix - matrix.mean(axis=0)
    scale = centred.std(axis=0)
    standard = centred / np.where(scale > 1e-12, scale, 1.0)
    n, m = standard.shape
    found = np.linalg.solve(standard.T @ standard / n + 1e-3 * np.eye(m), standard.T @ (stack - stack.mean()) / n)
    weights = found / np.where(scale > 1e-12, scale, 1.0)
    # adding zero turns -0.0 into 0.0
    return {name: round(float(weight), 6) + 0.0 for name, weight in zip(members, weights, strict=True)}


def describe_holdout(
    metrics: dict[str, Any],
    members: Mapping[str, Floats],
    stack: Floats,
    price: Floats,
    constant: float,
    groups: Any,
    intervals: Mapping[str, Floats],
    *,
    resamples: int,
    seed: int,
) -> None:
    """Add the hold-out's figures to what `describe_training` returned.

    The interval resamples whole groups of near-duplicates: their errors are not independent.

    Parameters
    ----------
    members : mapping of str to ndarray of shape (n,)
        Log prices of the hold-out.
    stack : ndarray of shape (n,)
        Log price of the stack.
    price : ndarray of shape (n,)
        True prices.
    constant : float
        Log price of the best constant of the training rows.
    intervals : mapping of str to ndarray of shape (n,)
        Log prices at the intervals' ends, as `Ensemble.predict_intervals` gives them.
    """
    log_price = np.log(price)
    predicted = log_to_price(stack)
    interval = bootstrap_interval(smape_per_row(price, predicted), resamples=resamples, seed=seed, groups=groups)
    metrics["holdout"] = {
        **evaluate_predictions(price, predicted),
        "rows": len(price),
        "smape_low": interval.low,
        "smape_high": interval.high,
        "by_quantile": calculate_metrics_by_quantile(price, predicted),
        "contains_oof_smape": interval.low <= metrics["stack"]["oof_smape"] <= interval.high,
    }
    for level in LEVELS:
        low, high = intervals[f"low_{level}"], intervals[f"high_{level}"]
        metrics["intervals"][str(level)] |= {
            "coverage": float(100 * ((low <= log_price) & (log_price <= high)).mean()),
            "median_factor": float(np.exp(np.median(high - low))),
        }
    for name, values in members.items():
        metrics["models"][name]["holdout_smape"] = smape_of_logs(values, log_price)
    metrics["stack"]["holdout_smape"] = interval.mean
    mean = np.mean(list(members.values()), axis=0)
    metrics["mean"]["holdout_smape"] = smape_of_logs(mean, log_price)
    metrics["constant"]["holdout_smape"] = smape_of_logs(np.full(len(price), constant), log_price)
