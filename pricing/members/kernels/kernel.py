"""The covariance of two products' log prices, by what is alike between them.

A sum of kernels, each of which a price analyst would recognise: alike words; alike words at a like amount; alike
prices of comparables, weighed by how alike the products are otherwise; alike engineered numbers; alike meaning (the
sentence embedding) at a like amount; and a linear part in the price features (the ridge's prediction is one of them).
Sums and products of kernels are kernels (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006,
section 4.2.4). Each group of columns has one length scale, and each kernel one weight; all are learnt.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np
import torch
from scipy import sparse
from torch import nn

from pricing.features.schema import Column
from pricing.members.kernels.shared_rows import SharedRows

GROUPS = ("price", "amount", "brand", "other")
"""Groups of columns with a length scale of their own."""

# where learning starts, near where it ended on real rows: variances, length scales, all as logarithms
_START = {
    "words": -2.8, "words_amount": -1.6, "price": -0.9, "numbers": -2.8, "meaning": -2.5, "linear": -2.6,
    "amount_scale": -2.0, "meaning_scale": 0.9, "meaning_amount_scale": 1.0, "otherwise": -0.3, "noise": -1.6,
    "group_price": -0.3, "group_amount": 0.3, "group_brand": -1.1, "group_other": -1.2,
}  # fmt: skip


_FAMILIES = {"ridge": "price", "means": "price", "comparables": "price", "quantity": "amount", "brand": "brand"}


def group_of(column: Column) -> str:
    """The group that a feature belongs to."""
    return "amount" if column.role == "declared_amount" else _FAMILIES.get(column.family, "other")


@dataclass(frozen=True)
class Products:
    """What the kernel reads of n products."""

    numbers: torch.Tensor
    """(n, p) standard scores, float64."""
    terms: sparse.csr_matrix
    """(n, v) TF-IDF rows of length 1, float32."""
    meaning: torch.Tensor | SharedRows | None
    """(n, d) embeddings of length 1, float64; those of landmarks that were read from a file are shared."""
    _blocks: dict[tuple[int, ...], tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict, repr=False)
    _turned: dict[tuple[int, ...], torch.Tensor] = field(default_factory=dict, repr=False)

    @cached_property
    def by_term(self) -> sparse.csr_matrix:
        """(v, n) the terms' rows, kept: turning them for each product to price cost ten times the product itself."""
        return sparse.csr_matrix(self.terms.T)

    def block(self, columns: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Some columns of the numbers (n, p) and their rows' squared lengths (n,), kept like ``by_term``."""
        key = tuple(columns)
        if key not in self._blocks:
            chosen = self.numbers[:, columns]
            self._blocks[key] = chosen, chosen.square().sum(1)
        return self._blocks[key]

    def turned(self, columns: Sequence[int]) -> torch.Tensor:
        """Some columns of the numbers as rows (p, n), kept: one product times these takes a fifth of the time that it
        takes times the (n, p) block, whose rows are added up one by one."""
        key = tuple(columns)
        if key not in self._turned:
            self._turned[key] = self.block(columns)[0].T.contiguous()
        return self._turned[key]

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, rows: np.ndarray | slice) -> Self:
        """Some of the products: positions or a slice."""
        meaning = None if self.meaning is None else torch.from_numpy(self.meaning.numpy())[rows]
        return type(self)(self.numbers[rows], self.terms[rows], meaning)


class ProductKernel(nn.Module):
    """Covariance in standard units of log price, and the variance of the noise.

    Parameters
    ----------
    groups : sequence of str, length p
        Group of each column of `Products.numbers`.
    amounts : sequence of int
        Columns that say how much of the product there is.
    meaning : bool
        Whether products have an embedding.
    """

    def __init__(self, groups: Sequence[str], amounts: Sequence[int], meaning: bool) -> None:
        super().__init__()
        self.columns = {
            name: [place for place, group in enumerate(groups) if group == name] for name in GROUPS if name in groups
        }
        self.groups, self.amounts = list(groups), list(amounts)
        self.meaning = meaning
        names = [name for name in _START if meaning or not name.startswith("meaning")]
        self.log = nn.ParameterDict(
            {name: nn.Parameter(torch.tensor(_START[name], dtype=torch.float64)) for name in names}
        )

    @property
    def noise(self) -> torch.Tensor:
        """Variance of what the kernel does not explain, in standard units squared; at least 1e-3."""
        return self.log["noise"].exp() + 1e-3

    def forward(self, left: Products, right: Products) -> torch.Tensor:
        """Covariances (n, m) float64 of n and m products."""
        size = {name: value.exp() for name, value in self.log.items()}
        words = torch.from_numpy((left.terms @ right.by_term).toarray().astype(np.float64))  # (n, m) cosines
        amount = _squared_distance(left, right, self.amounts)
        near = {
            name: size[f"group_{name}"].square() / len(columns) * _squared_distance(left, right, columns)
            for name, columns in self.columns.items()
        }
        otherwise = sum((value for name, value in near.items() if name != "price"), torch.zeros_like(words))
        total = words * (size["words"] + size["words_amount"] * torch.exp(-amount / (2 * size["amount_scale"] ** 2)))
        total = total + size["numbers"] * torch.exp(-otherwise / 2)
        if "price" in near:
            columns = self.columns["price"]
            linear = _products(left, right, columns) / len(columns)
            total = total + size["linear"] * linear
            total = total + size["price"] * torch.exp(-near["price"] / 2 - size["otherwise"] * otherwise / 4)
        if isinstance(left.meaning, torch.Tensor) and right.meaning is not None and self.meaning:
            other = right.meaning
            cosines = other.products(left.meaning) if isinstance(other, SharedRows) else left.meaning @ other.T
            apart = (1 - cosines).clamp_min(0) / size["meaning_scale"]
            like = amount / (2 * size["meaning_amount_scale"] ** 2)
            total = total + size["meaning"] * torch.exp(-apart - like)
        return total


def _squared_distance(left: Products, right: Products, columns: Sequence[int]) -> torch.Tensor:
    """Squared distances of n and m products in some columns, (n, m)."""
    lengths = left.block(columns)[1][:, None] + right.block(columns)[1][None, :]
    return (lengths - 2 * _products(left, right, columns)).clamp_min(0)


def _products(left: Products, right: Products, columns: Sequence[int]) -> torch.Tensor:
    """Products of n and m products' numbers in some columns, (n, m)."""
    rows = left.block(columns)[0]
    return rows @ (right.turned(columns) if len(left) == 1 else right.block(columns)[0].T)
