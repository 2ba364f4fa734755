"""A trained model of one boosting library: its trees, the columns that they read, and the way back to log prices.

On disk a model is two files: the trees in the library's own format (none of the formats can hold code) and
``schema.json`` with the columns, the categories, the target's shift and the hash of the other file. Predictions after
loading equal those before, bit for bit.
"""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import polars as pl
from pydantic import TypeAdapter

from pricing.errors import ArtifactError, ConfigError, TrainingError
from pricing.members.predictions import CURVES
from pricing.members.trees.matrix import Matrix, TableEncoder, Values
from pricing.members.trees.target import Target
from pricing.metrics.smape import Floats
from pricing.store.artifacts import file_digest, read_json, write_json
from pricing.store.tables import reading

if TYPE_CHECKING:
    from scipy import sparse

    from pricing.members.trees.tree_settings import TreeSettings

# version of schema.json
FORMAT = 6
_TARGET = TypeAdapter(Target)


@dataclass(frozen=True)
class TreeModel(ABC):
    """Boosted trees that predict log price; each library has a class of its own.

    Attributes
    ----------
    encoder : TableEncoder
        Columns and categories, p columns.
    target : Target
        What the trees predict, and the way back to log prices.
    rounds : int
        Number of boosting rounds kept.
    booster : object
        The library's own model.
    file : str
        Name of the file of the library's own format.
    magic : bytes
        What such a file begins with.
    """

    encoder: TableEncoder
    target: Target
    rounds: int
    booster: Any

    file: ClassVar[str]
    magic: ClassVar[bytes]

    def given(self, values: Values) -> Any:
        """Return n encoded rows as the library takes them; models of one encoder share it."""
        return values

    @abstractmethod
    def predict_target(self, given: Any, threads: int) -> Any:
        """Return what the trees predict of n rows as `given` made them, ndarray of shape (n,); see `Target`."""

    @abstractmethod
    def shap_values(self, values: Values, threads: int) -> Any:
        """Return SHAP values of what the trees predict, ndarray of shape (n, p + 1), the expected value last."""

    @abstractmethod
    def gains(self) -> Any:
        """Return the gain of each column in the encoder's order, ndarray of shape (p,)."""

    @abstractmethod
    def write_booster(self, path: Path) -> None:
        """Write the library's own format; equal models give equal bytes."""

    @classmethod
    @abstractmethod
    def read_booster(cls, data: bytes) -> tuple[Any, int]:
        """Read the library's own format; return the booster and the number of its columns."""

    def predict(self, table: pl.DataFrame, tfidf: sparse.csr_matrix | None = None, *, threads: int = 1) -> Floats:
        """Predict log prices.

        Parameters
        ----------
        table : DataFrame of n rows
            The encoder's columns in any order; sample_id is ignored.
        tfidf : csr_matrix of shape (n, v), optional
            Their terms, for a model that reads some.
        threads : int
            Cores; the prediction does not depend on it.

        Returns
        -------
        ndarray of shape (n,), float64
            Log prices.

        Raises
        ------
        SchemaError
            The table has other columns than the model was trained with.
        """
        return self.predict_values(self.encoder.encode(table, tfidf), threads=threads)

    def predict_values(self, values: Values, *, threads: int = 1, given: Any = None) -> Floats:
        """Predict log prices of rows that ``encoder`` has encoded, shape (n, p), and that `given` may have read."""
        if values.shape[0] == 0:
            return np.empty(0)
        found = self.predict_target(self.given(values) if given is None else given, threads)
        return self.target.log_price(np.asarray(found, np.float64), values, self.encoder)

    def contributions(self, values: Values, *, threads: int = 1) -> Floats:
        """Return what each column adds to the log price of encoded rows.

        SHAP values of the trees by their paths (Lundberg et al., "From local explanations to global understanding with
        explainable AI for trees", Nature Machine Intelligence 2020). What `Target` adds for an amount is the amount's.

        Parameters
        ----------
        values : ndarray or csr_matrix of shape (n, p), float32
            As ``encoder`` encodes them.

        Returns
        -------
        ndarray of shape (n, p + 1), float64
            Log prices; the last column is the mean over the trees' training rows. A row's sum is its prediction, but
            for the rounding of a library that computes in float32.
        """
        found = np.array(self.shap_values(values, threads), np.float64)
        found[:, -1] += self.target.center
        if self.encoder.amount is not None:
            amount = self.encoder.names.index(self.encoder.amount[0])
            found[:, amount] += self.target.shift(values, self.encoder) - self.target.center
        return found

    def importance(self) -> pl.DataFrame:
        """Return ``feature`` and ``importance``: its share of the total gain, largest first; all 0 without splits."""
        gains = np.asarray(self.gains(), np.float64)
        total = gains.sum()
        table = pl.DataFrame({"feature": self.encoder.names, "importance": gains / total if total > 0 else gains})
        return table.sort(["importance", "feature"], descending=[True, False])

    def save(self, folder: Path) -> None:
        """Write the library's own file and schema.json into an existing folder; equal models give equal bytes."""
        path = folder / self.file
        self.write_booster(path)
        digest, target, features = file_digest(path), asdict(self.target), asdict(self.encoder)
        record = {"format": FORMAT, "sha256": digest, "target": target, "rounds": self.rounds, "features": features}
        write_json(folder / "schema.json", record)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            A file is missing, damaged, of another version, or no model of this library.
        """
        schema, path = folder / "schema.json", folder / cls.file
        with reading(schema, "a model's schema"):
            record = read_json(schema)
            if record["format"] != FORMAT:
                raise ValueError(f"format {record['format']!r}, expected format {FORMAT}")
            encoder = _read_encoder(json.dumps(record["features"]))
            target: Target = _TARGET.validate_python(record["target"])
            rounds, expected = int(record["rounds"]), str(record["sha256"])
        try:
            data = path.read_bytes()
            found = hashlib.sha256(data).hexdigest()
            if found != expected:
                raise ValueError(f"it has hash {found[:12]}, schema.json expects {expected[:12]}")
            if not data.startswith(cls.magic):
                raise ValueError(f"it does not begin with {cls.magic.decode()!r}")
            booster, columns = cls.read_booster(data)
        except ConfigError:
            raise
        except Exception as error:  # each library has errors of its own; all of them mean the same
            reason = next(iter(str(error).strip().splitlines()), "")
            raise ArtifactError(f"{path}: is no {cls.__name__} ({reason}); train the member again") from None
        if columns != len(encoder.names):
            raise ArtifactError(f"{path}: reads {columns} columns, schema.json names {len(encoder.names)}; train again")
        return cls(encoder, target, rounds, booster)


@lru_cache(maxsize=64)
def _read_encoder(record: str) -> TableEncoder:
    """The encoder of a JSON record; equal records give one object, since a run has 54 models and 6 encoders."""
    return TypeAdapter(TableEncoder).validate_json(record)


@dataclass(frozen=True)
class TrainedModel:
    """A model and how it came about.

    Attributes
    ----------
    model : TreeModel
        With its best rounds only.
    curves : DataFrame
        round (Int32, from 1), split ("train" or "valid"), metric ("smape" in percent, or "mae" in log price), value.
    """

    model: TreeModel
    curves: pl.DataFrame

    @property
    def best_round(self) -> int:
        """Number of rounds kept: the best on the validation rows, or all where there are none."""
        return self.model.rounds


def refused(library: str, train: Matrix, settings: TreeSettings, reason: object) -> TrainingError:
    """Return the error for what a library could not train; it names the way out with a GPU or with few rows."""
    rows, columns = train.values.shape
    said = re.sub(r"^\S+\.(?:cpp|h):\d+:\s*", "", str(reason).strip().splitlines()[0])
    way_out = ""
    if settings.device != "cpu":
        way_out = f"; it was asked for a GPU, and without one needs members.{library.lower()}.device=cpu"
    elif rows < 50:
        way_out = "; use fewer folds (folds.n_splits) or more rows"
    return TrainingError(f"{library} on {rows} rows x {columns} features: {said}{way_out}")


def curves_table(curves: Mapping[str, Mapping[str, list[float]]]) -> pl.DataFrame:
    """Stack split -> metric -> one value per round into the long table of `TrainedModel`."""
    parts = [
        pl.DataFrame({"round": range(1, len(values) + 1), "split": split, "metric": metric, "value": values}, CURVES)
        for split, by_metric in sorted(curves.items())
        for metric, values in sorted(by_metric.items())
    ]
    return pl.concat([pl.DataFrame(schema=CURVES), *parts])
