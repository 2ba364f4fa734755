"""The shallow trees of level 1, by LightGBM: a linear base plus trees that are fitted by L1 to what it leaves over."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pricing.config.ensemble import MetaTreesConfig
from pricing.ensemble.linear import LinearModel
from pricing.ensemble.meta_features import meta_features
from pricing.metrics.smape import Floats

_FEWEST_ROUNDS, _ROWS_A_ROUND = 30, 100


@dataclass(frozen=True)
class TreeModel:
    """A linear base plus the mean of some LightGBM models, kept as LightGBM's own text.

    Attributes
    ----------
    members : tuple of int
        Columns of the members' matrix that the trees see, by weight, largest first.
    """

    base: LinearModel
    members: tuple[int, ...]
    texts: tuple[str, ...]

    def predict(self, members: Floats) -> Floats:
        """Log prices of shape (n,) for members of shape (n, m)."""
        base = self.base.predict(members)
        columns = meta_features(self.base.clipped(members)[:, list(self.members)], base)
        total = np.zeros(len(members))
        for booster in self._boosters:
            total += np.asarray(booster.predict(columns, num_threads=1))
        return base + total / len(self.texts)

    @cached_property
    def _boosters(self) -> list[Any]:
        """The models, read once."""
        import lightgbm

        return [lightgbm.Booster(model_str=text) for text in self.texts]


def fit_trees(
    base: LinearModel, members: Floats, log_true: Floats, seen: tuple[int, ...], config: MetaTreesConfig, seed: int
) -> TreeModel:
    """Fit ``config.seeds`` models on one thread each, so that the result does not depend on how many there are.

    Parameters
    ----------
    base : LinearModel
        Fitted on the same rows.
    members : ndarray of shape (n, m)
        Log prices.
    log_true : ndarray of shape (n,)
        True log prices.
    seen : tuple of int
        Columns of ``members`` that the trees see, by weight, largest first.
    """
    import lightgbm

    n = len(log_true)
    start = base.predict(members)
    columns = meta_features(base.clipped(members)[:, list(seen)], start)
    # few rows carry few rounds: on 5,000 noisy ones, 50 rounds are 0.1 to 0.5 SMAPE better than 200
    rounds = min(config.rounds, max(_FEWEST_ROUNDS, n // _ROWS_A_ROUND))
    texts = []
    for number in range(config.seeds):
        params = {
            **config.model_dump(exclude={"rounds", "seeds"}),
            "objective": "l1",
            # a leaf of a hundred rows is too coarse for a small catalogue
            "min_data_in_leaf": max(1, min(config.min_data_in_leaf, n // 20)),
            "bagging_freq": 1,
            "seed": seed + number,
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }
        data = lightgbm.Dataset(columns, label=log_true - start, params={"max_bin": config.max_bin, "verbosity": -1})
        texts.append(lightgbm.train(params, data, num_boost_round=rounds).model_to_string())
    return TreeModel(base, seen, tuple(texts))
