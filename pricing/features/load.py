"""Feature tables on disk: the FeatureSet that the members read, and its exact round trip.

A split (``labelled``, ``unlabelled``) of a features folder is three files: ``SPLIT.parquet`` (sample_id and the named
columns), ``SPLIT_tfidf.npz`` (CSR float32, rows as in the table) and the ``schema.json`` that all splits share; where
texts were embedded, ``SPLIT_embedding.npy``, and where columns have roles ``SPLIT_parts.npy``; where comparables were
searched, ``SPLIT_nearest.npz`` (positions and cosines, by space) and ``index.parquet`` (ids of the labelled rows whose
positions they are).
Nothing that is read here can execute code: NumPy archives are opened without pickle, and the schema is checked against
what the files hold.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from pydantic import TypeAdapter
from scipy import sparse

from pricing.errors import SchemaError
from pricing.features.files import read_array, read_arrays, read_sparse
from pricing.features.neighbours import Neighbours
from pricing.features.schema import CATEGORY, NUMBER, Column
from pricing.features.table_values import TableValues
from pricing.store.artifacts import read_json, write_json
from pricing.store.tables import read_table, reading

ID = "sample_id"
RIDGE = "ridge"
"""Column of the price features: the ridge's log price."""
_INDEX = "index.parquet"
_PRICE_SCHEMA = "schema.json"


@dataclass(frozen=True)
class FeatureSchema:
    """The tabular columns, numbers first, and the width of the TF-IDF matrix."""

    columns: tuple[Column, ...]
    """In table order: Float32 columns, then String columns."""
    tfidf_columns: int
    """Columns of the sparse matrix."""
    spaces: tuple[tuple[str, int, int], ...] = ()
    """Name, first column and end of each space of the sparse matrix in which rows are compared."""
    embedding: int = 0
    """Width of the embeddings; 0 where there are none."""
    parts: tuple[str, ...] = ()
    """What of a product is embedded for itself, beside its whole text."""

    @cached_property
    def numeric(self) -> tuple[str, ...]:
        """Names of the Float32 columns, missing values as NaN."""
        return tuple(column.name for column in self.columns if column.kind == NUMBER)

    @cached_property
    def categorical(self) -> tuple[str, ...]:
        """Names of the String columns; a missing value is the empty string."""
        return tuple(column.name for column in self.columns if column.kind == CATEGORY)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tabular columns in table order."""
        return (*self.numeric, *self.categorical)

    def to_json(self) -> str:
        """JSON with sorted keys, so that equal schemas are equal bytes."""
        record = {
            "columns": [asdict(column) for column in self.columns],
            "tfidf_columns": self.tfidf_columns,
            "spaces": [list(space) for space in self.spaces],
            "embedding": self.embedding,
            "parts": list(self.parts),
        }
        return json.dumps(record, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_file(cls, path: Path) -> "FeatureSchema":
        """Read schema.json.

        Raises
        ------
        ArtifactError
            The file is missing or is not a features schema.
        """
        with reading(path, "a features schema (columns, tfidf_columns)"):
            record = read_json(path)
            spaces = tuple((str(name), int(start), int(stop)) for name, start, stop in record["spaces"])
            columns = TypeAdapter(tuple[Column, ...]).validate_python(record["columns"])
            parts = tuple(str(part) for part in record["parts"])
            return cls(columns, int(record["tfidf_columns"]), spaces, int(record["embedding"]), parts)


@dataclass(frozen=True)
class Nearest:
    """The most similar labelled rows of n rows, in each space."""

    ids: pl.Series
    """sample_id of the m labelled rows, String."""
    spaces: dict[str, Neighbours]
    """Space to (n, k) positions among them."""

    def take(self, rows: np.ndarray) -> "Nearest":
        """Those of some of the n rows (positions or a mask)."""
        return Nearest(self.ids, {space: found.take(rows) for space, found in self.spaces.items()})


@dataclass(frozen=True)
class FeatureSet:
    """Features of n rows, in one row order."""

    ids: pl.Series
    """sample_id, String, (n,)."""
    tabular: pl.DataFrame
    """(n, numeric + categorical), without the ids: Float32 and String columns."""
    tfidf: sparse.csr_matrix
    """(n, terms) float32."""
    schema: FeatureSchema
    """Names and widths."""
    nearest: Nearest | None = None
    """Comparables, where an index of labelled rows was searched."""
    embedding: np.ndarray | None = None
    """(n, d) float32 rows of length 1, where an encoder read the texts."""
    parts: np.ndarray | None = None
    """(n, p, d) float32, the embeddings of ``schema.parts``, each of length 1."""

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def values(self) -> TableValues:
        """The table as arrays, read once."""
        return TableValues.of(self.tabular)

    def space(self, name: str) -> sparse.csr_matrix | np.ndarray:
        """The space of this name, (n, p): a part of the sparse matrix, or the embedding.

        Raises
        ------
        SchemaError
            There is none; names those there are.
        """
        if name == "embedding" and self.embedding is not None:
            return self.embedding
        for space, start, stop in self.schema.spaces:
            if space == name:
                return self.tfidf[:, start:stop]
        raise SchemaError(f"no space {name!r}; there are {', '.join(space for space, _, _ in self.schema.spaces)}")

    @cached_property
    def numbers(self) -> np.ndarray:
        """The numeric columns, (n, p) float32, missing values NaN; every fold's price features read them."""
        return self.values.select(self.schema.numeric).astype(np.float32, copy=False)

    def take(self, rows: np.ndarray) -> "FeatureSet":
        """The rows at the given positions (integers) or under a boolean mask, in that order."""
        positions = np.flatnonzero(rows) if rows.dtype == bool else rows
        index = pl.Series(positions.astype(np.uint32))
        nearest = self.nearest.take(positions) if self.nearest else None
        embedding = self.embedding[positions] if self.embedding is not None else None
        parts = self.parts[positions] if self.parts is not None else None
        return FeatureSet(
            self.ids.gather(index), self.tabular[index], self.tfidf[positions], self.schema, nearest, embedding, parts
        )

    def reorder(self, ids: Sequence[str] | pl.Series) -> "FeatureSet":
        """The rows with the given ids, in that order.

        Raises
        ------
        SchemaError
            An id is not among these rows; names the first one.
        """
        wanted = pl.DataFrame({ID: pl.Series(ids, dtype=pl.String)})
        if wanted[ID].equals(self.ids):
            return self
        own = pl.DataFrame({ID: self.ids}).with_row_index("position")
        joined = wanted.join(own, on=ID, how="left", maintain_order="left")
        if joined["position"].null_count():
            missing = joined.filter(pl.col("position").is_null())[ID][0]
            raise SchemaError(f"no features for sample_id {missing!r}; build the features of this catalogue first")
        return self.take(joined["position"].to_numpy())


