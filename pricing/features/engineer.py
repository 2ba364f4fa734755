"""The FeatureEngineer: catalogue texts to named columns and a sparse matrix, without reading a price.

scikit-learn's shape (``fit``, ``transform``, ``get_feature_names_out``). What it learns - brand names, vocabularies,
inverse document frequencies, SVD components - needs no label, so it is fitted once on all rows outside the hold-out.
A row's features depend on its own text and on what was learnt, never on the other rows of the batch.

Example
-------
>>> import polars as pl
>>> from pricing.config import FeaturesConfig
>>> rows = pl.DataFrame({"sample_id": ["1", "2"], "catalog_content": ["Item Name: Tea, 2 oz", "Item Name: Tea, 4 oz"]})
>>> features = FeatureEngineer(FeaturesConfig()).fit(rows).transform(rows)
>>> features.tabular["ipq_size"].round(1).to_list()
[56.7, 113.4]
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from scipy import sparse

from pricing.config.columns import CHALLENGE, ColumnsConfig
from pricing.config.features import FeaturesConfig
from pricing.errors import SchemaError
from pricing.features.brand import BrandNames
from pricing.features.comparables import ComparableIndex
from pricing.features.families import TextFamilies, chunks, split_texts
from pricing.features.load import ID, FeatureSchema, FeatureSet, load_features, save_features
from pricing.features.schema import CATEGORY, WORDS, make_columns
from pricing.features.table_values import cut_columns
from pricing.features.tfidf import TfidfSpace
from pricing.store.artifacts import read_json, write_json
from pricing.store.tables import reading

# torch takes seconds to import, and only one of the spaces needs it
if TYPE_CHECKING:
    from pricing.features.embedding import TextEmbedder


class FeatureEngineer(TextFamilies):
    """Text to features.

    Parameters
    ----------
    config : FeaturesConfig
        Keywords, vocabularies, sizes.
    seed : int
        Of the randomised SVD.
    threads : int
        Cores of embedding and of the search for comparables; they change no number.
    cache : Path, optional
        Folder in which embeddings are kept by text; see `TextEmbedder`.
    columns : ColumnsConfig
        Roles of the catalogue's columns.
    """

    def __init__(
        self, config: FeaturesConfig | None = None, seed: int = 0, threads: int = 1, cache: Path | None = None,
        columns: ColumnsConfig = CHALLENGE,
    ) -> None:  # fmt: skip
        super().__init__(config or FeaturesConfig(), columns)
        self.seed = seed
        self.threads = threads
        self.cache = cache
        self.embedder: TextEmbedder | None = None
        self.tfidf: TfidfSpace | None = None
        self.index: ComparableIndex | None = None
        self._schema: tuple[tuple[TfidfSpace | None, TextEmbedder | None], FeatureSchema] | None = None
        """What `schema` was made of, and itself."""

    def fit_tfidf(self, sections: pl.DataFrame) -> "FeatureEngineer":
        """Learn vocabularies, weights and the SVD."""
        self.tfidf = TfidfSpace(self.config.tfidf, bool(self.declared.roles.category)).fit(sections, self.seed)
        return self

    def transform_tfidf(self, sections: pl.DataFrame) -> sparse.csr_matrix:
        """(n, terms) float32 CSR; the same text gives the same row, before and after saving."""
        return self._fitted()[1].transform(sections)

    # --- all of them

    def fit(self, frame: pl.DataFrame, y: object = None) -> "FeatureEngineer":
        """Learn from n rows.

        Parameters
        ----------
        frame : DataFrame
            ``catalog_content`` (String); nulls count as empty texts.
        y : object
            Ignored: no feature here reads a price.
        """
        self.declared.fit(frame)
        sections = self._sections(frame)
        if "embedding" in self.config.spaces:
            from pricing.features.embedding import TextEmbedder

            self.embedder = TextEmbedder.find(self.config.embedding, cache=self.cache, threads=self.threads)
        self.brands = BrandNames.fit(sections["item_name"], self.config.brand_min_count)
        return self.fit_tfidf(sections)

    def transform(self, frame: pl.DataFrame) -> FeatureSet:
        """Features of n rows (``sample_id``, ``catalog_content``), in their order."""
        return self.engineer_features(frame)

    def fit_transform(self, frame: pl.DataFrame, y: object = None) -> FeatureSet:
        """``fit(frame).transform(frame)``."""
        return self.fit(frame).transform(frame)

    def engineer_features(self, frame: pl.DataFrame) -> FeatureSet:
        """All families of n rows.

        Raises
        ------
        SchemaError
            A column is missing, or the engineer is not fitted.
        """
        space = self._fitted()[1]
        if ID not in frame.columns:
            raise SchemaError(f"got columns {frame.columns}, expected sample_id and catalog_content")
        tables, matrices = [], []
        parts: dict[str, list[str]] = {name: [] for name in self.declared.parts} if self.embedder else {}
        for chunk in chunks(frame):
            sections = self._sections(chunk)
            for name, texts in zip(parts, self.declared.part_texts(sections, chunk), strict=bool(parts)):
                parts[name] += texts
            matrices.append(self.transform_tfidf(sections))
            tables.append(self._in_single(self._tabular(sections), space.reduce(matrices[-1])))
        tabular = pl.concat(tables, how="vertical")
        matrix = matrices[0] if len(matrices) == 1 else sparse.csr_matrix(sparse.vstack(matrices, format="csr"))
        embedding, embedded = self._embed(frame, parts)
        made = FeatureSet(frame[ID].cast(pl.String), tabular, matrix, self.schema, embedding=embedding, parts=embedded)
        if self.index is None:
            return made
        return replace(made, nearest=self.index.search(made, threads=self.threads))

    def _in_single(self, named: pl.DataFrame, reduced: np.ndarray) -> pl.DataFrame:
        """The columns of `schema`, Float32 and String, of n rows of the families and their SVD (n, components)."""
        schema = self.schema
        families = list(schema.numeric[: len(schema.numeric) - reduced.shape[1]])
        with np.errstate(over="ignore"):
            values = np.concatenate([named[families].to_numpy().T, reduced.T]).astype(np.float32)  # (p, n)
        # a number of forty digits is infinite in single precision, and no amount
        values[~np.isfinite(values)] = np.nan
        return pl.DataFrame([*cut_columns(schema.numeric, values), *named[list(schema.categorical)]])

    def _embed(
        self, frame: pl.DataFrame, parts: dict[str, list[str]]
    ) -> tuple[np.ndarray | None, np.ndarray | None]:  # fmt: skip
        """Embeddings of n whole texts (n, d), and of their parts (n, p, d), where there are any."""
        if self.embedder is None:
            return None, None
        whole = self.embedder.embed(frame["catalog_content"].to_list())
        return whole, np.stack([*map(self.embedder.embed_texts, parts.values())], axis=1) if parts else None

    def index_labelled(self, frame: pl.DataFrame, groups: np.ndarray) -> FeatureSet:
        """Make the labelled rows the index that `transform` searches, and give their own features.

        Parameters
        ----------
        frame : DataFrame
            m labelled rows (``sample_id``, ``catalog_content``); no price is read.
        groups : ndarray
            (m,) of anything comparable; near-duplicates share one, and do not see each other.
        """
        self.index = None
        own = self.engineer_features(frame)
        titles = split_texts(frame)["item_name"]
        self.index = ComparableIndex.build(own, titles, self.config.spaces)
        codes = np.unique(groups, return_inverse=True)[1]
        return replace(own, nearest=self.index.search(own, codes, self.threads))

    @property
    def schema(self) -> FeatureSchema:
        """The columns in order, and the widths of the matrices."""
        learnt = (self.tfidf, self.embedder)
        # made once: it takes as long as the features of one product
        if self._schema is None or self._schema[0] != learnt:
            self._schema = learnt, self._make_schema()
        return self._schema[1]

    def _make_schema(self) -> FeatureSchema:
        space, directions = self._fitted()[1], self._svd_names()
        made = (
            *self.family_columns,
            *make_columns("svd", directions, words=dict.fromkeys(directions, WORDS["svd"]["direction"])),
        )
        ordered = tuple(sorted(made, key=lambda column: column.kind == CATEGORY))
        width, parts = (self.embedder.width, self.declared.parts) if self.embedder else (0, ())
        return FeatureSchema(ordered, space.columns, space.spaces(), width, parts)

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Names of the tabular columns, (p,) of str, in table order."""
        return np.asarray(self.schema.names, dtype=object)

    def _svd_names(self) -> list[str]:
        return [f"svd_{index:03d}" for index in range(self.config.tfidf.svd_components)]

    def _fitted(self) -> tuple[BrandNames, TfidfSpace]:
        if self.brands is None or self.tfidf is None:
            raise SchemaError("this FeatureEngineer has learnt nothing yet; call fit or load first")
        return self.brands, self.tfidf

    # --- files

    def save(self, folder: Path) -> None:
        """Write what was learnt into ``folder`` (made where missing): JSON and plain arrays."""
        brands, tfidf = self._fitted()
        folder.mkdir(parents=True, exist_ok=True)
        record = {
            "config": self.config.model_dump(mode="json"),
            "seed": self.seed,
            "columns": self.declared.roles.model_dump(mode="json"),
            "paths": self.declared.paths,
        }
        write_json(folder / "engineer.json", record)
        brands.save(folder / "brands.json")
        tfidf.save(folder)
        if self.embedder is not None:
            self.embedder.save(folder / "encoders")
        if self.index is not None:
            self.index.save(folder / "index")

    @classmethod
    def load(cls, folder: Path, encoders: Path | None = None, threads: int = 1) -> "FeatureEngineer":
        """Read what `save` wrote; transforms are equal to those before saving, bit by bit.

        Parameters
        ----------
        folder : Path
            That folder.
        encoders : Path, optional
            Where the pretrained encoder lies, if not in that folder.
        threads : int
            Cores of embedding and search; they change no number.

        Raises
        ------
        ArtifactError
            A file is missing, damaged, or holds Python objects.
        """
        path = folder / "engineer.json"
        with reading(path, "a FeatureEngineer"):
            record = read_json(path)
            roles = ColumnsConfig.model_validate(record["columns"])
            engineer = cls(FeaturesConfig.model_validate(record["config"]), int(record["seed"]), threads, columns=roles)
            engineer.declared.paths = {
                name: (str(sign), int(levels)) for name, (sign, levels) in record["paths"].items()
            }
        engineer.brands = BrandNames.load(folder / "brands.json")
        engineer.tfidf = TfidfSpace.load(folder, engineer.config.tfidf, bool(roles.category))
        if "embedding" in engineer.config.spaces:
            from pricing.features.embedding import TextEmbedder

            engineer.embedder = TextEmbedder.load(folder / "encoders", encoders=encoders, threads=threads)
        if (folder / "index").exists():
            engineer.index = ComparableIndex.load(folder / "index")
        return engineer

    @staticmethod
    def save_features(features: FeatureSet, folder: Path, split: str = "labelled") -> None:
        """Write features as Parquet and sparse .npz: see `pricing.features.load.save_features`."""
        save_features(features, folder, split)

    @staticmethod
    def load_features(folder: Path, split: str = "labelled") -> FeatureSet:
        """Read them back, exactly, the schema checked: see `pricing.features.load.load_features`."""
        return load_features(folder, split)
