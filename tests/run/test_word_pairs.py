"""Pairs of words: a training row is judged as if it and its near-duplicates had not been learnt from."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.errors import ArtifactError
from pricing.run.word_pairs import WordPairs, list_words

TEXTS = st.lists(st.lists(st.sampled_from("abcd"), max_size=5), min_size=1, max_size=8)


def unknown_share(row: list[str], others: list[list[str]]) -> float:
    """The definition, pair by pair."""
    known = {pair for other in others for pair in pairwise(other)}
    own = set(pairwise(row))
    return len(own - known) / len(own) if own else 1.0


@given(TEXTS, TEXTS, st.data())
def test_shares_are_those_of_the_definition(
    training: list[list[str]], new: list[list[str]], data: st.DataObject
) -> None:
    groups = [data.draw(st.integers(0, 3)) for _ in training]
    schema = pl.List(pl.String)
    pairs = WordPairs.fit(pl.Series(training, dtype=schema), np.array(groups))
    assert pairs.unknown(pl.Series(new, dtype=schema)).tolist() == [unknown_share(row, training) for row in new]
    others = [[other for other, its in zip(training, groups, strict=True) if its != group] for group in groups]
    expected = [unknown_share(row, rest) for row, rest in zip(training, others, strict=True)]
    assert pairs.unknown(pl.Series(training, dtype=schema), own=True).tolist() == expected


def test_labels_and_numbers_are_no_words_and_every_script_has_some() -> None:
    texts = pl.Series(["Item Name: Mac Book 16.2\nBullet Point 1: M3", "笔记本电脑 新", "👍 !!", "", None])
    assert list_words(texts).to_list() == [["mac", "book", "m"], ["笔记本电脑", "新"], [], [], []]


def test_pairs_are_read_as_they_were_written(tmp_path: Path) -> None:
    words = list_words(pl.Series(["rye flour mill", "rye flour", "sea salt"]))
    pairs = WordPairs.fit(words, np.array([0, 1, 2]))
    pairs.save(tmp_path)
    loaded = WordPairs.load(tmp_path)
    assert loaded.unknown(words, own=True).tolist() == pairs.unknown(words, own=True).tolist() == [0.5, 0, 1]
    assert loaded.foreign(list_words(pl.Series(["flour", "sea", "oats", "👍"]))).tolist() == [False, False, True, True]
    (tmp_path / "pairs.parquet").write_bytes(b"PAR1")
    with pytest.raises(ArtifactError, match="rebuild the stage"):
        WordPairs.load(tmp_path)
