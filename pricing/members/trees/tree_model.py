"""A trained model of any of the three libraries, its file and its schema.

On disk a model is two files: the trees in the library's own format (``model.txt``, ``model.json``, ``model.cbm``; none
of them can hold code) and ``schema.json`` with the columns, the categories, the target's shift and the model file's
hash. Predictions after loading equal those before, bit for bit.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from pricing.errors import ArtifactError, TrainingError
from pricing.members.trees.matrix import FeatureSchema, Matrix, Values
from pricing.members.trees.target import Target
from pricing.store.artifacts import file_digest, write_json

Library = Literal["lightgbm", "xgboost", "catboost"]
LIBRARIES: tuple[Library, ...] = get_args(Library)

FORMAT = 4
"""Version of schema.json."""


class Backend(Protocol):
    """What a library's module offers; the library is imported only when one of these is called."""

    SUFFIX: str

    def predict(self, booster: Any, values: Values, schema: FeatureSchema, threads: int) -> NDArray[np.float64]:
        """What the trees predict (see `pricing.members.trees.target`), shape (n,)."""

    def gains(self, booster: Any, schema: FeatureSchema) -> NDArray[np.float64]:
        """Gain of each column in the schema's order, shape (p,)."""

    def save(self, booster: Any, path: Path) -> None:
        """Write the library's own format."""

    def load(self, path: Path, schema: FeatureSchema) -> Any:
        """Read it back; ArtifactError where it is none."""


def backend(library: Library) -> Backend:
    """The module that speaks to a library, which it imports when it is used; written out for the cache keys."""
    from pricing.members import catboost as cat
    from pricing.members import lightgbm as lgbm
    from pricing.members import xgboost as xgb

    modules: dict[Library, Backend] = {"lightgbm": lgbm, "xgboost": xgb, "catboost": cat}
    return modules[library]


@dataclass(frozen=True)
class GBDTModel:
    """Boosted trees that predict log price.

    Attributes
    ----------
    library : {"lightgbm", "xgboost", "catboost"}
        Who grew the trees.
    schema : FeatureSchema
        Columns and categories, p columns.
    target : Target
        What the trees predict, and the way back to log prices.
    rounds : int
        Boosting rounds kept.
    booster : object
        The library's own model.
    """

    library: Library
    schema: FeatureSchema
    target: Target
    rounds: int
    booster: Any

    def predict(
        self, table: pl.DataFrame, tfidf: sparse.csr_matrix | None = None, *, threads: int = 1
    ) -> NDArray[np.float64]:
        """Predict log prices.

        Parameters
        ----------
        table : polars.DataFrame, n rows
            The schema's columns in any order; sample_id is ignored.
        tfidf : csr_matrix, shape (n, v), optional
            Their terms, for a model that reads some.
        threads : int
            Threads used; the prediction does not depend on it.

        Returns
        -------
        ndarray, shape (n,), float64
            Log prices.

        Raises
        ------
        SchemaError
            The table has other columns than the model was trained with.
        """
        return self.predict_values(self.schema.encode(table, tfidf), threads=threads)

    def predict_values(self, values: Values, *, threads: int = 1) -> NDArray[np.float64]:
        """The same for rows that are already encoded by ``schema``, shape (n, p)."""
        if values.shape[0] == 0:
            return np.empty(0)
        predicted = backend(self.library).predict(self.booster, values, self.schema, threads)
        return self.target.log_price(predicted, values, self.schema)

    def importance(self) -> pl.DataFrame:
        """Columns feature and importance: its share of the total gain, largest first; all 0 without splits."""
        gains = backend(self.library).gains(self.booster, self.schema)
        total = gains.sum()
        table = pl.DataFrame({"feature": self.schema.names, "importance": gains / total if total > 0 else gains})
        return table.sort(["importance", "feature"], descending=[True, False])

    def save(self, folder: Path) -> None:
        """Write the library's own file and schema.json into an existing folder; equal models give equal bytes."""
        path = folder / f"model{backend(self.library).SUFFIX}"
        backend(self.library).save(self.booster, path)
        record = {
            "format": FORMAT,
            "library": self.library,
            "model": path.name,
            "sha256": file_digest(path),
            "target": self.target.to_json(),
            "rounds": self.rounds,
            "features": self.schema.to_json(),
        }
        write_json(folder / "schema.json", record)

    @classmethod
    def load(cls, folder: Path) -> GBDTModel:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ArtifactError
            A file is missing, damaged, of another version, or no model of the library that it claims to be.
        """
        record = _read_record(folder / "schema.json")
        library: Library = record["library"]
        schema = FeatureSchema.from_json(record["features"])
        path = folder / f"model{backend(library).SUFFIX}"
        try:
            found = file_digest(path)
        except OSError as error:
            raise ArtifactError(f"{path}: cannot be read ({error.strerror}); train the member again") from None
        if found != record["sha256"]:
            raise ArtifactError(
                f"{path}: has hash {found[:12]}, schema.json expects {record['sha256'][:12]}; train again"
            )
        booster = backend(library).load(path, schema)
        return cls(library, schema, Target.from_json(record["target"]), int(record["rounds"]), booster)


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["format"] != FORMAT or record["library"] not in LIBRARIES:
            raise ArtifactError(
                f"{path}: format {record['format']!r} of {record['library']!r}, expected format {FORMAT} of one of "
                f"{', '.join(LIBRARIES)}; train the member again"
            )
        FeatureSchema.from_json(record["features"])
        Target.from_json(record["target"]), int(record["rounds"]), str(record["sha256"])[:12]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path}: is no model schema ({error!r}); train the member again") from None
    return cast(dict[str, Any], record)


@dataclass(frozen=True)
class TrainedModel:
    """A model and how it came about.

    Attributes
    ----------
    model : GBDTModel
        With its best rounds only.
    best_round : int
        Rounds kept: the best on the validation part, or all where there is none.
    curves : polars.DataFrame
        round (Int32, from 1), split ("train" or "valid"), metric ("smape" in percent, or "mae" in log price), value.
    """

    model: GBDTModel
    best_round: int
    curves: pl.DataFrame


def refused(library: str, train: Matrix, device: str, reason: object) -> TrainingError:
    """The error for what a library could not train; says what to do where it was to train on a GPU or on few rows."""
    rows, columns = train.values.shape
    said = re.sub(r"^\S+\.(?:cpp|h):\d+:\s*", "", str(reason).strip().splitlines()[0])
    way_out = ""
    if device != "cpu":
        way_out = "; it was asked for a GPU, and without one needs gbdt.device=cpu"
    elif rows < 50:
        way_out = "; use fewer folds (folds.n_splits) or more rows"
    return TrainingError(f"{library} on {rows} rows x {columns} features: {said}{way_out}")


def curves_table(curves: dict[tuple[str, str], list[float]]) -> pl.DataFrame:
    """Stack (split, metric) -> one value a round into the long table of :class:`TrainedModel`."""
    schema = {"round": pl.Int32, "split": pl.String, "metric": pl.String, "value": pl.Float64}
    parts = [
        pl.DataFrame({"value": values}, schema={"value": pl.Float64})
        .with_columns(
            (pl.int_range(1, pl.len() + 1, dtype=pl.Int32)).alias("round"),
            pl.lit(split).alias("split"),
            pl.lit(metric).alias("metric"),
        )
        .select(list(schema))
        for (split, metric), values in sorted(curves.items())
    ]
    return pl.concat(parts) if parts else pl.DataFrame(schema=schema)
