"""XGBoost (histogram trees): training, prediction, its own JSON format."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pricing.errors import ArtifactError
from pricing.libraries import check_xgboost
from pricing.members.trees.matrix import FeatureSchema, Matrix, Values, check_learnable
from pricing.members.trees.objectives import xgb_smape_eval, xgb_smape_objective
from pricing.members.trees.target import Target
from pricing.members.trees.tree_model import GBDTModel, TrainedModel, curves_table, refused
from pricing.members.trees.tree_settings import Objective, TreeSettings


class XGBoostSettings(TreeSettings):
    """XGBoost (hist)."""

    objective: Objective = "huber"
    """Loss on log price; smape is xgb_smape_objective."""
    huber_alpha: float = Field(0.3, gt=0)
    """Pseudo-Huber's slope, in log price."""
    rounds: int = Field(2000, ge=1)
    """Most boosting rounds."""
    early_stopping: int = Field(100, ge=1)
    """Rounds without gain before stopping."""
    learning_rate: float = Field(0.03, gt=0, le=1)
    """Shrinkage."""
    max_depth: int = Field(7, ge=1, le=20)
    """Depth of a tree."""
    min_child_weight: float = Field(5.0, ge=0)
    """Least Hessian sum a leaf."""
    subsample: float = Field(0.8, gt=0, le=1)
    """Share of rows a tree."""
    colsample_bytree: float = Field(0.3, gt=0, le=1)
    """Share of features a tree."""
    colsample_bynode: float = Field(1.0, gt=0, le=1)
    """Share of the tree's features a split."""
    reg_lambda: float = Field(1.0, ge=0)
    """L2 penalty."""
    reg_alpha: float = Field(0.0, ge=0)
    """L1 penalty."""
    max_bin: int = Field(128, ge=8, le=1024)
    """Histogram bins a feature."""


SUFFIX = ".json"


def xgboost_params(config: XGBoostSettings, *, rows: int, seed: int, threads: int, device: str) -> dict[str, Any]:
    """XGBoost's parameters, without those that say which objective.

    ``rows`` training rows bound the least Hessian sum a leaf, so that tiny catalogues split too. A row's Hessian is 1
    with l1 and l2; at the start, for log prices of deviation 1, it is 0.22 on average with a Huber slope of 0.3 (0.08
    with 0.1) and 2.5 with smape. A fortieth of the rows is a fraction of each of these sums, and leaves 5, the default,
    alone from 200 rows on, and all that the search tries from 2,000.
    """
    return {
        "tree_method": "hist",
        "device": "cpu" if device == "cpu" else "cuda",
        "learning_rate": config.learning_rate,
        "max_depth": config.max_depth,
        "min_child_weight": min(config.min_child_weight, rows / 40),
        "subsample": config.subsample,
        "colsample_bytree": config.colsample_bytree,
        "colsample_bynode": config.colsample_bynode,
        "reg_lambda": config.reg_lambda,
        "reg_alpha": config.reg_alpha,
        "max_bin": config.max_bin,
        "base_score": 0.0,  # the labels are centred
        "disable_default_eval_metric": True,  # SMAPE by custom_metric
        "seed": seed,
        "nthread": threads,
        "verbosity": 0,
    }


