"""TF-IDF over words of the whole text, words of the title and characters of the title, side by side.

Titles weigh more than bullets: a ridge on whole-text words alone is 1 SMAPE worse than on the three blocks together.
`pricing.features.ngrams` counts; weights are computed here (sublinear tf, smoothed idf, unit rows a block) in a fixed
summation order, so that a row's vector depends on nothing but its text and the saved numbers.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from scipy import sparse
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits

from pricing.config.features import TfidfConfig
from pricing.errors import SchemaError
from pricing.features.files import read_arrays
from pricing.features.ngrams import CharacterNgrams, WordNgrams, look_up, place_by_term
from pricing.features.schema import WORDS, term_name
from pricing.store.artifacts import read_json
from pricing.store.tables import reading


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
    idf: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    """(terms,) float32."""

    def __post_init__(self) -> None:
        self._ngrams: WordNgrams | CharacterNgrams | CategoryTerms
        if self.analyzer == "category":
            self._ngrams = CategoryTerms()
        else:
            self._ngrams = WordNgrams(self.ngrams) if self.analyzer == "word" else CharacterNgrams(self.ngrams)

    @property
    def terms(self) -> list[str]:
        """Terms in column order."""
        return self._ngrams.terms

    def set_terms(self, terms: list[str], idf: np.ndarray) -> None:
        """Know these terms and their weights."""
        self._ngrams.set_terms(terms)
        self.idf = idf

    def fit(self, texts: pl.Series) -> sparse.csr_matrix:
        """Choose the terms and weigh them; returns what `transform` would give for these texts.

        A corpus without any term gives an empty block.
        """
        counts = self._ngrams.fit(texts, self.max_features, self.min_df)
        documents = np.bincount(counts.indices, minlength=counts.shape[1])
        self.idf = (np.log((1 + len(texts)) / (1 + documents)) + 1).astype(np.float32)
        return self._weigh(counts)

    def transform(self, texts: pl.Series) -> sparse.csr_matrix:
        """(n, terms) float32, unit rows (zero rows for texts without a known term)."""
        return self._weigh(self._ngrams.transform(texts))

    def _weigh(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        counts.data = (1 + np.log(counts.data)) * self.idf[counts.indices]
        norms = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
        norms[norms == 0] = 1
        counts.data /= np.repeat(norms, np.diff(counts.indptr)).astype(np.float32)
        return counts


class CategoryTerms:
    """Terms of declared categories: whole values, each column's and level's its own; looks like the n-grams.

    Attributes
    ----------
    terms : list of str
        In column order.
    """

    def __init__(self) -> None:
        self.terms: list[str] = []
        self._places: dict[str, int] = {}

    def fit(self, listed: pl.Series, max_features: int, min_df: int) -> sparse.csr_matrix:
        """Choose the terms of n rows, List(String), and count them."""
        counts = listed.explode().drop_nulls().alias("term").value_counts().filter(pl.col("count") >= min_df)
        chosen = counts.sort(["count", "term"], descending=[True, False]).head(max_features)
        return self.set_terms(chosen["term"].sort().to_list()).transform(listed)

    def set_terms(self, terms: Sequence[str]) -> "CategoryTerms":
        """Know these terms."""
        self.terms = list(terms)
        self._places = place_by_term(terms)
        return self

    def transform(self, listed: pl.Series) -> sparse.csr_matrix:
        """Count the known terms of n rows, (n, terms) float32 CSR."""
        rows = np.repeat(np.arange(len(listed)), listed.list.len().to_numpy())
        places = look_up(listed.explode(empty_as_null=False), self._places)
        known = places >= 0
        ones = np.ones(int(known.sum()), dtype=np.float32)
        return sparse.csr_matrix((ones, (rows[known], places[known])), shape=(len(listed), len(self.terms)))


class TfidfSpace:
    """The blocks together, and the truncated SVD of them.

    Parameters
    ----------
    config : TfidfConfig
        Vocabularies, n-grams and components.
    categories : bool
        Whether declared categories are read, as a block of their own. The SVD and the spaces of comparables are without
        them. On the second marketplace LightGBM is 0.05 worse with them in the SVD, and 0.6 with their words in titles.
    """

    def __init__(self, config: TfidfConfig, categories: bool = False) -> None:
        self.config = config
        self.categories = categories
        chars, most, rarest = config.char_max_features, config.word_max_features, config.min_df
        self.blocks = [
            TfidfBlock("words", "text", "word", config.word_ngrams, most, rarest),
            TfidfBlock("title_words", "item_name", "word", config.title_ngrams, config.title_max_features, rarest),
            TfidfBlock("title_characters", "item_name", "char_wb", config.char_ngrams, chars, rarest),
        ]
        if categories:
            self.blocks.append(TfidfBlock("categories", "category_terms", "category", (1, 1), most, rarest))
        self.blocks = [block for block in self.blocks if block.max_features > 0]
        self.weights = {
            "words": config.word_weight,
            "title_words": config.title_weight,
            "title_characters": config.char_weight,
            "categories": config.category_weight,
        }
        self.components = np.zeros((0, 0), dtype=np.float32)
        # the components once more, (terms, components), from the first use on
        self._by_term: np.ndarray | None = None

    @property
    def columns(self) -> int:
        """Terms of all blocks."""
        return sum(len(block.terms) for block in self.blocks)

    def spaces(self) -> tuple[tuple[str, int, int], ...]:
        """Name, first column and end of the spaces in which rows are compared: words (text and title), characters."""
        words = sum(len(block.terms) for block in self.blocks if block.analyzer == "word")
        return (("words", 0, words), ("characters", words, self._text_columns()))

    def _text_columns(self) -> int:
        """Terms of the texts, which come first; categories are read by the trees themselves."""
        return sum(len(block.terms) for block in self.blocks if block.analyzer != "category")

    def _texts(self, sections: pl.DataFrame, column: str) -> pl.Series:
        return (
            sections[column]
            if column == "category_terms"
            else sections[column].str.slice(0, self.config.max_characters)
        )

    def fit(self, sections: pl.DataFrame, seed: int) -> "TfidfSpace":
        """Learn vocabularies, weights and the SVD from n texts (sections as `split_sections` gives them)."""
        matrix = self._beside([block.fit(self._texts(sections, block.column)) for block in self.blocks])
        return self.fit_svd(matrix[:, : self._text_columns()], seed)

    def fit_svd(self, matrix: sparse.csr_matrix, seed: int) -> "TfidfSpace":
        """Learn the truncated SVD of the (n, p) terms of texts, seeded."""
        self._by_term = None
        size = min(self.config.svd_components, min(matrix.shape) - 1)
        if size < 1:
            self.components = np.zeros((0, matrix.shape[1]), dtype=np.float32)
            return self
        # on two threads the last bits of its products are others, and with them the trees' splits
        with threadpool_limits(1):
            _, _, components = randomized_svd(matrix, n_components=size, n_iter=4, random_state=seed)
        self.components = np.ascontiguousarray(components, dtype=np.float32)
        return self

    def transform(self, sections: pl.DataFrame) -> sparse.csr_matrix:
        """(n, columns) float32 CSR."""
        return self._beside([block.transform(self._texts(sections, block.column)) for block in self.blocks])

    def _beside(self, parts: list[sparse.csr_matrix]) -> sparse.csr_matrix:
        weighted = [self.weights[block.name] * part for block, part in zip(self.blocks, parts, strict=True)]
        return sparse.csr_matrix(sparse.hstack(weighted, format="csr", dtype=np.float32))

    def reduce(self, matrix: sparse.csr_matrix) -> np.ndarray:
        """(n, components) float32, zero-padded to the configured number of components.

        A sparse-dense product goes row by row, so a row's numbers do not depend on its neighbours in the batch.
        """
        reduced = np.zeros((matrix.shape[0], self.config.svd_components), dtype=np.float32)
        if self._by_term is None:
            self._by_term = np.ascontiguousarray(self.components.T)
        reduced[:, : len(self.components)] = matrix[:, : self._text_columns()] @ self._by_term
        return reduced

    def save(self, folder: Path) -> None:
        """Write the terms as JSON, weights and components as .npz."""
        terms = {block.name: block.terms for block in self.blocks}
        (folder / "terms.json").write_text(json.dumps(terms, ensure_ascii=False) + "\n", encoding="utf-8")
        arrays = {f"idf_{block.name}": block.idf for block in self.blocks}
        np.savez(folder / "tfidf.npz", components=self.components, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, folder: Path, config: TfidfConfig, categories: bool = False) -> "TfidfSpace":
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            A file is missing, damaged, or holds Python objects.
        SchemaError
            Terms and weights do not belong together.
        """
        space = cls(config, categories)
        arrays = read_arrays(folder / "tfidf.npz")
        with reading(folder, "terms and weights"):
            terms = read_json(folder / "terms.json")
            for block in space.blocks:
                block.set_terms([str(term) for term in terms[block.name]], arrays[f"idf_{block.name}"])
            space.components = arrays["components"]
        for block in space.blocks:
            if block.idf.shape != (len(block.terms),):
                raise SchemaError(
                    f"{folder}: block {block.name} has {len(block.terms)} terms and {block.idf.shape} weights"
                )
        if space.components.ndim != 2 or space.components.shape[1] != space._text_columns():
            raise SchemaError(f"{folder}: components {space.components.shape}, expected (k, {space._text_columns()})")
        return space


def term_words(folder: Path) -> dict[str, str]:
    """Return what each column of the matrix is, in words, by the name that models which read it give it.

    Parameters
    ----------
    folder : Path
        Where `TfidfSpace.save` wrote the terms.
    """
    with reading(folder, "terms"):
        listed: dict[str, list[str]] = read_json(folder / "terms.json")
        said = [WORDS["terms"][block].format(term=term) for block, terms in listed.items() for term in terms]
    return {term_name(column): words for column, words in enumerate(said)}