def save_features(features: FeatureSet, folder: Path, split: str = "labelled") -> None:
    """Write one split of a features folder; equal features give equal bytes.

    Parameters
    ----------
    features : FeatureSet
        The rows.
    folder : Path
        Existing folder; its schema.json is written, or compared where there is one already.
    split : str
        "labelled", "unlabelled" or any other file name.

    Raises
    ------
    SchemaError
        The folder already holds splits of another schema.
    """
    schema_file = folder / "schema.json"
    if schema_file.exists() and FeatureSchema.from_file(schema_file) != features.schema:
        raise SchemaError(f"{schema_file}: the folder holds features of another schema; write into an empty folder")
    schema_file.write_text(features.schema.to_json(), encoding="utf-8")
    table = features.tabular.select(features.schema.names).insert_column(0, features.ids.alias(ID))
    table.write_parquet(folder / f"{split}.parquet")
    sparse.save_npz(folder / f"{split}_tfidf.npz", features.tfidf.tocsr(), compressed=False)
    if features.embedding is not None:
        np.save(folder / f"{split}_embedding.npy", features.embedding, allow_pickle=False)
    if features.parts is not None:
        np.save(folder / f"{split}_parts.npy", features.parts, allow_pickle=False)
    if features.nearest is not None:
        features.nearest.ids.alias(ID).to_frame().write_parquet(folder / _INDEX)
        arrays = {}
        for space, found in features.nearest.spaces.items():
            arrays[f"{space}_index"] = found.index.astype(np.int32)
            arrays[f"{space}_similarity"] = found.similarity
        np.savez(folder / f"{split}_nearest.npz", **arrays)  # type: ignore[arg-type]


