"""N-gram counts against scikit-learn's CountVectorizer."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer

from pricing.features.ngrams import WORD, CharacterNgrams, WordNgrams

TEXTS = st.lists(
    st.one_of(st.text(max_size=40), st.text(alphabet="ab c.1é’x", max_size=60), st.sampled_from(["", "Tea 1.5 oz"])),
    min_size=1,
    max_size=8,
)  # fmt: skip


def reference(analyzer: str, ngrams: tuple[int, int]) -> CountVectorizer:
    return CountVectorizer(analyzer=analyzer, ngram_range=ngrams, token_pattern=WORD if analyzer == "word" else None)


def counter(analyzer: str, ngrams: tuple[int, int]) -> WordNgrams | CharacterNgrams:
    return WordNgrams(ngrams) if analyzer == "word" else CharacterNgrams(ngrams)


@pytest.mark.parametrize(("analyzer", "ngrams"), [("word", (1, 2)), ("word", (2, 3)), ("char_wb", (3, 5))])
def test_counts_are_those_of_scikit_learn(analyzer: str, ngrams: tuple[int, int]) -> None:
    texts = [
        "Rye Flour, 5 lb (Pack of 2) rye flour", "", "a", "Tea & tea: 1.5 oz's", "Crème brûlée d’été  mix\tof\n tea ok",
        "ab abc abcd abcde abcdef", "x" * 30,
    ]  # fmt: skip
    vectorizer = reference(analyzer, ngrams)
    expected = vectorizer.fit_transform(texts)
    mine = counter(analyzer, ngrams)
    counts = mine.fit(pl.Series(texts), 10**6, 1)
    assert mine.terms == vectorizer.get_feature_names_out().tolist()
    assert np.array_equal(counts.toarray(), expected.toarray())
    for unseen in (["ab abcde tea tea"], ["", "flour tea 5 lb pack"]):
        assert np.array_equal(
            mine.transform(pl.Series(unseen)).toarray(), vectorizer.transform(unseen).toarray()
        )  # fmt: skip


@settings(max_examples=25)
@given(TEXTS, st.sampled_from([("word", (1, 2)), ("char_wb", (2, 4))]))
def test_what_was_fitted_is_what_transform_gives(texts: list[str], kind: tuple[str, tuple[int, int]]) -> None:
    mine = counter(*kind)
    counts = mine.fit(pl.Series(texts), 10**6, 1)
    again = counter(*kind).set_terms(mine.terms)
    for matrix in (mine.transform(pl.Series(texts)), again.transform(pl.Series(texts))):
        assert (matrix != counts).nnz == 0
        assert matrix.has_sorted_indices
    for at, text in enumerate(texts):
        assert (again.transform(pl.Series([text])) != sparse.csr_matrix(counts[at])).nnz == 0


def test_rare_terms_go_first_and_ties_by_the_alphabet() -> None:
    texts = pl.Series(["b b a c d", "b a c e", "a b c"])
    mine = WordNgrams((1, 1))
    mine.fit(texts, 2, 2)
    assert mine.terms == ["a", "b"]
    mine.fit(texts, 10, 2)
    assert mine.terms == ["a", "b", "c"]
    mine.fit(texts, 10, 4)
    assert mine.terms == []
    assert mine.transform(texts).shape == (3, 0)
