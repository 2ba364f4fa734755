"""The Gaussian process asked about mixtures of products: each of its kernels is a product, or a sum, over groups.

Squared distances add up over groups, so that a kernel of them is a product of one factor per group. The factors of some
groups are multiplied for all that coalitions hold of them, then those of the other groups, and one product of matrices
brings both together over the landmarks. The words' kernel is a sum over groups, divided by the length of the mixture's
words.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from pricing.explain.mixing import Groups, Mixer, mixed, spread_terms
from pricing.members.fold_rows import Rows
from pricing.members.gaussian_process import GaussianProcessMember
from pricing.metrics.smape import Floats

Singles = NDArray[np.float32]
_AMOUNTS = "words_amount"
CHUNK = 8
"""Products apart at a time: each kernel holds k values per product and landmark."""


@dataclass(frozen=True)
class Split:
    """Coalitions as pairs of what they hold of some groups and of the others.

    Attributes
    ----------
    left : ndarray of shape (k,), bool
        The ones.
    parts : tuple of two ndarrays of float32
        What coalitions hold of the ones and of the others, each once, (c', k).
    places : tuple of two ndarrays of int
        Of each of c coalitions, its part.
    """

    left: NDArray[np.bool_]
    parts: tuple[Singles, Singles]
    places: tuple[NDArray[np.int64], NDArray[np.int64]]

    @classmethod
    def of(cls, coalitions: NDArray[np.bool_]) -> "Split":
        """Split where the fewest parts are left."""
        made = []
        for end in range(1, coalitions.shape[1]):
            left = np.arange(coalitions.shape[1]) < end
            found = [np.unique(coalitions & half, axis=0, return_inverse=True) for half in (left, ~left)]
            (one, first), (other, second) = found
            parts = one.astype(np.float32), other.astype(np.float32)
            made.append(cls(left, parts, (first.ravel(), second.ravel())))
        return min(made, key=lambda split: sum(map(len, split.parts)))


@dataclass(frozen=True)
class Apart:
    """b products apart by group, beside m landmarks.

    Attributes
    ----------
    linear : ndarray of shape (b, k), float32
        What each group adds to the linear kernel's price.
    logs : dict of str to ndarray of shape (b, k, m), float32
        Kernel to the logarithms of its factors.
    terms : csr_matrix of shape (b * k, v)
        Terms.
    cosines : ndarray of shape (b, k, m), float32
        Their products with the landmarks' terms.
    """

    linear: Singles
    logs: dict[str, Singles]
    terms: sparse.csr_matrix
    cosines: Singles


class ProcessMixer(Mixer):
    """Mixtures for a process; the kernels of distances in single precision, some 1e-6 in log price.

    Parameters
    ----------
    member : GaussianProcessMember
        The process.
    start : Rows
        b rows that are mixed with.
    groups : Groups
        k groups.
    """

    def __init__(self, member: GaussianProcessMember, start: Rows, groups: Groups) -> None:
        self.member, self.process, self.groups = member, member.process, groups
        self.kernel, scaler = member.process.kernel, member.scaler
        self.size = {name: float(value.detach().exp()) for name, value in self.kernel.log.items()}
        self.columns = groups.of((*scaler.numeric, *(name for name, _ in scaler.levels)))
        self.dual = self.process.dual.numpy()
        self.meaning = self.kernel.meaning and start.features.embedding is not None
        self.start = self._apart(start)
        self.read = np.asarray(groups.terms.sum(axis=0)).ravel() > 0
        self.read[self.columns] = True
        self.read[groups.text] |= self.meaning

    def values(self, rows: Rows, coalitions: NDArray[np.bool_]) -> Floats:
        """Return log prices of mixtures, as in `Mixer.values`."""
        split, inside = Split.of(coalitions), coalitions.astype(np.float32)
        found = np.zeros((len(rows), len(coalitions)))
        for first in range(0, len(rows), CHUNK):
            apart = self._apart(rows.take(np.arange(len(rows)) // CHUNK == first // CHUNK))
            for place in range(len(apart.linear)):
                linear = mixed(inside, apart.linear[place][:, None], self.start.linear[:, :, None])
                total = linear.mean(axis=0).ravel() + self._words(coalitions, apart, place)
                for name, logs in apart.logs.items():
                    if name != _AMOUNTS:
                        total += self.size[name] * self._product(split, logs[place], self.start.logs[name])
                found[first + place] = total
        return found * self.process.scale + self.process.center

    def _apart(self, rows: Rows) -> Apart:
        products, landmarks, size = self.member.products(rows), self.process.landmarks, self.size
        shape = len(rows), self.groups.count, len(landmarks)
        ours, theirs = products.numbers.numpy(), landmarks.numbers.numpy()

        def distances(columns: list[int], factor: float) -> Floats:
            """Squared distances by group, (b, k, m)."""
            found = np.zeros(shape)
            for group in np.unique(self.columns[columns]):
                own = [column for column in columns if self.columns[column] == group]
                found[:, group] = factor * _squared_distance(ours[:, own], theirs[:, own])
            return found

        def near(name: str) -> Floats:
            return distances(self.kernel.columns[name], size[f"group_{name}"] ** 2 / len(self.kernel.columns[name]))

        names = [name for name in self.kernel.columns if name != "price"]
        otherwise = np.sum([near(name) for name in names], axis=0) if names else np.zeros(shape)
        amount = distances(self.kernel.amounts, 1.0)
        logs = {"numbers": -otherwise / 2, _AMOUNTS: -amount / (2 * size["amount_scale"] ** 2)}
        linear = np.zeros(shape[:2])
        if "price" in self.kernel.columns:
            logs["price"] = -near("price") / 2 - size["otherwise"] * otherwise / 4
            columns = self.kernel.columns["price"]
            slopes = size["linear"] / len(columns) * (theirs[:, columns].T @ self.dual)  # (price columns,)
            np.add.at(linear.T, self.columns[columns], (ours[:, columns] * slopes).T)
        if self.meaning and products.meaning is not None and landmarks.meaning is not None:
            logs["meaning"] = -amount / (2 * size["meaning_amount_scale"] ** 2)
            apart = (1 - products.meaning.numpy() @ landmarks.meaning.numpy().T).clip(0) / size["meaning_scale"]
            logs["meaning"][:, self.groups.text] -= apart
        # not of length 1 here: the mixture is
        terms = spread_terms(rows.features.tfidf, self.groups.terms)
        cosines = (landmarks.terms @ terms.T.tocsr()).toarray().T.reshape(shape)
        singles = {name: values.astype(np.float32) for name, values in logs.items()}
        return Apart(linear.astype(np.float32), singles, terms, cosines)

    def _product(self, split: Split, row: Singles, start: Singles) -> Floats:
        """Mean over the start's rows of the sum over landmarks of coefficient times all groups' factors, (c,)."""
        found = np.zeros(len(split.places[0]))
        for other in start:
            one, rest = (
                torch.from_numpy(part @ np.where(half[:, None], row - other, 0) + other[half].sum(axis=0)).exp_()
                for part, half in zip(split.parts, (split.left, ~split.left), strict=True)
            )  # (c', m) each
            both = ((one * torch.from_numpy(self.dual.astype(np.float32))) @ rest.T).numpy()
            found += both[split.places]
        return found / len(start)

    def _words(self, coalitions: NDArray[np.bool_], apart: Apart, place: int) -> Floats:
        """As `_product`, for the words of one of the products apart, alone and at a like amount."""
        start, count = self.start, self.groups.count
        moved = np.unique(self.columns[self.kernel.amounts])  # groups that say how much there is
        parts, places = np.unique(coalitions[:, moved], axis=0, return_inverse=True)
        parts, places = parts.astype(np.float32), places.ravel()
        found = np.zeros(len(coalitions))
        chosen = np.column_stack([coalitions, ~coalitions]).astype(np.float64)  # (c, 2k)
        row, terms = apart.logs[_AMOUNTS][place][moved], apart.terms[place * count : (place + 1) * count]
        for number, amounts in enumerate(start.logs[_AMOUNTS]):
            other = amounts[moved]
            like = np.exp(parts @ (row - other) + other.sum(axis=0))  # (parts, m)
            weights = (self.size["words"] + self.size[_AMOUNTS] * like) * self.dual
            sides = np.concatenate([apart.cosines[place], start.cosines[number]])  # (2k, m)
            total = ((weights @ sides.T)[places] * chosen).sum(axis=1)
            own = sparse.vstack([terms, start.terms[number * count : (number + 1) * count]])
            lengths = np.sqrt(((chosen @ (own @ own.T).toarray()) * chosen).sum(axis=1).clip(0))
            found += np.divide(total, lengths, out=np.zeros(len(total)), where=lengths > 0)
        return found / len(start.linear)


def _squared_distance(left: Floats, right: Floats) -> Floats:
    """(n, p), (m, p) -> (n, m)."""
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1)[None, :]
    found: Floats = (squares - 2 * left @ right.T).clip(0)
    return found
