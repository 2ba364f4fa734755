"""Level 1: what maps the members' log prices to one log price.

Members that know nothing are left out first (`pricing.ensemble.screening`). All learners read the same matrix Z (n, m)
of log prices, clipped to what is believable, and nothing else:

============ ===================================================================================================
mean         the plain mean in log space
single       the one member with the lowest SMAPE
weights      simplex weights that minimise SMAPE (`pricing.ensemble.simplex_weights`)
greedy       greedy selection (`pricing.ensemble.selection`)
smape_linear free coefficients that minimise SMAPE (`pricing.ensemble.linear`)
ridge        ridge regression on the standardised members
elasticnet   the same with an L1 part
trees        smape_linear's price plus shallow trees, fitted by L1 to what it leaves over
             (`pricing.ensemble.meta_trees`)
network      smape_linear's price plus the best answer to a predicted distribution of what it leaves over
             (`pricing.ensemble.meta_network`)
============ ===================================================================================================
"""

from dataclasses import dataclass

import numpy as np

from pricing.config.ensemble import EnsembleConfig
from pricing.ensemble.linear import LinearModel, believable, fit_elasticnet, fit_ridge, fit_smape_linear
from pricing.ensemble.meta_network import NetworkModel, fit_network
from pricing.ensemble.meta_trees import TreeModel, fit_trees
from pricing.ensemble.screening import informative_members
from pricing.ensemble.selection import select_greedily
from pricing.ensemble.simplex_weights import optimise_weights
from pricing.metrics.smape import Floats, smape_of_logs

Model = LinearModel | TreeModel | NetworkModel

SIMPLE_LEARNERS = ("mean", "single", "weights", "greedy")
"""Learners that are weighted means of the members; always fitted, simplest first."""


@dataclass(frozen=True)
class Level1:
    """Learners fitted on the same rows.

    Attributes
    ----------
    models : dict of str to Model
        The simple ones, then those of the configuration.
    kept : tuple of int
        Members that know something, of the largest weight first; at most ``most_members``.
    """

    models: dict[str, Model]
    kept: tuple[int, ...]


def linear_part(model: Model) -> LinearModel:
    """The model itself where it is linear, its base where it is not."""
    return model if isinstance(model, LinearModel) else model.base


def best_constant(log_price: Floats) -> float:
    """The one log price with the lowest SMAPE; the baseline that any model has to beat.

    A little better than the median where prices are skewed. Searched on the quantiles, as the minimum lies among them.
    """
    grid = np.quantile(log_price, np.linspace(0.05, 0.95, 181))
    scores = [smape_of_logs(np.full_like(log_price, point), log_price) for point in grid]
    return float(grid[int(np.argmin(scores))])


def fit_level_1(members: Floats, log_true: Floats, config: EnsembleConfig, seed: int) -> Level1:
    """Fit every level 1 learner on the same rows, on one thread.

    Parameters
    ----------
    members : ndarray of shape (n, m)
        Out-of-fold log prices, one column a member.
    log_true : ndarray of shape (n,)
        True log prices.

    Returns
    -------
    Level1
        Where no member knows anything, every learner is the best constant.
    """
    names = (*SIMPLE_LEARNERS, *config.meta_learners)
    m = members.shape[1]
    kept = informative_members(members, log_true, config.noise_limit)
    if not kept:
        constant = LinearModel(best_constant(log_true), np.zeros(m))
        return Level1(dict.fromkeys(names, constant), ())
    low, high = believable(members, log_true)
    seen = np.clip(members, low, high)[:, list(kept)]
    best = int(np.argmin([smape_of_logs(seen[:, j], log_true) for j in range(len(kept))]))
    weights = optimise_weights(seen, log_true, starts=config.weight_starts, seed=seed)
    greedy = select_greedily(seen, log_true, steps=config.greedy_steps, seed=seed)
    free = fit_smape_linear(seen, log_true, weights, pull=config.smape_linear_pull)
    simple = {
        "mean": LinearModel(0.0, np.full(len(kept), 1 / len(kept))),
        "single": LinearModel(0.0, np.eye(len(kept))[best]),
        "weights": LinearModel(0.0, weights),
        "greedy": LinearModel(0.0, greedy),
        "smape_linear": free,
    }

    def widened(model: LinearModel) -> LinearModel:
        """The same model over all members; those left out have no say."""
        coefficients = np.zeros(m)
        coefficients[list(kept)] = model.coefficients
        return LinearModel(model.intercept, coefficients, low, high)

    base = widened(free)
    say = np.abs(free.coefficients) * seen.std(axis=0)
    ordered = tuple(kept[j] for j in np.argsort(-say, kind="stable")[: config.most_members])
    models: dict[str, Model] = {}
    for name in names:
        if name == "trees":
            models[name] = fit_trees(base, members, log_true, ordered, config.trees, seed)
        elif name == "network":
            models[name] = fit_network(base, members, log_true, ordered, config.network, seed)
        else:
            fit = {"ridge": fit_ridge, "elasticnet": fit_elasticnet}.get(name)
            models[name] = widened(fit(seen, log_true, config) if fit else simple[name])
    return Level1(models, ordered)
