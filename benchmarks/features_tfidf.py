"""TF-IDF of words and characters, side by side, against scikit-learn's two vectorisers one after the other.

    python benchmarks/features_tfidf.py [ROWS] [CATALOGUE.csv]

The same texts, n-grams and weights; asserts that terms and matrices are equal, and that the ratio is 1.3.
"""

import sys
import time
from pathlib import Path

import numpy as np
from features_tabular import read_texts
from sklearn.feature_extraction.text import TfidfVectorizer

from pricing.features.ngrams import WORD
from pricing.features.sections import split_sections
from pricing.features.tfidf import TfidfBlock

TARGET = 1.3
# more than there are, so that no tie between equally frequent terms decides
MOST = 10**7
MIN_DF = 2


def main(rows: int, catalogue: Path | None) -> None:
    """Compare and print."""
    sections = split_sections(read_texts(rows, catalogue))
    blocks = [
        TfidfBlock("words", "text", "word", (1, 2), MOST, MIN_DF),
        TfidfBlock("characters", "item_name", "char_wb", (3, 5), MOST, MIN_DF),
    ]
    vectorizers = [
        TfidfVectorizer(
            analyzer=block.analyzer, ngram_range=block.ngrams, min_df=block.min_df, sublinear_tf=True, dtype=np.float32,
            token_pattern=WORD if block.analyzer == "word" else None,
        )
        for block in blocks
    ]  # fmt: skip
    texts = [sections[block.column].to_list() for block in blocks]
    began = time.perf_counter()
    ours = [block.fit(sections[block.column]) for block in blocks]
    middle = time.perf_counter()
    theirs = [vectorizer.fit_transform(text) for vectorizer, text in zip(vectorizers, texts, strict=True)]
    ended = time.perf_counter()
    for block, vectorizer, mine, other in zip(blocks, vectorizers, ours, theirs, strict=True):
        assert block.terms == vectorizer.get_feature_names_out().tolist(), block.name
        assert (mine - other).nnz == 0 or abs(mine - other).max() < 1e-6, block.name
        print(f"{block.name}: {mine.shape[1]:,} terms, {mine.nnz / rows:.0f} a row, equal")
    fast, slow = middle - began, ended - middle
    print(f"{rows} rows: {fast:.1f} s, scikit-learn {slow:.1f} s, ratio {slow / fast:.1f} (target {TARGET})")
    assert slow / fast >= TARGET


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000, Path(sys.argv[2]) if len(sys.argv) > 2 else None)
