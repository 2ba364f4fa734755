"""The finished ensemble: from the members' log prices to one log price and its intervals, saved without pickle.

On disk::

    ensemble.json            members, learners, level 2 weights, calibration, decision, intervals, bounds
    LEARNER.N.lgb.txt        the trees of a learner, LightGBM's own text format
    LEARNER.safetensors      the weights of a network
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from pricing.ensemble.calibration import Calibration
from pricing.ensemble.decision import Decision
from pricing.ensemble.intervals import Intervals
from pricing.ensemble.learners import Model, linear_part
from pricing.ensemble.linear import LinearModel
from pricing.ensemble.meta_network import NetworkModel
from pricing.ensemble.meta_trees import TreeModel
from pricing.errors import ArtifactError, PredictionsError, SchemaError
from pricing.metrics.smape import Floats
from pricing.store.artifacts import read_json, write_json
from pricing.store.tables import reading

_FORMAT = 4
_SUMMED = (
    "elasticnet", "greedy", "trees", "mean", "member", "network", "ridge", "single", "smape_linear", "weights",
)  # fmt: skip
"""Order of the learners in the blend's sum, members by name: a sum in another order differs in its last bit."""


@dataclass(frozen=True)
class Ensemble:
    """Level 1 learners, level 2 weights over them, calibration, decision, intervals.

    Attributes
    ----------
    members : tuple of str
        Names of the base models, in the order of the learners' coefficients.
    learners : dict of str to Model
        Level 1; ``member NAME`` is a base model itself.
    weights : dict of str to float
        Level 2: learner to weight; >= 0, sum 1.
    calibration : Calibration
        Applied to the weighted log price.
    decision : Decision
        Applied to the calibrated log price.
    bounds : tuple of float
        Lowest and highest log price that may leave; no price far outside of what was learnt is believable.
    intervals : Intervals or None
        Of the residuals; None in an ensemble that only judges a fold.
    """

    members: tuple[str, ...]
    learners: dict[str, Model]
    weights: dict[str, float]
    calibration: Calibration
    decision: Decision
    bounds: tuple[float, float]
    intervals: Intervals | None = None

    def predict(self, member_log_prices: Mapping[str, ArrayLike]) -> Floats:
        """Log prices of shape (n,).

        Parameters
        ----------
        member_log_prices : mapping of str to array-like of shape (n,)
            One entry a member, matched by name.

        Raises
        ------
        SchemaError
            Other members than the ensemble was fitted on.
        PredictionsError
            Lengths differ, or a value is not finite.
        """
        # one thread: a product split over several may round differently
        with threadpool_limits(1):
            members = self._matrix(member_log_prices)
            return self.finish(members, self.blend(members))

    def blend(self, members: Floats) -> Floats:
        """The learners' weighted log price of shape (n,), before calibration and decision."""
        total = np.zeros(len(members))
        for name in sorted(self.weights, key=lambda name: (_SUMMED.index(name.partition(" ")[0]), name)):
            if self.weights[name] > 0:
                total += self.weights[name] * self.learners[name].predict(members)
        return total

    def finish(self, members: Floats, blend: Floats) -> Floats:
        """Calibration, decision and bounds on what `blend` gave."""
        return np.clip(self.decision.apply(members, self.calibration.apply(blend)), *self.bounds)

    def matched(self, member_log_prices: Mapping[str, ArrayLike]) -> "Ensemble":
        """The same ensemble with its spreads matched to new rows, see `pricing.ensemble.spread`; needs no prices."""
        members = self._matrix(member_log_prices)
        with threadpool_limits(1):
            calibrated = self.calibration.apply(self.blend(members))
        decision, intervals = self.decision, self.intervals
        if decision.spread is not None:
            decision = replace(decision, spread=decision.spread.matched(members, calibrated))
        if intervals is not None:
            price = np.clip(decision.apply(members, calibrated), *self.bounds)
            intervals = replace(intervals, spread=intervals.spread.matched(members, price))
        return replace(self, decision=decision, intervals=intervals)

    def predict_intervals(self, member_log_prices: Mapping[str, ArrayLike], log_price: Floats) -> dict[str, Floats]:
        """Log prices at the ends of the intervals, `INTERVAL_COLUMNS` to (n,).

        Parameters
        ----------
        member_log_prices : mapping of str to array-like of shape (n,)
            As `predict`.
        log_price : ndarray of shape (n,)
            What `predict` made of them.

        Raises
        ------
        ArtifactError
            The ensemble has no intervals.
        """
        if self.intervals is None:
            raise ArtifactError("this ensemble has no prediction intervals; build the run again")
        around = self.intervals.around(self._matrix(member_log_prices), log_price)
        sides = ("low", "high")
        return {f"{side}_{level}": ends for level in around for side, ends in zip(sides, around[level], strict=True)}

    def _matrix(self, given: Mapping[str, ArrayLike]) -> Floats:
        missing, extra = sorted(set(self.members) - set(given)), sorted(set(given) - set(self.members))
        if missing or extra:
            raise SchemaError(
                f"the ensemble was fitted on members {', '.join(self.members)}; "
                f"missing {', '.join(missing) or 'none'}, unknown {', '.join(extra) or 'none'}; give exactly these"
            )
        columns = [np.asarray(given[name], dtype=np.float64) for name in self.members]
        if any(column.ndim != 1 or column.shape != columns[0].shape for column in columns):
            shapes = ", ".join(f"{name} {column.shape}" for name, column in zip(self.members, columns, strict=True))
            raise PredictionsError(f"members must have one log price a row each, got shapes {shapes}")
        for name, column in zip(self.members, columns, strict=True):
            bad = np.flatnonzero(~np.isfinite(column))
            if bad.size:
                raise PredictionsError(f"member {name}: log price {column[bad[0]]} at row {bad[0]} is not finite")
        return np.column_stack(columns)

    def save(self, folder: Path) -> None:
        """Write the ensemble into a folder, which is made if need be."""
        folder.mkdir(parents=True, exist_ok=True)
        record = {
            "format": _FORMAT,
            "members": list(self.members),
            "learners": {name: _write_learner(folder, name, model) for name, model in self.learners.items()},
            "weights": self.weights,
            "calibration": self.calibration.to_dict(),
            "decision": self.decision.to_dict(),
            "bounds": list(self.bounds),
            "intervals": self.intervals.to_dict() if self.intervals else None,
        }
        write_json(folder / "ensemble.json", record)

    @classmethod
    def load(cls, folder: Path) -> "Ensemble":
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            A file is missing, damaged or of another format.
        """
        path = folder / "ensemble.json"
        with reading(path, "a whole ensemble"):
            record = read_json(path)
            if record["format"] != _FORMAT:
                raise ArtifactError(f"{path}: format {record['format']!r}, this version reads {_FORMAT}; train again")
            members = tuple(str(name) for name in record["members"])
            learners = {
                str(name): _read_learner(folder, name, item, len(members)) for name, item in record["learners"].items()
            }
            weights = {str(name): float(weight) for name, weight in record["weights"].items()}
            low, high = (float(value) for value in record["bounds"])
            calibration = Calibration.from_dict(record["calibration"])
            decision = Decision.from_dict(record["decision"], len(members))
            kept = record["intervals"]
            intervals = Intervals.from_dict(kept, len(members)) if kept is not None else None
        total = sum(weights.values())
        if set(weights) != set(learners) or min(weights.values(), default=-1.0) < 0 or abs(total - 1) > 1e-9:
            raise ArtifactError(f"{path}: level 2 weights {weights} are not on the simplex over {sorted(learners)}")
        return cls(members, learners, weights, calibration, decision, (low, high), intervals)


def _write_learner(folder: Path, name: str, model: Model) -> dict[str, Any]:
    """Write a learner's files; returns its entry in ensemble.json."""
    linear = linear_part(model)
    entry: dict[str, Any] = {"intercept": linear.intercept, "coefficients": linear.coefficients.tolist()}
    if linear.low is not None and linear.high is not None:
        entry |= {"low": linear.low.tolist(), "high": linear.high.tolist()}
    if isinstance(model, TreeModel):
        entry |= {"kind": "trees", "members": list(model.members), "models": len(model.texts)}
        for number, text in enumerate(model.texts):
            (folder / _tree_file(name, number)).write_text(text, encoding="utf-8")
    elif isinstance(model, NetworkModel):
        entry |= {"kind": "network", **model.save(folder / f"{name}.safetensors")}
    else:
        entry["kind"] = "linear"
    return entry


