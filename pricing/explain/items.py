"""What a price is explained by: the user's own columns and the families that people know, in their words.

A column of features belongs to one item, a term of the TF-IDF matrix to one or, for a pair of two columns' values, to
two by halves. The linear model's price is no item: `pricing.explain.ridge_terms` opens it.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pricing.catalogue.roles import role_name
from pricing.config.columns import ColumnsConfig
from pricing.explain.mixing import Groups
from pricing.features.schema import Column, term_name
from pricing.features.tfidf import TfidfBlock
from pricing.metrics.smape import Floats

BRAND, AMOUNT, TITLE, TEXT = "brand", "amount and pack", "words of the title", "words of the text"
CLAIMS, COMPARABLES, IMAGE = "claims", "comparables", "image"
CATEGORIES = "categories, read together"
FINISH = "calibration and decision"
LINEAR = "linear model"
"""Stands for the linear model's price until it is opened; people never see it."""

_FAMILIES = {
    "quantity": AMOUNT, "brand": BRAND, "sub_brand": BRAND, "keywords": CLAIMS, "words": TITLE, "text": TEXT,
    "svd": TEXT, "comparables": COMPARABLES, "ridge": LINEAR,
}  # fmt: skip
_TOLD_TOGETHER = {
    AMOUNT: "amount", COMPARABLES: "prices", LINEAR: "prices", BRAND: "words", TITLE: "words", TEXT: "words",
    CLAIMS: "words", IMAGE: "image",
}  # fmt: skip
"""Item to its family, where it is none of the declared columns."""
MOST_SINGLE = 8
"""Maximum number of items that are told apart without families."""
_MOST_COLUMNS = 5
"""Maximum number of declared columns of one family."""
_BLOCKS = {"words": TEXT, "title_words": TITLE, "title_characters": TITLE}
_PARTS = {"title": TITLE, "description": TEXT, "categories": CATEGORIES}


class Items:
    """The items of a model.

    Parameters
    ----------
    roles : ColumnsConfig
        Roles of the catalogue's columns.
    columns : sequence of Column
        Columns of the features and of the price features.
    blocks : sequence of TfidfBlock
        Blocks of the TF-IDF matrix, in the order of its columns.

    Attributes
    ----------
    names : tuple of str
        k items in words; `LINEAR` is the last.
    terms : csr_matrix of shape (v, k)
        Share of each item in each term; rows sum to 1.
    """

    def __init__(self, roles: ColumnsConfig, columns: Sequence[Column], blocks: Iterable[TfidfBlock]) -> None:
        owned = [(role_name(kind, column), column) for kind in ("number", "amount", "category")
                 for column in roles.roles()[kind]]  # fmt: skip
        # of two names of which one begins with the other, the longer one owns a column
        self._owned = sorted(owned, key=lambda pair: -len(pair[0]))
        self._columns = {column.name: self._item(column) for column in columns if column.family != "means"}
        means = {
            f"price_{name}_{what}": item for name, item in self._columns.items() for what in ("mean", "count")
        }  # fmt: skip
        self._columns |= {column.name: means[column.name] for column in columns if column.family == "means"}
        shares = [share for block in blocks for share in self._block(block)]
        fixed = (AMOUNT, TITLE, TEXT, IMAGE, CATEGORIES)
        found = dict.fromkeys([*self._columns.values(), *(item for share in shares for item in share), *fixed])
        self.names = (*(item for item in found if item != LINEAR), LINEAR)
        self._place = {item: place for place, item in enumerate(self.names)}
        rows = np.repeat(np.arange(len(shares)), [len(share) for share in shares])
        places = [self._place[item] for share in shares for item in share]
        weights = [1 / len(share) for share in shares for _ in share]
        self.terms = sparse.csr_matrix((weights, (rows, places)), shape=(len(shares), len(self.names)))

    def groups(self) -> Groups:
        """Return the items as the groups of `pricing.explain.mixing`."""
        columns = {name: self._place[item] for name, item in self._columns.items()}
        parts = {part: self._place[item] for part, item in _PARTS.items()}
        return Groups(columns, self.terms, self._place[TEXT], parts)

    def unions(self, read: NDArray[np.bool_]) -> list[list[int]]:
        """Return the places of the items under a mask of shape (k,), by family where they are many.

        Families are words and brand, amounts, prices, image, and the declared columns, a few each.
        """
        places = np.flatnonzero(read).tolist()
        if len(places) <= MOST_SINGLE:
            return [[place] for place in places]
        families: dict[str, list[int]] = {}
        for place in places:
            families.setdefault(_TOLD_TOGETHER.get(self.names[place], "columns"), []).append(place)
        columns = families.pop("columns", [])
        parts = np.array_split(columns, -(-len(columns) // _MOST_COLUMNS)) if columns else []
        return [*families.values(), *(part.tolist() for part in parts)]

    def place(self, item: str) -> int:
        """Position of an item in `names`."""
        return self._place[item]

    def of_column(self, name: str) -> str:
        """The item of a column of features."""
        return self._columns[name]

    def of_part(self, part: str) -> str:
        """The item of what is embedded for itself."""
        return _PARTS[part]

    def columns_of(self, item: str) -> set[str]:
        """Names of the columns of an item."""
        return {name for name, own in self._columns.items() if own == item}

    def holds_terms(self, item: str) -> bool:
        """Whether any term belongs to an item."""
        return bool(self.terms[:, self._place[item]].nnz)

    def shares(self, names: Sequence[str]) -> sparse.csr_matrix:
        """Share of each of k items in p columns of features or terms, csr_matrix of shape (p, k)."""
        places = [self._place[self._columns[name]] for name in names if name in self._columns]
        read: list[int] = []
        if len(places) < len(names):
            terms = {term_name(column): column for column in range(self.terms.shape[0])}
            read = [terms[name] for name in names if name not in self._columns]
        own = sparse.csr_matrix(
            (np.ones(len(places)), (np.arange(len(places)), places)), shape=(len(places), len(self.names))
        )
        # columns come first, terms last, as `TableEncoder.names` has them
        return sparse.csr_matrix(sparse.vstack([own, self.terms[read]]))

    def totals(self, names: Sequence[str], values: Floats) -> Floats:
        """Sum what p columns add, (n, p), by item: ndarray of shape (n, k)."""
        return np.asarray(values @ self.shares(names))

    def _item(self, column: Column) -> str:
        return self._owner(column.name) if column.family == "declared" else _FAMILIES.get(column.family, TEXT)

    def _owner(self, name: str) -> str:
        return next((column for own, column in self._owned if name == own or name.startswith(f"{own} ")), TEXT)

    def _block(self, block: TfidfBlock) -> list[tuple[str, ...]]:
        """The items of each term of a block."""
        if block.analyzer != "category":
            return [(_BLOCKS[block.name],)] * len(block.terms)
        return [self._named(term.partition("=")[0]) for term in block.terms]

    def _named(self, names: str) -> tuple[str, ...]:
        """The columns whose values a term holds: ``category:a=...``, ``category:a&category:b=...``."""
        return tuple(dict.fromkeys(self._owner(name) for name in re.split(r"&(?=category:)", names)))
