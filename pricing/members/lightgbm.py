"""The member `lightgbm`: LightGBM, with SMAPE as an objective beside its own losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from pricing.members.trees.boosted import BoostedMember
from pricing.members.trees.matrix import Matrix, TableEncoder, Values, check_learnable
from pricing.members.trees.objectives import lgb_smape_eval, lgb_smape_objective
from pricing.members.trees.target import Target
from pricing.members.trees.tree_model import TrainedModel, TreeModel, curves_table, refused
from pricing.members.trees.tree_settings import Objective, TreeSettings


class LightGBMSettings(TreeSettings):
    """LightGBM."""

    objective: Objective = "huber"
    """Loss on log price; smape is `lgb_smape_objective`."""
    huber_alpha: float = Field(0.3, gt=0)
    """Threshold of the Huber loss, in log price."""
    rounds: int = Field(2000, ge=1)
    """Maximum number of boosting rounds."""
    early_stopping: int = Field(100, ge=1)
    """Number of rounds without a gain on the fold's validation rows after which training stops."""
    learning_rate: float = Field(0.03, gt=0, le=1)
    """Shrinkage per round."""
    num_leaves: int = Field(63, ge=2)
    """Maximum number of leaves per tree."""
    max_depth: int = Field(-1, ge=-1)
    """Maximum depth of a tree; -1 sets no limit beside the leaves."""
    extra_trees: bool = False
    """Whether each split tries one random threshold per feature: more rounds, trees that are less alike."""
    min_data_in_leaf: int = Field(20, ge=1)
    """Minimum number of training rows per leaf."""
    feature_fraction: float = Field(0.3, gt=0, le=1)
    """Share of features per tree."""
    bagging_fraction: float = Field(0.8, gt=0, le=1)
    """Share of rows per tree."""
    lambda_l1: float = Field(0.0, ge=0)
    """L1 penalty."""
    lambda_l2: float = Field(1.0, ge=0)
    """L2 penalty."""
    max_bin: int = Field(127, ge=8, le=1024)
    """Maximum number of histogram bins per feature."""
    cat_smooth: float = Field(10.0, ge=0)
    """Smoothing of the statistics of rare categories, in rows."""


_PASSED = {
    "learning_rate", "num_leaves", "max_depth", "extra_trees", "feature_fraction", "bagging_fraction", "lambda_l1",
    "lambda_l2", "max_bin", "cat_smooth",
}  # fmt: skip
"""Settings that LightGBM takes under the same name."""


def lightgbm_params(settings: LightGBMSettings, *, rows: int, seed: int, threads: int) -> dict[str, Any]:
    """Return LightGBM's parameters; ``rows`` training rows bound the rows per leaf, for the sake of tiny catalogues."""
    losses = {"l1": "regression_l1", "l2": "regression", "huber": "huber", "smape": lgb_smape_objective}
    return {
        **settings.model_dump(include=_PASSED),
        "objective": losses[settings.objective],
        "alpha": settings.huber_alpha,
        "metric": "None",  # SMAPE by feval
        "min_data_in_leaf": min(settings.min_data_in_leaf, max(1, rows // 20)),
        "bagging_freq": 1 if settings.bagging_fraction < 1 else 0,
        "boost_from_average": True,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,  # no choice by timing at run time
        "num_threads": threads,
        "device_type": "cpu" if settings.device == "cpu" else "gpu",
        "verbosity": -1,
    }


def train_lightgbm(
    train: Matrix,
    valid: Matrix | None,
    encoder: TableEncoder,
    settings: LightGBMSettings,
    *,
    seed: int = 0,
    threads: int = 1,
    rounds: int | None = None,
) -> TrainedModel:
    """Train LightGBM on log prices.

    Parameters
    ----------
    train, valid : Matrix
        n and m rows of p columns in the encoder's order; without ``valid`` all rounds are kept.
    encoder : TableEncoder
        The columns; categorical ones are split natively, by sets of codes.
    settings : LightGBMSettings
        Objective "smape" trains by `lgb_smape_objective`, started from the median.
    seed, threads : int
        The same pair gives the same bytes.
    rounds : int, optional
        Train exactly so many rounds, without early stopping.

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
    target = Target.fit(train, encoder, settings.amount_exponent)
    params = lightgbm_params(settings, rows=len(train), seed=seed, threads=threads)
    # neutral names: LightGBM refuses JSON's special characters, and the encoder keeps the real ones
    feature_name = [f"f{position}" for position in range(len(encoder.names))]
    categorical = list(range(len(encoder.numeric), len(encoder.columns)))
    dataset = lgb.Dataset(
        train.values,
        target.learnt(train, encoder),
        feature_name=feature_name,
        categorical_feature=categorical,
        params=params,
        free_raw_data=True,
    )
    sets, names = [dataset], ["train"]
    if valid is not None:
        sets.append(lgb.Dataset(valid.values, target.learnt(valid, encoder), reference=dataset, params=params))
        names.append("valid")
    history: dict[str, dict[str, list[float]]] = {}
    callbacks = [lgb.record_evaluation(history)]
    if valid is not None and rounds is None:
        callbacks.append(lgb.early_stopping(settings.early_stopping, verbose=False))
    try:
        booster = lgb.train(
            params, dataset, rounds or settings.rounds, sets, names, feval=lgb_smape_eval, callbacks=callbacks
        )
    except lgb.basic.LightGBMError as error:
        raise refused("LightGBM", train, settings, error) from None
    trained = booster.current_iteration()
    best = min(booster.best_iteration if booster.best_iteration > 0 else trained, trained)
    if best < trained:
        booster = lgb.Booster(model_str=booster.model_to_string(num_iteration=best))
    return TrainedModel(LightGBMModel(encoder, target, best, booster), curves_table(history))


class LightGBMModel(TreeModel):
    """Trees of LightGBM, saved in its text format."""

    file = "model.txt"
    magic = b"tree\n"

    def predict_target(self, given: Any, threads: int) -> Any:
        """See `TreeModel.predict_target`."""
        return self.booster.predict(given, num_threads=threads)

    def shap_values(self, values: Values, threads: int) -> Any:
        """See `TreeModel.shap_values`."""
        found = self.booster.predict(values, pred_contrib=True, num_threads=threads)
        return found if isinstance(found, np.ndarray) else found.toarray()

    def gains(self) -> Any:
        """Return the total gain of each column, ndarray of shape (p,)."""
        return self.booster.feature_importance("gain")

    def write_booster(self, path: Path) -> None:
        """Write LightGBM's text format."""
        path.write_text(self.booster.model_to_string(), encoding="utf-8")

    @classmethod
    def read_booster(cls, data: bytes) -> tuple[Any, int]:
        """Read LightGBM's text format; see `TreeModel.read_booster`."""
        import lightgbm as lgb

        booster = lgb.Booster(model_str=data.decode())
        return booster, booster.num_feature()


class LightGBM(BoostedMember):
    """Leaf-wise trees; they stop at the best SMAPE of the validation rows."""

    name = "lightgbm"
    Settings = LightGBMSettings
    Model = LightGBMModel
    train = staticmethod(train_lightgbm)
    moved: ClassVar = {"gbdt.lightgbm": ""}