def _tree_file(name: str, number: int) -> str:
    return f"{name}.{number}.lgb.txt"


def _read_learner(folder: Path, name: str, item: dict[str, Any], count: int) -> Model:
    path = folder / "ensemble.json"
    arrays = {key: np.array(item[key], dtype=np.float64) for key in ("coefficients", "low", "high") if key in item}
    linear = LinearModel(float(item["intercept"]), **arrays)
    if any(array.shape != (count,) for array in arrays.values()) or (linear.low is None) != (linear.high is None):
        raise ArtifactError(f"{path}: learner {name} does not have one coefficient and one range a member")
    if not np.isfinite([linear.intercept, *np.concatenate(list(arrays.values()))]).all():
        raise ArtifactError(f"{path}: learner {name} has a number that is not finite")
    if item["kind"] == "linear":
        return linear
    if Path(name).name != name or "\\" in name:
        raise ArtifactError(f"{path}: learner {name!r} cannot be the name of a file")
    if item["kind"] == "network":
        return NetworkModel.load(folder / f"{name}.safetensors", linear, item)
    if item["kind"] != "trees":
        raise ArtifactError(f"{path}: learner {name} is of the unknown kind {item['kind']!r}")
    members = tuple(int(one) for one in item["members"])
    if not members or not all(0 <= one < count for one in members) or not 1 <= int(item["models"]) <= 64:
        raise ArtifactError(f"{path}: learner {name} sees members {members} of {count}, in {item['models']} models")
    texts = []
    for number in range(int(item["models"])):
        text = (folder / _tree_file(name, number)).read_text(encoding="utf-8")
        if not text.startswith("tree") or "end of parameters" not in text:
            raise ArtifactError(
                f"{folder / _tree_file(name, number)}: is not a whole model of trees; build the run again"
            )
        texts.append(text)
    return TreeModel(linear, members, tuple(texts))
