"""LightGBM: training, prediction, its own text format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pricing.errors import ArtifactError
from pricing.members.trees.matrix import FeatureSchema, Matrix, Values, check_learnable
from pricing.members.trees.objectives import lgb_smape_eval, lgb_smape_objective
from pricing.members.trees.target import Target
from pricing.members.trees.tree_model import GBDTModel, TrainedModel, curves_table, refused
from pricing.members.trees.tree_settings import Objective, TreeSettings


class LightGBMSettings(TreeSettings):
    """LightGBM."""

    objective: Objective = "huber"
    """Loss on log price; smape is lgb_smape_objective."""
    huber_alpha: float = Field(0.3, gt=0)
    """Huber's threshold, in log price."""
    rounds: int = Field(2000, ge=1)
    """Most boosting rounds."""
    early_stopping: int = Field(100, ge=1)
    """Rounds without gain on the fold's validation part before stopping."""
    learning_rate: float = Field(0.03, gt=0, le=1)
    """Shrinkage."""
    num_leaves: int = Field(63, ge=2)
    """Leaves a tree."""
    max_depth: int = Field(-1, ge=-1)
    """Depth of a tree; -1 leaves it to the leaves."""
    extra_trees: bool = False
    """Try one random threshold a feature and split: more rounds, less alike trees."""
    min_data_in_leaf: int = Field(20, ge=1)
    """Rows a leaf."""
    feature_fraction: float = Field(0.3, gt=0, le=1)
    """Share of features a tree."""
    bagging_fraction: float = Field(0.8, gt=0, le=1)
    """Share of rows a tree."""
    lambda_l1: float = Field(0.0, ge=0)
    """L1 penalty."""
    lambda_l2: float = Field(1.0, ge=0)
    """L2 penalty."""
    max_bin: int = Field(127, ge=8, le=1024)
    """Histogram bins a feature."""
    cat_smooth: float = Field(10.0, ge=0)
    """Pulls the statistics of rare categories together."""


SUFFIX = ".txt"


