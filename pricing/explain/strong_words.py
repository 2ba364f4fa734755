"""The words that add the most to a price, by the terms of the linear model, and the products' own values.

A network says of a text as a whole what it adds; the linear model says it word by word. So the strongest words of each
product are taken out of what the linear model's terms add, as parts of their own, wherever these terms count: in the
linear model itself, and in what its price adds to other members. What is left of the item is its other words.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pricing.explain.items import TEXT, TITLE, Items
from pricing.features.price_ridge import PriceRidge
from pricing.features.tfidf import TfidfBlock
from pricing.metrics.smape import Floats

OTHER = "other words"
MOST = 3
"""Maximum number of words that are named per product and item."""
_BLOCKS = {"title_words": TITLE, "words": TEXT}


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
class StrongWords:
    """The strongest words of n products, the same for all folds.

    Attributes
    ----------
    items : tuple of str
        Item of each of s slots.
    terms : ndarray of shape (n, s), int64
        The term in each slot; -1 where there is none.
    words : list of str
        Term to what it says; "" where a term is no word.
    """

    items: tuple[str, ...]
    terms: NDArray[np.int64]
    words: list[str]

    @classmethod
    def choose(cls, mean: sparse.csr_matrix, blocks: Sequence[TfidfBlock]) -> "StrongWords":
        """Choose `MOST` words of title and text each.

        Parameters
        ----------
        mean : csr_matrix of shape (n, v)
            What each term adds, the mean over folds.
        blocks : sequence of TfidfBlock
            Blocks of the terms, in their order.
        """
        owners = np.array([_BLOCKS.get(block.name, "") for block in blocks for _ in block.terms], dtype=object)
        words = [word if block.name in _BLOCKS else "" for block in blocks for word in block.terms]
        items = tuple(item for item in _BLOCKS.values() for _ in range(MOST))
        chosen = np.full((mean.shape[0], len(items)), -1)
        for row in range(mean.shape[0]):
            own = slice(mean.indptr[row], mean.indptr[row + 1])
            terms, values = mean.indices[own], np.abs(mean.data[own])
            for place, item in enumerate(_BLOCKS.values()):
                there = np.flatnonzero((owners[terms] == item) & (values > 0))
                best = there[np.lexsort((terms[there], -values[there]))][:MOST]
                chosen[row, place * MOST : place * MOST + len(best)] = terms[best]
        return cls(items, chosen, words)

    def split(self, opened: Floats, values: sparse.csr_matrix, usual: Floats, items: Items) -> Floats:
        """Take the words out of what items add.

        Parameters
        ----------
        opened : ndarray of shape (n, k)
            What items add to the linear model's log price.
        values : csr_matrix of shape (n, v)
            What its terms add.
        usual : ndarray of shape (v,)
            Their means over the rows that explanations start from.
        items : Items
            k items.

        Returns
        -------
        ndarray of shape (n, k + s)
            Rows sum to those of ``opened``.
        """
        n, slots = self.terms.shape
        there = self.terms >= 0
        terms = np.where(there, self.terms, 0)
        found = np.asarray(values[np.repeat(np.arange(n), slots), terms.ravel()]).reshape(n, slots)
        words = np.where(there, found - usual[terms], 0.0)
        rest = opened.copy()
        for slot, item in enumerate(self.items):
            rest[:, items.place(item)] -= words[:, slot]
        return np.column_stack([rest, words])

    def named(self, row: int, item: str, added: Floats, rest: float) -> list[tuple[str, float]]:
        """Return the words of one product's item with what they add, the strongest first, the other words among them.

        Parameters
        ----------
        added : ndarray of shape (s,)
            What the slots add to this product.
        rest : float
            What is left of the item.
        """
        slots = [slot for slot, own in enumerate(self.items) if own == item and self.terms[row, slot] >= 0]
        found = [(self.words[self.terms[row, slot]], float(added[slot])) for slot in slots]
        return sorted([*found, (OTHER, rest)], key=lambda pair: -abs(pair[1])) if found else []
