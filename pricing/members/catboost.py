"""The member `catboost`: CatBoost with its built-in regression losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from pricing.members.trees.boosted import BoostedMember
from pricing.members.trees.matrix import Matrix, TableEncoder, Values, check_learnable
from pricing.members.trees.target import Target
from pricing.members.trees.tree_model import TrainedModel, TreeModel, curves_table, refused
from pricing.members.trees.tree_settings import TreeSettings
from pricing.metrics.smape import Floats


class CatBoostSettings(TreeSettings):
    """CatBoost, with its built-in regression losses."""

    objective: Literal["MAE", "RMSE", "Huber"] = "Huber"
    """Built-in loss on log price."""
    huber_delta: float = Field(0.3, gt=0)
    """Threshold of the Huber loss, in log price."""
    rounds: int = Field(1500, ge=1)
    """Maximum number of boosting rounds."""
    early_stopping: int = Field(100, ge=1)
    """Number of rounds without a gain on the fold's validation rows after which training stops."""
    learning_rate: float = Field(0.05, gt=0, le=1)
    """Shrinkage per round."""
    depth: int = Field(6, ge=1, le=12)
    """Depth of a tree, which is symmetric."""
    l2_leaf_reg: float = Field(3.0, ge=0)
    """L2 penalty."""
    rsm: float = Field(0.3, gt=0, le=1)
    """Share of features per split."""
    subsample: float = Field(0.8, gt=0, le=1)
    """Share of rows per tree."""
    border_count: int = Field(128, ge=8, le=255)
    """Maximum number of histogram borders per feature."""


def catboost_params(settings: CatBoostSettings, *, seed: int, threads: int) -> dict[str, Any]:
    """Return CatBoost's parameters; it writes no files of its own."""
    loss = f"Huber:delta={settings.huber_delta}" if settings.objective == "Huber" else settings.objective
    params = {
        **settings.model_dump(include={"learning_rate", "depth", "l2_leaf_reg", "border_count", "subsample"}),
        "loss_function": loss,
        "eval_metric": "MAE",
        "bootstrap_type": "Bernoulli",
        "boosting_type": "Plain",
        # combinations of categories cost more than they gain on a few thousand rows
        "max_ctr_complexity": 1,
        "boost_from_average": False,  # the labels are centred
        "random_seed": seed,
        "thread_count": threads,
        "task_type": "CPU" if settings.device == "cpu" else "GPU",
        # one other price may lie in the fold that is left out
        "allow_const_label": True,
        "allow_writing_files": False,
        "logging_level": "Silent",
    }
    if settings.device == "cpu":
        # not offered on GPU for regression
        params["rsm"] = settings.rsm
    return params


def train_catboost(
    train: Matrix,
    valid: Matrix | None,
    encoder: TableEncoder,
    settings: CatBoostSettings,
    *,
    seed: int = 0,
    threads: int = 1,
    rounds: int | None = None,
) -> TrainedModel:
    """Train CatBoost on log prices, stopped at the best mean absolute error of log price.

    SMAPE in Python would cost more than the trees. Parameters and errors are those of the other boosting libraries'
    ``train_*``.
    """
    import catboost

    check_learnable(train, valid)
    target = Target.fit(train, encoder, settings.amount_exponent)
    params = catboost_params(settings, seed=seed, threads=threads)
    model = catboost.CatBoost({**params, "iterations": rounds or settings.rounds})
    stopping = valid is not None and rounds is None
    try:
        model.fit(
            _pool(train.values, encoder, target.learnt(train, encoder)),
            eval_set=None if valid is None else _pool(valid.values, encoder, target.learnt(valid, encoder)),
            use_best_model=stopping,
            early_stopping_rounds=settings.early_stopping if stopping else None,
        )
    except catboost.CatBoostError as error:
        raise refused("CatBoost", train, settings, error) from None
    history = model.get_evals_result()
    splits = {"learn": "train", "validation": "valid"}
    curves = {splits[split]: {"mae": values["MAE"]} for split, values in history.items() if "MAE" in values}
    best = int(model.tree_count_)
    return TrainedModel(CatBoostModel(encoder, target, best, model), curves_table(curves))


def _pool(values: Values, encoder: TableEncoder, labels: Floats | None = None) -> Any:
    import catboost

    split = len(encoder.numeric)
    # CatBoost takes categories beside numbers only from dense columns
    if not isinstance(values, np.ndarray):
        values = values.toarray()
        # its categories come last
        values = np.hstack(
            [values[:, :split], values[:, len(encoder.columns) :], values[:, split : len(encoder.columns)]]
        )
        split += len(encoder.terms)
    numeric = np.ascontiguousarray(values[:, :split]) if split else None
    categories = None
    if encoder.categorical:
        # codes as text; missing and unseen share "-1", for which CatBoost uses the prior where training had none
        codes = np.where(np.isnan(values[:, split:]), -1, values[:, split:]).astype(np.int64)
        categories = np.char.mod("%d", codes).astype(bytes).astype(object)
    return catboost.Pool(catboost.FeaturesData(num_feature_data=numeric, cat_feature_data=categories), label=labels)


class CatBoostModel(TreeModel):
    """Trees of CatBoost, saved in its binary format."""

    file = "model.cbm"
    magic = b"CBM1"

    def given(self, values: Values) -> Any:
        """Return CatBoost's table of the rows; see `TreeModel.given`."""
        return _pool(values, self.encoder)

    def predict_target(self, given: Any, threads: int) -> Any:
        """See `TreeModel.predict_target`."""
        return self.booster.predict(given, prediction_type="RawFormulaVal", thread_count=threads)

    def shap_values(self, values: Values, threads: int) -> Any:
        """See `TreeModel.shap_values`."""
        rows = _pool(values, self.encoder)
        return self._reordered(self.booster.get_feature_importance(rows, type="ShapValues", thread_count=threads))

    def gains(self) -> Any:
        """Return the prediction values change of each column, ndarray of shape (p,): the cheap kin of the gain."""
        return self._reordered(self.booster.get_feature_importance(type="PredictionValuesChange"))

    def _reordered(self, found: Any) -> Any:
        """From CatBoost's order of columns on the last axis, numbers, terms, categories, to the encoder's."""
        order, split = np.arange(found.shape[-1]), len(self.encoder.numeric)
        names = split + len(self.encoder.terms), len(self.encoder.names)
        return found[..., np.r_[order[:split], order[names[0] : names[1]], order[split : names[0]], order[names[1] :]]]

    def write_booster(self, path: Path) -> None:
        """Write CatBoost's binary format; equal models give equal bytes."""
        metadata = self.booster.get_metadata()
        # a random id, the time, the thread count; the trees do not need them
        for key in list(metadata.keys()):
            del metadata[key]
        self.booster.save_model(str(path), format="cbm")

    @classmethod
    def read_booster(cls, data: bytes) -> tuple[Any, int]:
        """Read CatBoost's binary format; see `TreeModel.read_booster`."""
        import catboost

        booster = catboost.CatBoost()
        booster.load_model(blob=data, format="cbm")
        return booster, len(booster.feature_names_)


class CatBoost(BoostedMember):
    """Symmetric trees with target statistics of categories; they stop at the best absolute error of log price."""

    name = "catboost"
    Settings = CatBoostSettings
    Model = CatBoostModel
    train = staticmethod(train_catboost)
    moved: ClassVar = {"gbdt.catboost": ""}
