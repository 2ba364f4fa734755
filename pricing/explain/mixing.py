"""Products mixed of two: some groups of what a member reads are of one product, the others of another.

What a member says of all mixtures is a cooperative game of the groups; `pricing.explain.games` computes its values. It
can be told quickly of members whose first layer or kernel falls apart into groups: those have a `Mixer`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pricing.members.contract import Member
from pricing.members.fold_rows import Rows
from pricing.members.gaussian_process import GaussianProcessMember
from pricing.members.mlp.mlp_member import MLPMember


@dataclass(frozen=True)
class Groups:
    """To which of k groups each thing belongs that is read of a product.

    Attributes
    ----------
    columns : mapping of str to int
        Column of the features and price features to its group.
    terms : csr_matrix of shape (v, k)
        Share of each group in each term; rows sum to 1.
    text : int
        Group of the embedding of the whole text.
    parts : mapping of str to int
        Part of the text with an embedding of its own to its group.
    """

    columns: Mapping[str, int]
    terms: sparse.csr_matrix
    text: int
    parts: Mapping[str, int]

    @property
    def count(self) -> int:
        """Number of groups, k."""
        return int(self.terms.shape[1])

    def of(self, names: Iterable[str]) -> NDArray[np.int64]:
        """The groups of some columns."""
        return np.array([self.columns[name] for name in names], dtype=np.int64)


class Mixer(ABC):
    """A member that is asked about mixtures of products with some rows that it starts from.

    Attributes
    ----------
    read : ndarray of shape (k,), bool
        Groups that the member reads anything of.
    """

    read: NDArray[np.bool_]

    @abstractmethod
    def values(self, rows: Rows, coalitions: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return what the member says of the mixtures of n rows.

        Parameters
        ----------
        rows : Rows
            n rows.
        coalitions : ndarray of shape (c, k), bool
            Groups that are of the row; the others are of a row that the mixer starts from.

        Returns
        -------
        ndarray of shape (n, c), float64
            Log price, the mean over the rows that the mixer starts from.
        """


def spread(values: NDArray[np.float32], groups: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """Return columns apart by group: (n, p) values -> (n, k, p), 0 in the columns of other groups."""
    apart = np.zeros((len(values), count, values.shape[1]), values.dtype)
    apart[:, groups, np.arange(values.shape[1])] = values
    return apart


def spread_terms(terms: sparse.csr_matrix, shares: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return terms apart by group: (n, v) -> (n * k, v), the k groups of a row below each other."""
    rows, count = terms.shape[0], shares.shape[1]
    each = shares[terms.indices].tocoo()
    row = np.repeat(np.arange(rows), np.diff(terms.indptr))[each.row]
    values = (terms.data[each.row] * each.data).astype(np.float32)
    return sparse.csr_matrix(
        (values, (row * count + each.col, terms.indices[each.row])), shape=(rows * count, terms.shape[1])
    )


def mixed(inside: NDArray[np.float32], row: NDArray[np.float32], start: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum what groups add, of one row or of those that it is mixed with.

    Parameters
    ----------
    inside : ndarray of shape (c, k)
        1 for groups that are of the row, else 0.
    row : ndarray of shape (k, d)
        What each group of the row adds.
    start : ndarray of shape (b, k, d)
        What those of the other rows add.

    Returns
    -------
    ndarray of shape (b, c, d)
    """
    found: NDArray[np.float32] = inside @ (row - start) + start.sum(axis=1)[:, None]
    return found


@singledispatch
def make_mixer(member: Member[Any], start: Rows, groups: Groups) -> Mixer | None:
    """Return what tells of mixtures of products with some rows; None for a member that cannot tell quickly."""
    return None


# torch is imported only where there is such a member
@make_mixer.register
def _(member: MLPMember, start: Rows, groups: Groups) -> Mixer:
    from pricing.explain.mlp_mixer import MLPMixer

    return MLPMixer(member, start, groups)


@make_mixer.register
def _(member: GaussianProcessMember, start: Rows, groups: Groups) -> Mixer:
    from pricing.explain.process_mixer import ProcessMixer

    return ProcessMixer(member, start, groups)
