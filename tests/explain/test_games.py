"""Values of cooperative games, against their definition: the mean over orders of what each player's coming adds."""

from collections.abc import Iterator, Sequence
from itertools import chain, permutations, product

import numpy as np
import pytest

from pricing.explain.games import Game, coalitions_needed

UNIONS = [
    pytest.param([[0], [1], [2], [3]], id="no unions"),
    pytest.param([[0, 1], [2, 3]], id="two"),
    pytest.param([[2], [0, 3, 1]], id="one of three"),
    pytest.param([[0, 1, 2, 3]], id="all in one"),
]


def orders(unions: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """All orders in which the players of a union come one after another."""
    for outer in permutations(unions):
        for inner in product(*(permutations(union) for union in outer)):
            yield list(chain.from_iterable(inner))


@pytest.mark.parametrize("unions", UNIONS)
def test_values_are_the_mean_over_orders(unions: list[list[int]]) -> None:
    worth = np.random.default_rng(0).normal(size=16)  # of any coalition, by its mask
    by_orders, every = np.zeros(4), list(orders(unions))
    for order in every:
        for number, player in enumerate(order):
            before = sum(1 << one for one in order[:number])
            by_orders[player] += (worth[before | 1 << player] - worth[before]) / len(every)
    game = Game.of(unions, 4)
    masks = game.coalitions @ (1 << np.arange(4))
    found = worth[masks] @ game.weights
    assert found == pytest.approx(by_orders)
    assert found.sum() == pytest.approx(worth[15] - worth[0])
    assert masks[0] == 0
    assert masks[-1] == 15
    assert len(set(masks)) == len(masks) == coalitions_needed([len(union) for union in unions])


def test_who_is_in_no_union_adds_nothing() -> None:
    game = Game.of([[2], [4, 0]], 5)
    assert not game.weights[:, [1, 3]].any()
    assert not game.coalitions[:, [1, 3]].any()


def test_unions_ask_for_far_fewer_coalitions() -> None:
    assert coalitions_needed([1] * 12) == 4096
    assert coalitions_needed([5, 4, 1, 2]) == 384
