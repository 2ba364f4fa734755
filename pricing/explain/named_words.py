"""The words that are named under the words of title and text, and the texts without them.

The linear model chooses: the words whose terms add the most to its log price, from their means. What a word adds to the
price itself is asked of all models together (`pricing.run.word_prices`), since the linear model's weight in the stack
may be small, or negative. A word of the title stands under the title alone.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from pricing.explain.items import TEXT, TITLE
from pricing.features.price_ridge import PriceRidge
from pricing.features.tfidf import TfidfBlock
from pricing.features.units import FOREIGN, SPELLINGS, UNITS
from pricing.features.vocabulary import VOCABULARY
from pricing.metrics.smape import Floats

OTHER = "other words"
MOST = 3
"""Maximum number of words that are named per product and item."""
LEAST = 0.005
"""Log price below which a word is not named: half a percent."""
_BLOCKS = {"title_words": TITLE, "words": TEXT}
_LABEL = r"^ ?(?:Item Name|Bullet Point ?\d*|Product Description|Value|Unit) ?:"
# function words, units (amounts are an item of their own), labels of lines, tags
_SILENT = frozenset([
    *ENGLISH_STOP_WORDS, *(word for words in VOCABULARY["languages"].values() for word in words),
    *(spelling for spelling, unit in (SPELLINGS | FOREIGN).items() if UNITS[unit].dimension != "count"),
    "pack", "packs", "pk", "pcs", "count", "ct", "fl", "br", "li", "ul",
    "item", "name", "bullet", "point", "product", "description", "value", "unit",
])  # fmt: skip


def term_values(ridge: PriceRidge, added: sparse.csr_matrix, terms: int) -> sparse.csr_matrix:
    """Return what each of v terms adds to the linear model's log price, csr_matrix of shape (n, v).

    Parameters
    ----------
    ridge : PriceRidge
        With q columns of its design.
    added : csr_matrix of shape (n, q)
        What each column of the design adds, as `pricing.explain.ridge_terms.ridge_added`.
    terms : int
        v. Of a term times an amount, half is the term's.
    """
    total, design = added[:, :terms], ridge.design
    if design.interaction_weight > 0:
        for start in range(added.shape[1] - terms * len(design.interacted), added.shape[1], terms):
            total = total + 0.5 * added[:, start : start + terms]
    return sparse.csr_matrix(total)


@dataclass(frozen=True)
class NamedWords:
    """Words that may be named under the items of n products.

    Attributes
    ----------
    items : tuple of str
        Item of each of s slots.
    words : ndarray of shape (n, s), object
        The word in each slot, or words that stand together; "" where there is none.
    """

    items: tuple[str, ...]
    words: NDArray[np.object_]

    @classmethod
    def choose(cls, values: sparse.csr_matrix, usual: Floats, blocks: Sequence[TfidfBlock]) -> "NamedWords":
        """Choose at most `MOST` words each of title and text.

        Parameters
        ----------
        values : csr_matrix of shape (n, v)
            What each term adds to the linear model's log price, in the mean over folds.
        usual : ndarray of shape (v,)
            Their means over the rows that explanations start from.
        blocks : sequence of TfidfBlock
            Blocks of the terms, in their order.
        """
        owners = np.array([_BLOCKS.get(block.name, "") for block in blocks for _ in block.terms], dtype=object)
        said = np.array([term for block in blocks for term in block.terms], dtype=object)
        telling = np.array([bool(owner) and _tells(term) for owner, term in zip(owners, said, strict=True)], dtype=bool)
        items = tuple(item for item in _BLOCKS.values() for _ in range(MOST))
        words = np.full((values.shape[0], len(items)), "", dtype=object)
        for row in range(values.shape[0]):
            own = slice(values.indptr[row], values.indptr[row + 1])
            terms = values.indices[own]
            strength = np.abs(values.data[own] - usual[terms])
            titled = set(said[terms[owners[terms] == TITLE]])
            for place, item in enumerate(_BLOCKS.values()):
                there = [number for number in np.flatnonzero((owners[terms] == item) & telling[terms]).tolist()
                         if item == TITLE or said[terms[number]] not in titled]  # fmt: skip
                for slot, word in enumerate(_apart(sorted(there, key=lambda n: (-strength[n], terms[n])), said[terms])):
                    words[row, place * MOST + slot] = word
        return cls(items, words)

    def texts_without(self, texts: Sequence[str]) -> pl.DataFrame:
        """Return the texts of n products without each word.

        Parameters
        ----------
        texts : sequence of str
            n catalogue texts.

        Returns
        -------
        DataFrame
            A row per word that the text has in so many letters: ``row``, ``slot``, and ``text`` without the word,
            wherever it stands but in the labels of lines.
        """
        found = []
        for row, text in enumerate(texts):
            for slot in np.flatnonzero(self.words[row] != ""):
                without = _without(text, self.words[row, slot])
                if without != text:
                    found.append((row, int(slot), without))
        return pl.DataFrame(found, {"row": pl.UInt32, "slot": pl.UInt32, "text": pl.String}, orient="row")

    def named(self, row: int, item: str, added: Floats, whole: float) -> list[tuple[str, float]]:
        """Return the words of one product's item with what they add, the strongest first, its other words last.

        Parameters
        ----------
        added : ndarray of shape (s,)
            What the slots add to this product.
        whole : float
            What the item adds; the parts sum to it.
        """
        slots = [slot for slot, own in enumerate(self.items) if own == item and abs(added[slot]) >= LEAST]
        found = sorted(((self.words[row, slot], float(added[slot])) for slot in slots), key=lambda pair: -abs(pair[1]))
        return [*found, (OTHER, whole - sum(share for _, share in found))] if found else []


def _tells(term: str) -> bool:
    """Whether a word, or the first or last of several, says something by itself."""
    words = term.split(" ")
    return not any(len(word) < 2 or word[0].isdigit() or word in _SILENT for word in (words[0], words[-1]))


def _apart(ordered: Sequence[int], said: NDArray[np.object_]) -> list[str]:
    """The first words of an order of which none is a part of another."""
    found: list[str] = []
    for number in ordered:
        words = set(said[number].split(" "))
        if len(found) < MOST and not any(words & set(one.split(" ")) for one in found):
            found.append(said[number])
    return found


def _without(text: str, word: str) -> str:
    letters = r"[^\W\d_]"
    inside = r"[\W_]+".join(re.escape(part) for part in word.split(" "))
    pattern = re.compile(rf"({_LABEL})|(?<!{letters}){inside}(?!{letters})", re.IGNORECASE | re.MULTILINE)
    return pattern.sub(lambda found: found[1] or "", text)
