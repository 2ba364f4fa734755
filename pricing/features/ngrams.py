"""Counts of word and character n-grams, as scikit-learn's CountVectorizer gives them, several times as fast.

Words come from one polars expression and are numbers from then on: an n-gram is the number of its first n - 1 words and
the number of its last. The n-grams of characters inside a word ("char_wb") depend on the word alone, so they are listed
once for each distinct word, and the counts of a text are its word counts times that table: a sparse product.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl
from scipy import sparse

#: a word is any run of letters and digits, single ones too ("1 lb"), with decimals kept whole ("16.9")
WORD = r"\d+(?:\.\d+)?|[^\W\d_]+(?:['’][^\W\d_]+)?"


def _tokens(texts: pl.Series, pattern: str) -> tuple[np.ndarray, pl.Series]:
    """Row of each token (t,), and the tokens in lower case, in reading order."""
    listed = texts.str.to_lowercase().str.extract_all(pattern)
    lengths = listed.list.len().fill_null(0).to_numpy()
    return np.repeat(np.arange(len(texts)), lengths), listed.explode(empty_as_null=False).alias("token")


def _codes(tokens: pl.Series, table: pl.Series) -> np.ndarray:
    """Position of each token in a table of distinct ones, -1 where it is not there, (t,) int64."""
    numbered = table.alias("token").to_frame().with_row_index("code")
    found = tokens.to_frame().join(numbered, on="token", how="left", maintain_order="left")["code"]
    return found.cast(pl.Int64).fill_null(-1).to_numpy()


def place_by_term(terms: Iterable[str]) -> dict[str, int]:
    """Position of each of some distinct terms."""
    return {term: place for place, term in enumerate(terms)}


def look_up(tokens: pl.Series, places: dict[str, int]) -> np.ndarray:
    """Position of each of t tokens, -1 where it has none, (t,) int64: quicker than a join with what was learnt once."""
    return np.fromiter((places.get(token, -1) for token in tokens), dtype=np.int64, count=len(tokens))


def _count(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> sparse.csr_matrix:
    """How often each pair stands there, float32 CSR with sorted indices."""
    ones = np.ones(len(rows), dtype=np.float32)
    counts = sparse.csr_matrix((ones, (rows, columns)), shape=shape, dtype=np.float32)
    counts.sum_duplicates()
    return counts


def _choose(counts: sparse.csr_matrix, terms: pl.Series, max_features: int, min_df: int) -> np.ndarray:
    """Columns to keep, in order of their terms: at least ``min_df`` documents, then the most frequent ones.

    Of two equally frequent terms the first in order of the alphabet stays.
    """
    documents = np.bincount(counts.indices, minlength=counts.shape[1])
    kept = np.flatnonzero(documents >= min_df)
    kept = kept[terms.gather(kept).arg_sort().to_numpy()]
    if len(kept) > max_features:
        totals = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel()[kept]
        kept = kept[np.sort(np.argsort(-totals, kind="stable")[:max_features])]
    return kept


class WordNgrams:
    """N-grams of words.

    Parameters
    ----------
    ngrams : (int, int)
        Shortest and longest, in words.
    """

    def __init__(self, ngrams: tuple[int, int]) -> None:
        self.ngrams = ngrams
        self.terms: list[str] = []
        self._words: dict[str, int] = {}
        # for each length: sorted keys (number of the beginning, number of the last word), and the column of each
        self._levels: list[tuple[np.ndarray, np.ndarray]] = []

    def fit(self, texts: pl.Series, max_features: int, min_df: int) -> sparse.csr_matrix:
        """Choose the terms of n texts (String); returns their counts, (n, terms) float32 CSR."""
        rows, tokens = _tokens(texts, WORD)
        words = tokens.unique().sort()
        codes, size = _codes(tokens, words), max(len(words), 1)
        parts, labels = [], []
        begin, beginning = codes, words
        for length in range(1, self.ngrams[1] + 1):
            if length > 1:
                together = rows[: len(rows) - length + 1] == rows[length - 1 :]
                keys = begin[: len(together)] * size + codes[length - 1 :]
                keys[~together] = -1
                distinct, inverse = np.unique(keys, return_inverse=True)
                skipped = int(len(distinct) > 0 and distinct[0] < 0)
                begin, distinct = inverse - skipped, distinct[skipped:]
                beginning = _joined(beginning.gather(distinct // size), words.gather(distinct % size))
            if length >= self.ngrams[0]:
                present = begin >= 0
                parts.append(_count(rows[: len(begin)][present], begin[present], (len(texts), len(beginning))))
                labels.append(beginning)
        counts = sparse.csr_matrix(sparse.hstack(parts, format="csr"))
        names = pl.concat(labels)
        kept = _choose(counts, names, max_features, min_df)
        self.set_terms(names.gather(kept).to_list())
        return sparse.csr_matrix(counts[:, kept])

    def set_terms(self, terms: Sequence[str]) -> "WordNgrams":
        """Know these terms, in this order of columns."""
        self.terms = list(terms)
        split = pl.Series("term", self.terms, dtype=pl.String).str.split(" ")
        lengths = split.list.len().to_numpy()
        tokens = split.explode(empty_as_null=False).alias("token")
        words = tokens.unique().sort()
        self._words = place_by_term(words)
        size = max(len(words), 1)
        flat = _codes(tokens, words)
        starts = np.cumsum(lengths) - lengths
        self._levels = []
        numbers = np.zeros(len(self.terms), dtype=np.int64)
        for length in range(1, self.ngrams[1] + 1):
            longer = np.flatnonzero(lengths >= length)
            keys = numbers[longer] * size + flat[starts[longer] + length - 1]
            distinct, inverse = np.unique(keys, return_inverse=True)
            numbers[longer] = inverse
            columns = np.full(len(distinct), -1, dtype=np.int64)
            whole = lengths[longer] == length
            columns[inverse[whole]] = longer[whole]
            self._levels.append((distinct, columns))
        return self

    def transform(self, texts: pl.Series) -> sparse.csr_matrix:
        """Counts of n texts, (n, terms) float32 CSR."""
        rows, tokens = _tokens(texts, WORD)
        codes, size = look_up(tokens, self._words), max(len(self._words), 1)
        found_rows, found_columns = [], []
        begin = np.zeros(len(codes), dtype=np.int64)
        for length, (distinct, columns) in enumerate(self._levels, start=1):
            begin = begin[: max(len(codes) - length + 1, 0)]
            last = codes[length - 1 :]
            known = (begin >= 0) & (last >= 0) & (rows[: len(begin)] == rows[length - 1 :])
            keys = begin * size + last
            place = np.searchsorted(distinct, keys)
            known &= place < len(distinct)
            known[known] = distinct[place[known]] == keys[known]
            begin = np.where(known, place, -1)
            term = np.full(len(begin), -1, dtype=np.int64)
            term[known] = columns[place[known]]
            found_rows.append(np.flatnonzero(term >= 0))
            found_columns.append(term[found_rows[-1]])
        if not found_rows:
            return sparse.csr_matrix((len(texts), len(self.terms)), dtype=np.float32)
        return _count(rows[np.concatenate(found_rows)], np.concatenate(found_columns), (len(texts), len(self.terms)))


class CharacterNgrams:
    """N-grams of characters inside words, a blank before and after each word ("char_wb").

    Parameters
    ----------
    ngrams : (int, int)
        Shortest and longest, in characters.
    """

    def __init__(self, ngrams: tuple[int, int]) -> None:
        self.ngrams = ngrams
        self.terms: list[str] = []
        self._places: dict[str, int] = {}

    def fit(self, texts: pl.Series, max_features: int, min_df: int) -> sparse.csr_matrix:
        """Choose the terms of n texts (String); returns their counts, (n, terms) float32 CSR."""
        counts, words = self._words(texts)
        place, grams = self._grams(words)
        names = grams.unique().sort()
        table = _count(place, _codes(grams, names), (len(words), len(names)))
        whole = sparse.csr_matrix(counts @ table)
        kept = _choose(whole, names, max_features, min_df)
        self.set_terms(names.gather(kept).to_list())
        return sparse.csr_matrix(whole[:, kept])

    def set_terms(self, terms: Sequence[str]) -> "CharacterNgrams":
        """Know these terms, in this order of columns."""
        self.terms = list(terms)
        self._places = place_by_term(terms)
        return self

    def transform(self, texts: pl.Series) -> sparse.csr_matrix:
        """Counts of n texts, (n, terms) float32 CSR."""
        counts, words = self._words(texts)
        place, grams = self._grams(words)
        columns = look_up(grams, self._places)
        known = columns >= 0
        table = _count(place[known], columns[known], (len(words), len(self.terms)))
        product = sparse.csr_matrix(counts @ table, dtype=np.float32)
        product.sort_indices()
        return product

    def _words(self, texts: pl.Series) -> tuple[sparse.csr_matrix, pl.Series]:
        """How often each text holds each word, and the words with blanks around them."""
        rows, tokens = _tokens(texts, r"\S+")
        words = tokens.unique().sort()
        counts = _count(rows, _codes(tokens, words), (len(texts), len(words)))
        return counts, words.to_frame().select(pl.concat_str(pl.lit(" "), "token", pl.lit(" ")).alias("token"))["token"]

    def _grams(self, words: pl.Series) -> tuple[np.ndarray, pl.Series]:
        """Every n-gram of every word: its word's number (g,), and itself.

        A word shorter than the shortest n is one n-gram, whole.
        """
        lengths = words.str.len_chars().to_numpy().astype(np.int64)
        places, grams = [], []
        for length in range(self.ngrams[0], self.ngrams[1] + 1):
            number = np.maximum(lengths - length + 1, int(length == self.ngrams[0]))
            place = np.repeat(np.arange(len(words)), number)
            offset = np.arange(len(place)) - np.repeat(np.cumsum(number) - number, number)
            sliced = pl.DataFrame({"word": words.gather(place), "offset": offset})
            grams.append(sliced.select(pl.col("word").str.slice(pl.col("offset"), length).alias("token"))["token"])
            places.append(place)
        return np.concatenate(places), pl.concat(grams)


def _joined(left: pl.Series, right: pl.Series) -> pl.Series:
    """Words with a blank between, row by row."""
    frame = pl.DataFrame({"left": left, "right": right})
    return frame.select(pl.concat_str("left", "right", separator=" ").alias("token"))["token"]