def lightgbm_params(config: LightGBMSettings, *, rows: int, seed: int, threads: int, device: str) -> dict[str, Any]:
    """LightGBM's parameters; ``rows`` training rows bound the least rows a leaf, so that tiny catalogues split too."""
    return {
        "objective": {"l1": "regression_l1", "l2": "regression", "huber": "huber"}.get(
            config.objective, lgb_smape_objective
        ),
        "alpha": config.huber_alpha,
        "metric": "None",  # SMAPE by feval
        "learning_rate": config.learning_rate,
        "num_leaves": config.num_leaves,
        "max_depth": config.max_depth,
        "extra_trees": config.extra_trees,
        "min_data_in_leaf": min(config.min_data_in_leaf, max(1, rows // 20)),
        "feature_fraction": config.feature_fraction,
        "bagging_fraction": config.bagging_fraction,
        "bagging_freq": 1 if config.bagging_fraction < 1 else 0,
        "lambda_l1": config.lambda_l1,
        "lambda_l2": config.lambda_l2,
        "max_bin": config.max_bin,
        "cat_smooth": config.cat_smooth,
        "boost_from_average": True,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,  # no choice by timing at run time
        "num_threads": threads,
        "device_type": "cpu" if device == "cpu" else "gpu",
        "verbosity": -1,
    }


def train_lightgbm(
    train: Matrix,
    valid: Matrix | None,
    schema: FeatureSchema,
    config: LightGBMSettings,
    *,
    seed: int = 0,
    threads: int = 1,
    rounds: int | None = None,
    device: str = "cpu",
) -> TrainedModel:
    """Train LightGBM on log prices.

    Parameters
    ----------
    train, valid : Matrix
        n and m rows of p columns in the schema's order; without ``valid`` all rounds are kept.
    schema : FeatureSchema
        The columns; categorical ones are split natively, by sets of codes.
    config : LightGBMSettings
        Settings; objective "smape" trains by :func:`lgb_smape_objective`, started from the median.
    seed, threads : int
        The same pair gives the same bytes.
    rounds : int, optional
        Train exactly so many rounds, without early stopping.
    device : {"cpu", "gpu"}
        Where trees are grown.

    Returns
    -------
    TrainedModel
        Stopped at the best validation SMAPE.

    Raises
    ------
    TrainingError
        Nothing to learn from, no GPU where one was asked for, or LightGBM refused.
    """
    import lightgbm as lgb

    check_learnable(train, valid)
    target = Target.fit(train, schema, config.amount_exponent)
    params = lightgbm_params(config, rows=len(train), seed=seed, threads=threads, device=device)
    dataset = _dataset(train, target, schema, params)
    sets, names = [dataset], ["train"]
    if valid is not None:
        sets.append(lgb.Dataset(valid.values, target.learnt(valid, schema), reference=dataset, params=params))
        names.append("valid")
    history: dict[str, dict[str, list[float]]] = {}
    callbacks = [lgb.record_evaluation(history)]
    if valid is not None and rounds is None:
        callbacks.append(lgb.early_stopping(config.early_stopping, verbose=False))
    try:
        booster = lgb.train(
            params,
            dataset,
            num_boost_round=rounds or config.rounds,
            valid_sets=sets,
            valid_names=names,
            feval=lgb_smape_eval,
            callbacks=callbacks,
        )
    except lgb.basic.LightGBMError as error:
        raise refused("LightGBM", train, device, error) from None
    trained = booster.current_iteration()
    best = min(booster.best_iteration if booster.best_iteration > 0 else trained, trained)
    if best < trained:
        booster = lgb.Booster(model_str=booster.model_to_string(num_iteration=best))
    curves = {(split, metric): values for split, by in history.items() for metric, values in by.items()}
    return TrainedModel(GBDTModel("lightgbm", schema, target, best, booster), best, curves_table(curves))


def _dataset(train: Matrix, target: Target, schema: FeatureSchema, params: dict[str, Any]) -> Any:
    import lightgbm as lgb

    # neutral names: LightGBM refuses JSON's special characters, and the schema keeps the real ones
    return lgb.Dataset(
        train.values,
        target.learnt(train, schema),
        feature_name=[f"f{position}" for position in range(len(schema.names))],
        categorical_feature=list(range(len(schema.numeric), len(schema.columns))),
        params=params,
        free_raw_data=True,
    )


def predict(booster: Any, values: Values, schema: FeatureSchema, threads: int) -> NDArray[np.float64]:
    """What the trees predict (see `pricing.members.trees.target`), shape (n,)."""
    return np.asarray(booster.predict(values, num_threads=threads), dtype=np.float64)


def gains(booster: Any, schema: FeatureSchema) -> NDArray[np.float64]:
    """Total gain of each column, shape (p,)."""
    return np.asarray(booster.feature_importance("gain"), dtype=np.float64)


def save(booster: Any, path: Path) -> None:
    """Write LightGBM's text format."""
    path.write_text(booster.model_to_string(), encoding="utf-8")


def load(path: Path, schema: FeatureSchema) -> Any:
    """Read LightGBM's text format.

    Raises
    ------
    ArtifactError
        The file is no LightGBM model, or one of another width.
    """
    import lightgbm as lgb

    try:
        text = path.read_text(encoding="utf-8")
        if not text.startswith("tree\n"):
            raise ValueError("it does not begin with 'tree'")
        booster = lgb.Booster(model_str=text)
        columns = booster.num_feature()
    except (OSError, ValueError, lgb.basic.LightGBMError) as error:
        raise ArtifactError(f"{path}: is no LightGBM model ({error}); train the member again") from None
    if columns != len(schema.names):
        raise ArtifactError(f"{path}: reads {columns} columns, schema.json names {len(schema.names)}; train again")
    return booster
