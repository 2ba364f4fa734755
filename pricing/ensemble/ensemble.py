"""The finished ensemble: from the members' log prices to one log price, saved without pickle.

On disk::

    ensemble.json        members, learners' coefficients, level 2 weights, calibration, bounds
    LEARNER.lgb.txt      the trees of a LightGBM learner, LightGBM's own text format
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pricing.ensemble.calibration import Calibration
from pricing.ensemble.learners import LinearModel, TreeModel
from pricing.errors import ArtifactError, PredictionsError, SchemaError

__all__ = ["Ensemble"]

_FORMAT = 1


@dataclass(frozen=True)
class Ensemble:
    """Level 1 learners, level 2 weights over them, calibration.

    Attributes
    ----------
    members : tuple of str
        Names of the base models, in the order of the learners' coefficients.
    learners : dict of str to LinearModel or TreeModel
        Level 1.
    weights : dict of str to float
        Level 2: learner to weight; >= 0, sum 1.
    calibration : Calibration
        Applied to the weighted log price.
    bounds : tuple of float
        Lowest and highest log price that may leave; no price far outside of what was learnt is believable.
    """

    members: tuple[str, ...]
    learners: dict[str, LinearModel | TreeModel]
    weights: dict[str, float]
    calibration: Calibration
    bounds: tuple[float, float]

    def predict(self, member_log_prices: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
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
        return self.predict_matrix(self._matrix(member_log_prices))

    def predict_matrix(self, members: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log prices of shape (n,) for members of shape (n, m), columns in the order of ``self.members``."""
        total = np.zeros(len(members))
        # sorted, as saving sorts them: a sum in another order differs in its last bit
        for name, weight in sorted(self.weights.items()):
            if weight > 0:
                total += weight * self.learners[name].predict(members)
        return np.clip(self.calibration.apply(total), *self.bounds)

    def member_weights(self) -> dict[str, float]:
        """Each member's weight in the linear part of the stack, trees left out; a guide for the reader."""
        total = np.zeros(len(self.members))
        for name, weight in self.weights.items():
            model = self.learners[name]
            total += weight * (model.base if isinstance(model, TreeModel) else model).coefficients
        return {member: float(value) for member, value in zip(self.members, total, strict=True)}

    def _matrix(self, given: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
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
        learners: dict[str, Any] = {}
        for name, model in self.learners.items():
            linear = model.base if isinstance(model, TreeModel) else model
            learners[name] = {"intercept": linear.intercept, "coefficients": linear.coefficients.tolist()}
            if isinstance(model, TreeModel):
                learners[name]["trees"] = f"{name}.lgb.txt"
                (folder / f"{name}.lgb.txt").write_text(model.text, encoding="utf-8")
        record = {
            "format": _FORMAT,
            "members": list(self.members),
            "learners": learners,
            "weights": self.weights,
            "calibration": self.calibration.to_dict(),
            "bounds": list(self.bounds),
        }
        text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False)
        (folder / "ensemble.json").write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Ensemble":
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            A file is missing, damaged or of another format.
        """
        path = folder / "ensemble.json"
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["format"] != _FORMAT:
                raise ArtifactError(f"{path}: format {record['format']!r}, this version reads {_FORMAT}; train again")
            members = tuple(str(name) for name in record["members"])
            learners = {str(name): _read_learner(folder, name, item) for name, item in record["learners"].items()}
            weights = {str(name): float(weight) for name, weight in record["weights"].items()}
            low, high = (float(value) for value in record["bounds"])
            calibration = Calibration.from_dict(record["calibration"])
        except (OSError, UnicodeDecodeError) as error:
            raise ArtifactError(f"{path}: the ensemble cannot be read ({error}); build the run again") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(f"{path}: the ensemble is damaged ({error}); build the run again") from None
        total = sum(weights.values())
        if set(weights) != set(learners) or min(weights.values(), default=-1.0) < 0 or abs(total - 1) > 1e-9:
            raise ArtifactError(f"{path}: level 2 weights {weights} are not on the simplex over {sorted(learners)}")
        for name, model in learners.items():
            linear = model.base if isinstance(model, TreeModel) else model
            if linear.coefficients.shape != (len(members),) or not np.isfinite(linear.coefficients).all():
                raise ArtifactError(f"{path}: learner {name} does not have one finite coefficient a member")
        return cls(members, learners, weights, calibration, (low, high))


def _read_learner(folder: Path, name: str, item: dict[str, Any]) -> LinearModel | TreeModel:
    linear = LinearModel(float(item["intercept"]), np.array(item["coefficients"], dtype=np.float64))
    if "trees" not in item:
        return linear
    if item["trees"] != f"{name}.lgb.txt" or "/" in name or "\\" in name:
        raise ArtifactError(f"{folder / 'ensemble.json'}: learner {name} names the file {item['trees']!r}")
    text = (folder / item["trees"]).read_text(encoding="utf-8")
    if not text.startswith("tree") or "end of parameters" not in text:
        raise ArtifactError(f"{folder / item['trees']}: is not a whole LightGBM model; build the run again")
    return TreeModel(linear, text)
