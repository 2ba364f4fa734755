"""The member `xgboost`: XGBoost's histogram trees, with SMAPE as an objective beside its own losses."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from pricing.libraries import check_one_distribution
from pricing.members.contract import MemberSettings
from pricing.members.trees.boosted import BoostedMember
from pricing.members.trees.matrix import Matrix, TableEncoder, Values, check_learnable
from pricing.members.trees.objectives import xgb_smape_eval, xgb_smape_objective
from pricing.members.trees.target import Target
from pricing.members.trees.tree_model import TrainedModel, TreeModel, curves_table, refused
from pricing.members.trees.tree_settings import Objective, TreeSettings
from pricing.metrics.smape import Floats

DISTRIBUTIONS = "xgboost", "xgboost-cpu"
"""What may be installed, one of the two."""


class XGBoostSettings(TreeSettings):
    """XGBoost, with histogram trees."""

    objective: Objective = "huber"
    """Loss on log price; smape is `xgb_smape_objective`."""
    huber_alpha: float = Field(0.3, gt=0)
    """Slope of the pseudo-Huber loss, in log price."""
    rounds: int = Field(2000, ge=1)
    """Maximum number of boosting rounds."""
    early_stopping: int = Field(100, ge=1)
    """Number of rounds without a gain on the fold's validation rows after which training stops."""
    learning_rate: float = Field(0.03, gt=0, le=1)
    """Shrinkage per round."""
    max_depth: int = Field(7, ge=1, le=20)
    """Maximum depth of a tree."""
    min_child_weight: float = Field(5.0, ge=0)
    """Minimum sum of Hessians per leaf."""
    subsample: float = Field(0.8, gt=0, le=1)
    """Share of rows per tree."""
    colsample_bytree: float = Field(0.3, gt=0, le=1)
    """Share of features per tree."""
    colsample_bynode: float = Field(1.0, gt=0, le=1)
    """Share of the tree's features per split."""
    reg_lambda: float = Field(1.0, ge=0)
    """L2 penalty."""
    reg_alpha: float = Field(0.0, ge=0)
    """L1 penalty."""
    max_bin: int = Field(128, ge=8, le=1024)
    """Maximum number of histogram bins per feature."""


_PASSED = {
    "learning_rate", "max_depth", "subsample", "colsample_bytree", "colsample_bynode", "reg_lambda", "reg_alpha",
    "max_bin",
}  # fmt: skip
"""Settings that XGBoost takes under the same name."""


def xgboost_params(settings: XGBoostSettings, *, rows: int, seed: int, threads: int) -> dict[str, Any]:
    """Return XGBoost's parameters but those of the objective.

    ``rows`` training rows bound the minimum sum of Hessians per leaf, so that tiny catalogues split too. A row's
    Hessian is 1 with l1 and l2; at the start, for log prices of deviation 1, it is 0.22 on average with a Huber slope
    of 0.3 (0.08 with 0.1) and 2.5 with smape. A fortieth of the rows is a fraction of each of these sums, and leaves 5,
    the default, alone from 200 rows on, and all that the search tries from 2,000.
    """
    return {
        **settings.model_dump(include=_PASSED),
        "tree_method": "hist",
        "device": "cpu" if settings.device == "cpu" else "cuda",
        "min_child_weight": min(settings.min_child_weight, rows / 40),
        "base_score": 0.0,  # the labels are centred
        "disable_default_eval_metric": True,  # SMAPE by custom_metric
        "seed": seed,
        "nthread": threads,
        "verbosity": 0,
    }


