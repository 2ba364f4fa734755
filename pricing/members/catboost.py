"""CatBoost with its built-in regression losses: training, prediction, its own cbm format."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pricing.errors import ArtifactError
from pricing.members.trees.matrix import FeatureSchema, Matrix, Values, check_learnable
from pricing.members.trees.target import Target
from pricing.members.trees.tree_model import GBDTModel, TrainedModel, curves_table, refused
from pricing.members.trees.tree_settings import TreeSettings


class CatBoostSettings(TreeSettings):
    """CatBoost, with its built-in regression losses."""

    objective: Literal["MAE", "RMSE", "Huber"] = "Huber"
    """Built-in loss on log price."""
    huber_delta: float = Field(0.3, gt=0)
    """Huber's threshold, in log price."""
    rounds: int = Field(1500, ge=1)
    """Most boosting rounds."""
    early_stopping: int = Field(100, ge=1)
    """Rounds without gain before stopping."""
    learning_rate: float = Field(0.05, gt=0, le=1)
    """Shrinkage."""
    depth: int = Field(6, ge=1, le=12)
    """Depth of a (symmetric) tree."""
    l2_leaf_reg: float = Field(3.0, ge=0)
    """L2 penalty."""
    rsm: float = Field(0.3, gt=0, le=1)
    """Share of features a split."""
    subsample: float = Field(0.8, gt=0, le=1)
    """Share of rows a tree."""
    border_count: int = Field(128, ge=8, le=255)
    """Histogram borders a feature."""


SUFFIX = ".cbm"


def catboost_params(config: CatBoostSettings, *, seed: int, threads: int, device: str) -> dict[str, Any]:
    """CatBoost's parameters; it writes no files of its own."""
    loss = f"Huber:delta={config.huber_delta}" if config.objective == "Huber" else config.objective
    params = {
        "loss_function": loss,
        "eval_metric": "MAE",
        "learning_rate": config.learning_rate,
        "depth": config.depth,
        "l2_leaf_reg": config.l2_leaf_reg,
        "border_count": config.border_count,
        "bootstrap_type": "Bernoulli",
        "subsample": config.subsample,
        "boosting_type": "Plain",
        "max_ctr_complexity": 1,  # combinations of categories cost more than they gain on a few thousand rows
        "boost_from_average": False,  # the labels are centred
        "random_seed": seed,
        "thread_count": threads,
        "task_type": "CPU" if device == "cpu" else "GPU",
        "allow_const_label": True,  # one other price may lie in the fold that is left out
        "allow_writing_files": False,
        "logging_level": "Silent",
    }
    if device == "cpu":
        params["rsm"] = config.rsm  # not offered on GPU for regression
    return params


def train_catboost(
    train: Matrix,
    valid: Matrix | None,
    schema: FeatureSchema,
    config: CatBoostSettings,
    *,
    seed: int = 0,
    threads: int = 1,
    rounds: int | None = None,
    device: str = "cpu",
) -> TrainedModel:
    """Train CatBoost on log prices; parameters, result and errors as :func:`pricing.members.lightgbm.train_lightgbm`.

    It stops at the best mean absolute error of log price: SMAPE in Python would cost more than the trees.
    """
    import catboost

    check_learnable(train, valid)
    target = Target.fit(train, schema, config.amount_exponent)
    params = catboost_params(config, seed=seed, threads=threads, device=device)
    model = catboost.CatBoost({**params, "iterations": rounds or config.rounds})
    stopping = valid is not None and rounds is None
    try:
        model.fit(
            _pool(train.values, schema, target.learnt(train, schema)),
            eval_set=None if valid is None else _pool(valid.values, schema, target.learnt(valid, schema)),
            use_best_model=stopping,
            early_stopping_rounds=config.early_stopping if stopping else None,
        )
    except catboost.CatBoostError as error:
        raise refused("CatBoost", train, device, error) from None
    history = model.get_evals_result()
    curves = {
        ({"learn": "train"}.get(split, "valid"), "mae"): values["MAE"]
        for split, values in history.items()
        if "MAE" in values
    }
    best = int(model.tree_count_)
    return TrainedModel(GBDTModel("catboost", schema, target, best, model), best, curves_table(curves))


def _pool(values: Values, schema: FeatureSchema, labels: NDArray[np.float64] | None = None) -> Any:
    import catboost

    split = len(schema.numeric)
    if not isinstance(values, np.ndarray):  # CatBoost takes categories beside numbers only from dense columns
        values = values.toarray()
        # its categories come last
        values = np.hstack(
            [values[:, :split], values[:, len(schema.columns) :], values[:, split : len(schema.columns)]]
        )
        split += len(schema.terms)
    numeric = np.ascontiguousarray(values[:, :split]) if split else None
    categories = None
    if schema.categorical:
        # codes as text; missing and unseen share "-1", for which CatBoost uses the prior where training had none
        codes = np.where(np.isnan(values[:, split:]), -1, values[:, split:]).astype(np.int64)
        categories = np.char.mod("%d", codes).astype(bytes).astype(object)
    return catboost.Pool(catboost.FeaturesData(num_feature_data=numeric, cat_feature_data=categories), label=labels)


def predict(booster: Any, values: Values, schema: FeatureSchema, threads: int) -> NDArray[np.float64]:
    """What the trees predict (see `pricing.members.trees.target`), shape (n,)."""
    raw = booster.predict(_pool(values, schema), prediction_type="RawFormulaVal", thread_count=threads)
    return np.asarray(raw, dtype=np.float64)


def gains(booster: Any, schema: FeatureSchema) -> NDArray[np.float64]:
    """CatBoost's prediction values change of each column, its cheap kin of the gain, shape (p,)."""
    found = np.asarray(booster.get_feature_importance(type="PredictionValuesChange"), dtype=np.float64)
    split, terms = len(schema.numeric), len(schema.terms)  # CatBoost's order: numbers, terms, categories
    return np.concatenate([found[:split], found[split + terms :], found[split : split + terms]])


def save(booster: Any, path: Path) -> None:
    """Write CatBoost's binary format; equal models give equal bytes."""
    metadata = booster.get_metadata()
    for key in list(metadata.keys()):  # a random id, the time, the thread count; the trees do not need them
        del metadata[key]
    booster.save_model(str(path), format="cbm")


def load(path: Path, schema: FeatureSchema) -> Any:
    """Read CatBoost's binary format.

    Raises
    ------
    ArtifactError
        The file is no CatBoost model, or one of another width.
    """
    import catboost

    try:
        data = path.read_bytes()
        if not data.startswith(b"CBM1"):
            raise ValueError("it does not begin with CBM1")
        booster = catboost.CatBoost()
        booster.load_model(blob=data, format="cbm")
        columns = len(booster.feature_names_)
    except (OSError, ValueError, TypeError, catboost.CatBoostError) as error:
        raise ArtifactError(f"{path}: is no CatBoost model ({error}); train the member again") from None
    if columns != len(schema.names):
        raise ArtifactError(f"{path}: reads {columns} columns, schema.json names {len(schema.names)}; train again")
    return booster