def load_features(folder: Path, split: str = "labelled") -> FeatureSet:
    """Read one split of a features folder and check it against its schema.

    Raises
    ------
    ArtifactError
        A file is missing, damaged, or holds objects that would have to be unpickled.
    SchemaError
        The files do not have the columns or the rows that the schema and each other promise.
    """
    schema = FeatureSchema.from_file(folder / "schema.json")
    table = read_table(folder / f"{split}.parquet")
    expected = {ID: pl.String}
    expected |= dict.fromkeys(schema.numeric, pl.Float32) | dict.fromkeys(schema.categorical, pl.String)  # type: ignore[arg-type]
    if dict(table.schema) != expected:
        wrong = sorted(set(table.schema.items()) ^ set(expected.items()), key=str)[:3]
        raise SchemaError(f"{folder / split}.parquet: columns are not those of schema.json, first differences {wrong}")
    matrix = read_sparse(folder / f"{split}_tfidf.npz")
    if matrix.shape != (table.height, schema.tfidf_columns):
        raise SchemaError(
            f"{folder / split}_tfidf.npz: got shape {matrix.shape}, expected {(table.height, schema.tfidf_columns)}"
        )
    width, many = schema.embedding, len(schema.parts)
    embedding = _load_array(folder / f"{split}_embedding.npy", (table.height, width)) if width else None
    parts = _load_array(folder / f"{split}_parts.npy", (table.height, many, width)) if many else None
    nearest = _load_nearest(folder, split, table.height)
    return FeatureSet(table[ID], table.drop(ID), matrix, schema, nearest, embedding, parts)


def _load_array(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    array = read_array(path)
    if array.shape != shape:
        raise SchemaError(f"{path}: got shape {array.shape}, expected {shape}")
    return array


def _load_nearest(folder: Path, split: str, rows: int) -> Nearest | None:
    if not (folder / _INDEX).exists():
        return None
    ids = read_table(folder / _INDEX)[ID]
    path = folder / f"{split}_nearest.npz"
    arrays = read_arrays(path)
    spaces = {}
    for name in arrays:
        if name.endswith("_index"):
            space = name.removesuffix("_index")
            index, similarity = arrays[name].astype(np.int64), arrays.get(f"{space}_similarity", np.zeros(0))
            if index.shape != similarity.shape or len(index) != rows or (index.size and index.max() >= len(ids)):
                raise SchemaError(
                    f"{path}: {index.shape} neighbours in space {space} for {rows} rows of {len(ids)}; rebuild"
                )
            spaces[space] = Neighbours(index, similarity)
    return Nearest(ids, spaces)


def save_price_columns(columns: tuple[Column, ...], folder: Path) -> None:
    """Write what the columns of price features are."""
    write_json(folder / _PRICE_SCHEMA, [asdict(column) for column in columns])


def load_price_columns(folder: Path) -> tuple[Column, ...]:
    """Read what `save_price_columns` wrote.

    Raises
    ------
    ArtifactError
        The file is missing or holds something else.
    """
    with reading(folder / _PRICE_SCHEMA, "the columns of price features"):
        return TypeAdapter(tuple[Column, ...]).validate_python(read_json(folder / _PRICE_SCHEMA))


def load_price_features(folder: Path, split: str, ids: pl.Series) -> pl.DataFrame:
    """Read one split of price features, in the order of ``ids``: ``price_*`` (Float32) and ``ridge`` (Float64).

    Raises
    ------
    ArtifactError
        The table is missing or damaged.
    SchemaError
        The table does not hold exactly these ids; names the first one missing.
    """
    path = folder / f"{split}.parquet"
    table = read_table(path)
    if ID not in table.columns:
        raise SchemaError(f"{path}: got columns {table.columns[:5]}, expected sample_id and price_*")
    if not table[ID].equals(ids):
        table = ids.alias(ID).to_frame().join(table, on=ID, how="left", maintain_order="left")
        known = ids.is_in(read_table(path)[ID].implode())
        if not known.all():
            raise SchemaError(f"{path}: no row for sample_id {ids.filter(~known)[0]!r}; rebuild the stage")
    return table.drop(ID)