def train_xgboost(
    train: Matrix,
    valid: Matrix | None,
    encoder: TableEncoder,
    settings: XGBoostSettings,
    *,
    seed: int = 0,
    threads: int = 1,
    rounds: int | None = None,
) -> TrainedModel:
    """Train XGBoost on log prices, stopped at the best validation SMAPE.

    Parameters and errors are those of the other boosting libraries' ``train_*``, and ConfigError as
    `check_one_distribution`.
    """
    check_one_distribution(*DISTRIBUTIONS)
    import xgboost

    check_learnable(train, valid)
    target = Target.fit(train, encoder, settings.amount_exponent)
    params = xgboost_params(settings, rows=len(train), seed=seed, threads=threads)
    custom = settings.objective == "smape"
    if not custom:
        losses = {"l1": "reg:absoluteerror", "l2": "reg:squarederror", "huber": "reg:pseudohubererror"}
        params["objective"] = losses[settings.objective]
    if settings.objective == "huber":
        params["huber_slope"] = settings.huber_alpha
    history: dict[str, dict[str, list[float]]] = {}
    try:
        quantised = {"max_bin": settings.max_bin, "nthread": threads, "enable_categorical": True}
        data = xgboost.QuantileDMatrix(
            train.values, target.learnt(train, encoder), feature_types=_feature_types(encoder), **quantised
        )
        if settings.device != "cpu" and not _has_gpu(data):
            raise refused("XGBoost", train, settings, "No visible GPU is found")
        sets = [(data, "train")]
        if valid is not None:
            sets.append((_rows(valid.values, encoder, threads, target.learnt(valid, encoder)), "valid"))
        booster = xgboost.train(
            params,
            data,
            num_boost_round=rounds or settings.rounds,
            evals=sets,
            obj=xgb_smape_objective if custom else None,
            custom_metric=xgb_smape_eval,
            early_stopping_rounds=settings.early_stopping if valid is not None and rounds is None else None,
            evals_result=history,
            verbose_eval=False,
        )
    except xgboost.core.XGBoostError as error:
        raise refused("XGBoost", train, settings, error) from None
    best = booster.num_boosted_rounds()
    if valid is not None and rounds is None:
        best = booster.best_iteration + 1
        booster = booster[:best]
    return TrainedModel(XGBoostModel(encoder, target, best, booster), curves_table(history))


def _has_gpu(data: Any) -> bool:
    """Whether XGBoost finds a GPU; without one it would warn and train on the CPU."""
    import xgboost

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        config = json.loads(xgboost.Booster({"device": "cuda"}, [data]).save_config())
    return str(config["learner"]["generic_param"]["device"]).startswith("cuda")


def _feature_types(encoder: TableEncoder) -> list[str]:
    return ["q"] * len(encoder.numeric) + ["c"] * len(encoder.categorical) + ["q"] * len(encoder.terms)


def _rows(values: Values, encoder: TableEncoder, threads: int, labels: Floats | None = None) -> Any:
    import xgboost

    return xgboost.DMatrix(
        values, labels, feature_types=_feature_types(encoder), enable_categorical=True, nthread=threads
    )


class XGBoostModel(TreeModel):
    """Trees of XGBoost, saved in its JSON format."""

    file = "model.json"
    magic = b'{"'

    def predict_target(self, given: Any, threads: int) -> Any:
        """See `TreeModel.predict_target`."""
        self._use(threads)
        # without a DMatrix, whose making costs more than the trees of one row
        return self.booster.inplace_predict(given, predict_type="margin", validate_features=False)

    def shap_values(self, values: Values, threads: int) -> Any:
        """See `TreeModel.shap_values`."""
        self._use(threads)
        return self.booster.predict(_rows(values, self.encoder, threads), pred_contribs=True)

    def _use(self, threads: int) -> None:
        """Set the number of threads where it is another one: XGBoost then configures itself again, in 0.4 ms."""
        if vars(self).get("_threads") != threads:
            self.booster.set_param({"nthread": threads})
            vars(self)["_threads"] = threads

    def gains(self) -> Any:
        """Return the total gain of each column, ndarray of shape (p,)."""
        scores = self.booster.get_score(importance_type="total_gain")
        return [scores.get(f"f{position}", 0.0) for position in range(len(self.encoder.names))]

    def write_booster(self, path: Path) -> None:
        """Write XGBoost's JSON format."""
        path.write_bytes(self.booster.save_raw(raw_format="json"))

    @classmethod
    def read_booster(cls, data: bytes) -> tuple[Any, int]:
        """Read XGBoost's JSON format; see `TreeModel.read_booster`."""
        check_one_distribution(*DISTRIBUTIONS)
        import xgboost

        booster = xgboost.Booster()
        booster.load_model(bytearray(data))
        return booster, booster.num_features()


class XGBoost(BoostedMember):
    """Depth-wise trees; they stop at the best SMAPE of the validation rows."""

    name = "xgboost"
    Settings = XGBoostSettings
    Model = XGBoostModel
    train = staticmethod(train_xgboost)
    moved: ClassVar = {"gbdt.xgboost": ""}

    @classmethod
    def check(cls, settings: MemberSettings) -> None:
        """Raise ConfigError where two distributions of XGBoost overwrite each other's files."""
        check_one_distribution(*DISTRIBUTIONS)
