"""Contributions add up, to the sums that they explain."""

from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from pricing.explain.additive import as_money, as_percent, shapley_values, share_out

Floats = NDArray[np.float64]


def test_parts_in_the_right_ratio_are_only_scaled() -> None:
    parts = np.array([[0.4, -0.1], [1.0, 1.0]])
    assert share_out(np.array([0.15, 3.0]), parts) == pytest.approx(np.array([[0.2, -0.05], [1.5, 1.5]]))


def test_whatever_the_parts_they_add_up() -> None:
    rng = np.random.default_rng(0)
    parts, total = rng.normal(size=(500, 6)), rng.normal(size=500)
    parts[:50, 1:] = -parts[:50, :1] / 5  # they cancel each other
    shared = share_out(total, parts, usual=0.3)
    assert np.abs(shared.sum(axis=1) - total).max() < 1e-12
    # parts that nearly cancel are not blown up
    assert np.abs(shared).max() < 2 * np.abs(parts).max() + np.abs(total).max()


def test_parts_that_cancel_keep_the_usual_factor() -> None:
    assert share_out(np.zeros(1), np.array([[0.5, -0.5]]), usual=0.4) == pytest.approx(np.array([[0.2, -0.2]]))


def test_nothing_is_made_of_nothing() -> None:
    assert not share_out(np.array([1.0]), np.zeros((1, 3))).any()


def by_orders(answer: object, rows: Floats, base: Floats) -> Floats:
    """The definition of the Shapley value, order by order."""
    assert callable(answer)
    m, orders = rows.shape[1], list(permutations(range(rows.shape[1])))
    found = np.zeros_like(rows)
    for order in orders:
        at = np.tile(base, (len(rows), 1))
        for one in order:
            before = answer(at)
            at[:, one] = rows[:, one]
            found[:, one] += (answer(at) - before) / len(orders)
    assert m == found.shape[1]
    return found


def test_shares_of_a_bent_answer_are_shapley_values() -> None:
    rng = np.random.default_rng(1)
    rows, base = rng.normal(size=(20, 4)), rng.normal(size=4)

    def answer(values: Floats) -> Floats:
        bent: Floats = np.maximum(values[:, 0], values[:, 1]) + values[:, 2] * values[:, 3]
        return bent

    found = shapley_values(answer, rows, base)
    assert found == pytest.approx(by_orders(answer, rows, base))
    assert found.sum(axis=1) == pytest.approx(answer(rows) - answer(base[None, :]))


def test_shares_of_a_linear_answer_are_weight_times_difference() -> None:
    rng = np.random.default_rng(2)
    rows, base, weights = rng.normal(size=(9, 5)), rng.normal(size=5), rng.normal(size=5)
    assert shapley_values(lambda values: 0.7 + values @ weights, rows, base) == pytest.approx(weights * (rows - base))


def test_percent_multiplies_and_money_adds_up() -> None:
    contribution = np.log([2.0, 0.75, 4.0])
    price, base = np.full(3, 60.0), np.full(3, 10.0)
    assert as_percent(contribution) == pytest.approx([100, -25, 300])
    assert as_money(contribution, price, base).sum() == pytest.approx(50)


def test_money_where_price_and_base_are_equal() -> None:
    money = as_money(np.array([0.2, -0.2]), np.full(2, 30.0), np.full(2, 30.0))
    assert money == pytest.approx([6, -6])