def train_xgboost(
    train: Matrix,
    valid: Matrix | None,
    schema: FeatureSchema,
    config: XGBoostSettings,
    *,
    seed: int = 0,
    threads: int = 1,
    rounds: int | None = None,
    device: str = "cpu",
) -> TrainedModel:
    """Train XGBoost on log prices; parameters, result and errors as :func:`pricing.members.lightgbm.train_lightgbm`."""
    check_xgboost()
    import xgboost

    check_learnable(train, valid)
    target = Target.fit(train, schema, config.amount_exponent)
    params = xgboost_params(config, rows=len(train), seed=seed, threads=threads, device=device)
    custom = config.objective == "smape"
    if not custom:
        params["objective"] = {
            "l1": "reg:absoluteerror",
            "l2": "reg:squarederror",
            "huber": "reg:pseudohubererror",
        }[config.objective]
    if config.objective == "huber":
        params["huber_slope"] = config.huber_alpha
    history: dict[str, dict[str, list[float]]] = {}
    try:
        quantised = {"max_bin": config.max_bin, "nthread": threads, "enable_categorical": True}
        data = xgboost.QuantileDMatrix(
            train.values, target.learnt(train, schema), feature_types=_feature_types(schema), **quantised
        )
        if device != "cpu" and not _has_gpu(data):
            raise refused("XGBoost", train, device, "No visible GPU is found")
        sets = [(data, "train")]
        if valid is not None:
            sets.append((_rows(valid.values, schema, threads, target.learnt(valid, schema)), "valid"))
        booster = xgboost.train(
            params,
            data,
            num_boost_round=rounds or config.rounds,
            evals=sets,
            obj=xgb_smape_objective if custom else None,
            custom_metric=xgb_smape_eval,
            early_stopping_rounds=config.early_stopping if valid is not None and rounds is None else None,
            evals_result=history,
            verbose_eval=False,
        )
    except xgboost.core.XGBoostError as error:
        raise refused("XGBoost", train, device, error) from None
    best = booster.num_boosted_rounds()
    if valid is not None and rounds is None:
        best = booster.best_iteration + 1
        booster = booster[:best]
    curves = {(split, metric): values for split, by in history.items() for metric, values in by.items()}
    return TrainedModel(GBDTModel("xgboost", schema, target, best, booster), best, curves_table(curves))


def _has_gpu(data: Any) -> bool:
    """Whether XGBoost finds a GPU; without one it would warn and train on the CPU."""
    import xgboost

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        config = json.loads(xgboost.Booster({"device": "cuda"}, [data]).save_config())
    return str(config["learner"]["generic_param"]["device"]).startswith("cuda")


def _feature_types(schema: FeatureSchema) -> list[str]:
    return ["q"] * len(schema.numeric) + ["c"] * len(schema.categorical) + ["q"] * len(schema.terms)


def _rows(values: Values, schema: FeatureSchema, threads: int, labels: NDArray[np.float64] | None = None) -> Any:
    import xgboost

    return xgboost.DMatrix(
        values, labels, feature_types=_feature_types(schema), enable_categorical=True, nthread=threads
    )


def predict(booster: Any, values: Values, schema: FeatureSchema, threads: int) -> NDArray[np.float64]:
    """What the trees predict (see `pricing.members.trees.target`), shape (n,)."""
    booster.set_param({"nthread": threads})
    return np.asarray(booster.predict(_rows(values, schema, threads), output_margin=True), dtype=np.float64)


def gains(booster: Any, schema: FeatureSchema) -> NDArray[np.float64]:
    """Total gain of each column, shape (p,)."""
    scores = booster.get_score(importance_type="total_gain")
    return np.array([float(scores.get(f"f{position}", 0.0)) for position in range(len(schema.names))])


def save(booster: Any, path: Path) -> None:
    """Write XGBoost's JSON format."""
    path.write_bytes(booster.save_raw(raw_format="json"))


def load(path: Path, schema: FeatureSchema) -> Any:
    """Read XGBoost's JSON format.

    Raises
    ------
    ArtifactError
        The file is no XGBoost model, or one of another width.
    """
    check_xgboost()
    import xgboost

    try:
        data = path.read_bytes()
        if not data.startswith(b'{"'):
            raise ValueError("it is no JSON object")
        booster = xgboost.Booster()
        booster.load_model(bytearray(data))
        columns = booster.num_features()
    except (OSError, ValueError, xgboost.core.XGBoostError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ArtifactError(f"{path}: is no XGBoost model ({reason}); train the member again") from None
    if columns != len(schema.names):
        raise ArtifactError(f"{path}: reads {columns} columns, schema.json names {len(schema.names)}; train again")
    return booster
