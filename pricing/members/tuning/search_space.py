"""What is searched: the range of each setting, and where the search starts."""

from __future__ import annotations

from typing import Any

from pricing.config.base import Section

# name -> (low, high, log scale) or the choices
Space = dict[str, tuple[float, float, bool] | tuple[int, int, bool] | tuple[str, ...]]

SPACES: dict[str, Space] = {
    "lightgbm": {
        "objective": ("l1", "huber", "smape"),
        "huber_alpha": (0.1, 1.5, True),
        "learning_rate": (0.015, 0.1, True),
        "num_leaves": (7, 127, True),
        "min_data_in_leaf": (5, 100, True),
        "feature_fraction": (0.1, 0.9, False),
        "bagging_fraction": (0.5, 1.0, False),
        "lambda_l1": (1e-3, 10.0, True),
        "lambda_l2": (1e-3, 30.0, True),
    },
    "xgboost": {
        "objective": ("l1", "huber", "smape"),
        "huber_alpha": (0.1, 1.5, True),
        "learning_rate": (0.015, 0.1, True),
        "max_depth": (3, 10, False),
        "min_child_weight": (0.5, 50.0, True),
        "subsample": (0.5, 1.0, False),
        "colsample_bytree": (0.1, 0.9, False),
        "reg_alpha": (1e-3, 10.0, True),
        "reg_lambda": (1e-2, 30.0, True),
    },
    "catboost": {
        "objective": ("MAE", "RMSE", "Huber"),
        "huber_delta": (0.1, 1.5, True),
        "learning_rate": (0.02, 0.15, True),
        "depth": (4, 8, False),
        "l2_leaf_reg": (0.5, 30.0, True),
        "rsm": (0.1, 0.9, False),
        "subsample": (0.5, 1.0, False),
    },
}


def space_around(member: str, config: Section) -> Space:
    """Return the member's search space, widened where the configuration's own value lies outside."""
    space: Space = {}
    for name, bounds in SPACES[member].items():
        value = getattr(config, name)
        if isinstance(bounds[0], str):
            choices = tuple(str(choice) for choice in bounds)
            space[name] = choices if value in choices else (*choices, value)
        else:
            low, high, log_scale = bounds
            # a penalty of 0 is no point of a log scale; its nearest is the low end, as good as 0
            space[name] = (low if log_scale and value == 0 else min(low, value), max(high, value), log_scale)
    return space


def suggest(trial: Any, space: Space) -> dict[str, Any]:
    """Return the settings of an Optuna trial, by the names of the member's section."""
    found: dict[str, Any] = {}
    for name, bounds in space.items():
        if isinstance(bounds[0], str):
            found[name] = trial.suggest_categorical(name, list(bounds))
        else:
            low, high, log_scale = bounds
            suggest = trial.suggest_int if isinstance(low, int) and isinstance(high, int) else trial.suggest_float
            found[name] = suggest(name, low, high, log=log_scale)
    return found


def defaults(config: Section, space: Space) -> dict[str, Any]:
    """Return the configuration's settings as a point of the space; a penalty of 0 is the low end of its log scale."""
    found = {}
    for name, bounds in space.items():
        value = getattr(config, name)
        found[name] = value if isinstance(bounds[0], str) else max(value, bounds[0])
    return found
