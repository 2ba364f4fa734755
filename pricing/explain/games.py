"""What each player adds in a cooperative game whose players stand in unions, exactly.

The Shapley value is the mean, over all orders in which players come, of what each one's coming adds (Shapley, "A value
for n-person games", 1953); it asks for 2^k coalitions of k players. Owen's value is the mean over those orders alone in
which the players of a union come one after another (Owen, "Values of games with a priori unions", 1977). It asks for
far fewer coalitions: of every union but one, all players are there or none is. Unions of one player each give the
Shapley value. Both add up to what all players have more than none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from pricing.metrics.smape import Floats


@dataclass(frozen=True)
class Game:
    """The coalitions that a value asks for, and their weights in it.

    Attributes
    ----------
    coalitions : ndarray of shape (c, k), bool
        Who is in; the first has no player, the last all of them.
    weights : ndarray of shape (c, k), float64
        Values of the players are ``worth @ weights`` for a worth of each coalition, (n, c).
    """

    coalitions: NDArray[np.bool_]
    weights: Floats

    @classmethod
    def of(cls, unions: Sequence[Sequence[int]], players: int) -> "Game":
        """Owen's value.

        Parameters
        ----------
        unions : sequence of sequence of int
            Players, each in one union.
        players : int
            k; those in no union add nothing.
        """
        found: dict[int, Floats] = {}

        def add(coalition: int, player: int, weight: float) -> None:
            found.setdefault(coalition, np.zeros(players))[player] += weight

        for number, union in enumerate(unions):
            others = [_mask(other) for place, other in enumerate(unions) if place != number]
            for player in union:
                rest = [1 << other for other in union if other != player]
                for outer, many in _subsets(others):
                    for inner, few in _subsets(rest):
                        # orders of unions and of players within this one, of which so many come before
                        weight = 1 / (comb(len(others), many) * len(unions) * comb(len(rest), few) * len(union))
                        add(outer | inner | 1 << player, player, weight)
                        add(outer | inner, player, -weight)
        order = sorted(found, key=lambda coalition: (coalition.bit_count(), coalition))
        coalitions = np.array([[coalition >> player & 1 for player in range(players)] for coalition in order], bool)
        return cls(coalitions, np.array([found[coalition] for coalition in order]))


def coalitions_needed(sizes: Sequence[int]) -> int:
    """Number of coalitions that Owen's value asks for, of unions of these sizes."""
    whole: int = 2 ** len(sizes)
    return whole + sum(2 ** (len(sizes) - 1) * (2**size - 2) for size in sizes)


def _mask(players: Sequence[int]) -> int:
    return sum(1 << player for player in players)


def _subsets(masks: Sequence[int]) -> list[tuple[int, int]]:
    """All unions of some masks, each with how many of them it is of."""
    made = [(0, 0)]
    for mask in masks:
        made += [(whole | mask, size + 1) for whole, size in made]
    return made
