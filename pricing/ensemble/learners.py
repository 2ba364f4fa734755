"""Level 1: what maps the members' log prices to one log price.

All learners read the same matrix Z (n, m) of log prices and nothing else:

========== =====================================================================================================
mean       the plain mean in log space
single     the one member with the lowest SMAPE
weights    simplex weights that minimise SMAPE (`pricing.ensemble.weights`)
greedy     greedy selection (`pricing.ensemble.selection`)
ridge      ridge regression on the standardised members
elasticnet the same with an L1 part
lightgbm   the simplex weights' price plus shallow trees, fitted by L1 to what it leaves over; they see the members'
           differences from it, their mean and their spread
========== =====================================================================================================
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pricing.config.ensemble import EnsembleConfig
from pricing.ensemble.selection import select_greedily
from pricing.ensemble.weights import optimise_weights, smape_of_logs

__all__ = ["SIMPLE_LEARNERS", "LinearModel", "TreeModel", "fit_learners", "meta_features"]

Floats = NDArray[np.float64]

SIMPLE_LEARNERS = ("mean", "single", "weights", "greedy")
"""Learners that are weighted means of the members; always fitted, simplest first."""


@dataclass(frozen=True)
class LinearModel:
    """``intercept + Z @ coefficients``."""

    intercept: float
    coefficients: Floats

    def predict(self, members: Floats) -> Floats:
        """Log prices of shape (n,) for members of shape (n, m)."""
        # a column at a time, always in this order: a BLAS product may round differently for another number of rows
        total = np.full(len(members), self.intercept)
        for j, coefficient in enumerate(self.coefficients):
            if coefficient != 0:
                total += coefficient * members[:, j]
        return total


@dataclass(frozen=True)
class TreeModel:
    """A linear base plus LightGBM's trees, kept as LightGBM's own text."""

    base: LinearModel
    text: str

    def predict(self, members: Floats) -> Floats:
        """Log prices of shape (n,) for members of shape (n, m)."""
        import lightgbm

        base = self.base.predict(members)
        booster = lightgbm.Booster(model_str=self.text)
        return base + np.asarray(booster.predict(meta_features(members, base), num_threads=1))


Model = LinearModel | TreeModel


def meta_features(members: Floats, base: Floats) -> Floats:
    """The trees' columns: each member's difference from the base price, the members' mean, spread and the base.

    Parameters
    ----------
    members : ndarray of shape (n, m)
        Log prices.
    base : ndarray of shape (n,)
        Log price of the linear base.

    Returns
    -------
    ndarray of shape (n, m + 3)
    """
    return np.column_stack([members - base[:, None], members.mean(axis=1), members.std(axis=1), base])


def fit_learners(
    members: Floats, log_true: Floats, config: EnsembleConfig, seed: int, *, threads: int = 1
) -> dict[str, Model]:
    """Fit every level 1 learner on the same rows.

    Parameters
    ----------
    members : ndarray of shape (n, m)
        Out-of-fold log prices, one column a member.
    log_true : ndarray of shape (n,)
        True log prices.

    Returns
    -------
    dict
        Learner name to model: the simple ones, then those of ``config.meta_learners``.
    """
    m = members.shape[1]
    best = int(np.argmin([smape_of_logs(members[:, j], log_true) for j in range(m)]))
    weights = optimise_weights(members, log_true, starts=config.weight_starts, seed=seed)
    greedy = select_greedily(members, log_true, steps=config.greedy_steps, seed=seed)
    models: dict[str, Model] = {
        "mean": LinearModel(0.0, np.full(m, 1 / m)),
        "single": LinearModel(0.0, np.eye(m)[best]),
        "weights": LinearModel(0.0, weights),
        "greedy": LinearModel(0.0, greedy),
    }
    for name in config.meta_learners:
        if name == "lightgbm":
            models[name] = _fit_trees(LinearModel(0.0, weights), members, log_true, config, seed, threads)
        else:
            models[name] = _fit_linear(name, members, log_true, config)
    return models


def _fit_linear(name: str, members: Floats, log_true: Floats, config: EnsembleConfig) -> LinearModel:
    from sklearn.linear_model import ElasticNet, Ridge

    centre, scale = members.mean(axis=0), members.std(axis=0)
    scale = np.where(scale > 1e-12, scale, 1.0)  # a constant member gets no say
    standard = (members - centre) / scale
    if name == "ridge":
        fitted: Any = Ridge(alpha=config.ridge_alpha, solver="cholesky").fit(standard, log_true)
    else:
        fitted = ElasticNet(
            alpha=config.elasticnet_alpha, l1_ratio=config.elasticnet_l1_ratio, max_iter=20_000, tol=1e-5
        ).fit(standard, log_true)
    coefficients = np.asarray(fitted.coef_, dtype=np.float64) / scale
    return LinearModel(float(fitted.intercept_ - coefficients @ centre), coefficients)


def _fit_trees(
    base: LinearModel, members: Floats, log_true: Floats, config: EnsembleConfig, seed: int, threads: int
) -> TreeModel:
    import lightgbm

    settings = config.lightgbm
    start = base.predict(members)
    params = {
        "objective": "l1",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.num_leaves,
        # a leaf of fifty rows is too coarse for a small catalogue
        "min_data_in_leaf": max(1, min(settings.min_data_in_leaf, len(members) // 20)),
        "feature_fraction": settings.feature_fraction,
        "bagging_fraction": settings.bagging_fraction,
        "bagging_freq": 1,
        "lambda_l2": settings.lambda_l2,
        "seed": seed,
        "num_threads": threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(meta_features(members, start), label=log_true - start)
    booster = lightgbm.train(params, data, num_boost_round=settings.rounds)
    return TreeModel(base, booster.model_to_string())
