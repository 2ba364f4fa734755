"""TF-IDF over words of the whole text, words of the title and characters of the title, side by side.

Titles weigh more than bullets: a ridge on whole-text words alone is 1 SMAPE worse than on the three blocks together.
scikit-learn's vectoriser counts; weights are computed here (sublinear tf, smoothed idf, unit rows a block) in a fixed
summation order, so that a row's vector depends on nothing but its text and the saved numbers.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits

from pricing.config.features import TfidfConfig
from pricing.errors import ArtifactError, SchemaError
from pricing.features.load import read_arrays

__all__ = ["TfidfBlock", "TfidfSpace"]

#: a word is any run of letters and digits, single ones too ("1 lb"), with decimals kept whole ("16.9")
WORD = r"\d+(?:\.\d+)?|[^\W\d_]+(?:['’][^\W\d_]+)?"


@dataclass
class TfidfBlock:
    """One vectoriser: its text, its terms, their inverse document frequencies."""

    name: str
    """For files: words, title_words, title_characters."""
    column: str
    """Section it reads: text or item_name."""
    analyzer: str
    """word or char_wb."""
    ngrams: tuple[int, int]
    """Shortest and longest n-gram."""
    max_features: int
    """Largest vocabulary."""
    min_df: int
    """Documents that must hold a term."""
    terms: list[str] = field(default_factory=list)
    """Terms in column order."""
    idf: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    """(terms,) float32."""

    def _vectorizer(self, vocabulary: dict[str, int] | None) -> CountVectorizer:
        return CountVectorizer(
            analyzer=self.analyzer,
            ngram_range=self.ngrams,
            token_pattern=WORD if self.analyzer == "word" else None,
            max_features=self.max_features if vocabulary is None else None,
            min_df=self.min_df if vocabulary is None else 1,
            vocabulary=vocabulary,
            dtype=np.float32,
        )

    def fit(self, texts: list[str]) -> None:
        """Choose the terms and weigh them; a corpus without any term gives an empty block."""
        vectorizer = self._vectorizer(None)
        try:
            counts = vectorizer.fit_transform(texts)
        except ValueError:  # scikit-learn's word for an empty vocabulary, or min_df above the number of documents
            self.terms, self.idf = [], np.zeros(0, dtype=np.float32)
            return
        self.terms = vectorizer.get_feature_names_out().tolist()
        documents = np.bincount(counts.indices, minlength=counts.shape[1])
        self.idf = (np.log((1 + len(texts)) / (1 + documents)) + 1).astype(np.float32)

    def transform(self, texts: list[str]) -> sparse.csr_matrix:
        """(n, terms) float32, unit rows (zero rows for texts without a known term)."""
        if not self.terms:
            return sparse.csr_matrix((len(texts), 0), dtype=np.float32)
        matrix = self._vectorizer(dict(zip(self.terms, range(len(self.terms)), strict=True))).transform(texts)
        matrix = sparse.csr_matrix(matrix)
        matrix.sort_indices()
        matrix.data = (1 + np.log(matrix.data)) * self.idf[matrix.indices]
        norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
        norms[norms == 0] = 1
        matrix.data /= np.repeat(norms, np.diff(matrix.indptr)).astype(np.float32)
        return matrix


class TfidfSpace:
    """The blocks together, and the truncated SVD of them.

    Parameters
    ----------
    config : TfidfConfig
        Vocabularies, n-grams and components.
    """

    def __init__(self, config: TfidfConfig) -> None:
        self.config = config
        self.blocks = [
            TfidfBlock("words", "text", "word", config.word_ngrams, config.word_max_features, config.min_df),
            TfidfBlock(
                "title_words", "item_name", "word", config.title_ngrams, config.title_max_features, config.min_df
            ),
            TfidfBlock(
                "title_characters", "item_name", "char_wb", config.char_ngrams, config.char_max_features, config.min_df
            ),
        ]
        self.blocks = [block for block in self.blocks if block.max_features > 0]
        self.weights = {
            "words": config.word_weight,
            "title_words": config.title_weight,
            "title_characters": config.char_weight,
        }
        self.components = np.zeros((0, 0), dtype=np.float32)

    @property
    def columns(self) -> int:
        """Terms of all blocks."""
        return sum(len(block.terms) for block in self.blocks)

    def term_names(self) -> list[str]:
        """``block:term`` in column order."""
        return [f"{block.name}:{term}" for block in self.blocks for term in block.terms]

    def _texts(self, sections: pl.DataFrame, column: str) -> list[str]:
        return sections[column].str.slice(0, self.config.max_characters).to_list()

    def fit(self, sections: pl.DataFrame, seed: int, threads: int = 1) -> "TfidfSpace":
        """Learn vocabularies, weights and the SVD from n texts (sections as `split_sections` gives them)."""
        for block in self.blocks:
            block.fit(self._texts(sections, block.column))
        matrix = self.transform(sections)
        size = min(self.config.svd_components, min(matrix.shape) - 1)
        if size < 1:
            self.components = np.zeros((0, matrix.shape[1]), dtype=np.float32)
            return self
        with threadpool_limits(threads):
            _, _, components = randomized_svd(matrix, n_components=size, n_iter=4, random_state=seed)
        self.components = np.ascontiguousarray(components, dtype=np.float32)
        return self

    def transform(self, sections: pl.DataFrame) -> sparse.csr_matrix:
        """(n, columns) float32 CSR."""
        parts = [
            self.weights[block.name] * block.transform(self._texts(sections, block.column)) for block in self.blocks
        ]
        return sparse.csr_matrix(sparse.hstack(parts, format="csr", dtype=np.float32))

    def reduce(self, matrix: sparse.csr_matrix) -> np.ndarray:
        """(n, components) float32, zero-padded to the configured number of components.

        A sparse-dense product goes row by row, so a row's numbers do not depend on its neighbours in the batch.
        """
        reduced = np.zeros((matrix.shape[0], self.config.svd_components), dtype=np.float32)
        reduced[:, : len(self.components)] = matrix @ np.ascontiguousarray(self.components.T)
        return reduced

    def save(self, folder: Path) -> None:
        """Write the terms as JSON, weights and components as .npz."""
        terms = {block.name: block.terms for block in self.blocks}
        (folder / "terms.json").write_text(json.dumps(terms, ensure_ascii=False) + "\n", encoding="utf-8")
        arrays = {f"idf_{block.name}": block.idf for block in self.blocks}
        np.savez(folder / "tfidf.npz", components=self.components, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, folder: Path, config: TfidfConfig) -> "TfidfSpace":
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            A file is missing, damaged, or holds Python objects.
        SchemaError
            Terms and weights do not belong together.
        """
        space = cls(config)
        arrays = read_arrays(folder / "tfidf.npz")
        try:
            terms = json.loads((folder / "terms.json").read_text(encoding="utf-8"))
            for block in space.blocks:
                block.terms = [str(term) for term in terms[block.name]]
                block.idf = arrays[f"idf_{block.name}"]
            space.components = arrays["components"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{folder}: expected terms and weights, got {error!r}; rebuild the stage") from None
        for block in space.blocks:
            if block.idf.shape != (len(block.terms),):
                raise SchemaError(
                    f"{folder}: block {block.name} has {len(block.terms)} terms and {block.idf.shape} weights"
                )
        if space.components.ndim != 2 or space.components.shape[1] != space.columns:
            raise SchemaError(f"{folder}: components {space.components.shape}, expected (k, {space.columns})")
        return space
