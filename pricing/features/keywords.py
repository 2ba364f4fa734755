"""Keywords: words that point at a higher or a lower price, and claims that a package makes.

A keyword matches case-insensitively as whole words; a blank in it matches blanks and hyphens ("grass fed" finds
"Grass-Fed"). The text is brought into one form once (`normalized_words`), and every keyword is then found in it as a
plain string: five times as fast as a regular expression a keyword, with the same answers.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import polars as pl

from pricing.catalogue.kept_regexes import evaluate, keeping_regexes
from pricing.features.schema import WORDS, Column, make_columns
from pricing.features.table_values import cut_columns
from pricing.features.vocabulary import VOCABULARY

#: claims that are the same in every catalogue: name -> alternatives
CLAIMS: dict[str, list[str]] = VOCABULARY["claims"]


@keeping_regexes
def normalized_words(texts: pl.Series) -> pl.Series:
    """Lower case, one blank before and after each word and each run of punctuation (which becomes a full stop)."""
    apart = pl.col("text").str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}_\s\-]+", " . ")
    tidy = (pl.lit(" ") + apart + pl.lit(" ")).str.replace_all(r"[\s\-]+", " ")
    return evaluate(texts.to_frame("text"), tidy)


@cache
def _slug(word: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in word.lower())


def _listed(quality: Sequence[str], discount: Sequence[str]) -> dict[str, dict[str, Sequence[str]]]:
    """Of each kind of keyword its columns, with the words that each looks for."""
    return {
        "quality": {f"quality_{_slug(word)}": (word,) for word in quality},
        "discount": {f"discount_{_slug(word)}": (word,) for word in discount},
        "claim": {f"claim_{name}": words for name, words in CLAIMS.items()},
    }


def _either(words: Sequence[str]) -> str:
    """Return "a", "a or b", "a, b or c"."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def keyword_columns(quality: Sequence[str], discount: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns that `keyword_features` makes."""
    said = WORDS["keywords"]
    own = {
        name: said[kind].format(words=_either(words))
        for kind, columns in _listed(quality, discount).items()
        for name, words in columns.items()
    }
    counts = ("quality_count", "has_quality", "discount_count", "has_discount", "claim_count")
    return (*make_columns("keywords", own, words=own), *make_columns("keywords", counts))


def keyword_features(sections: pl.DataFrame, quality: Sequence[str], discount: Sequence[str]) -> pl.DataFrame:
    """Keyword columns of n texts.

    Parameters
    ----------
    sections : DataFrame
        n rows with ``prose``; the label of the Value line is no keyword.
    quality, discount : sequences of str
        Keywords from the configuration.

    Returns
    -------
    DataFrame
        n rows, `keyword_columns` (Float64): 0 or 1 a keyword and a claim, how many different quality words,
        discount words and claims the text has, and whether it has any.
    """
    listed = _listed(quality, discount)
    texts = normalized_words(sections["prose"]).to_list()
    flags = {name: flag_words(texts, words) for columns in listed.values() for name, words in columns.items()}
    for kind, columns in listed.items():
        count = np.sum([flags[name] for name in columns], axis=0) if columns else np.zeros(len(texts))
        flags[f"{kind}_count"] = count
        if kind != "claim":
            flags[f"has_{kind}"] = (count > 0).astype(np.float64)
    names = [column.name for column in keyword_columns(quality, discount)]
    return pl.DataFrame(cut_columns(names, np.stack([flags[name] for name in names])))


def flag_words(texts: Sequence[str], words: Sequence[str]) -> np.ndarray:
    """Whether each of n texts (of `normalized_words`) holds any of some words, (n,) float64."""
    forms = _forms(tuple(words))
    return np.array([any(form in text for form in forms) for text in texts], dtype=np.float64)


@cache
def _forms(words: tuple[str, ...]) -> list[str]:
    return normalized_words(pl.Series(words, dtype=pl.String)).to_list()
