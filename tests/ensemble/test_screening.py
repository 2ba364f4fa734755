"""Which members know anything, and which folds are nested."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.ensemble.nested_folds import nesting_folds
from pricing.ensemble.screening import informative_members
from pricing.errors import PredictionsError
from tests.ensemble.synthetic import make_members


def test_noise_is_left_out_and_weak_members_stay() -> None:
    members, log_price = make_members(4000, 2, 0)
    rng = np.random.default_rng(1)
    weak = log_price + rng.normal(0, 5, 4000)  # a rank correlation of 0.19
    wild = members[:, 0].copy()
    wild[:5] = 1e6  # a few absurd values decide nothing
    noise = rng.standard_t(1.2, (4000, 40))
    table = np.column_stack([noise, members, weak, wild, np.full(4000, 2.0), -members[:, 0]])
    assert informative_members(table, log_price, 4.5) == (40, 41, 42, 43, 45)
    assert informative_members(table, log_price, 0) == tuple(range(46))


def test_few_rows_do_not_hide_a_good_member() -> None:
    members, log_price = make_members(30, 3, 2)
    assert informative_members(members, log_price, 4.5) == (0, 1, 2)


@given(st.lists(st.integers(0, 12), min_size=30, max_size=200).filter(lambda f: len(set(f)) > 1), st.integers(3, 6))
def test_folds_are_merged_whole(folds: list[int], most: int) -> None:
    given_folds = np.array(folds)
    nested = nesting_folds(given_folds, most)
    count = len(set(nested.tolist()))
    assert count == (min(len(set(folds)), most) if len(set(folds)) > 2 else count)
    if len(set(folds)) > 2:
        for label in set(folds):
            assert len(set(nested[given_folds == label].tolist())) == 1
    if 2 < len(set(folds)) <= most:
        assert (nested == given_folds).all()


def test_two_folds_become_four_and_one_is_refused() -> None:
    folds = np.repeat([3, 8], 20)
    nested = nesting_folds(folds, 5)
    assert sorted(set(nested.tolist())) == [0, 1, 2, 3]
    assert all(len(set(folds[nested == label].tolist())) == 1 for label in range(4))
    with pytest.raises(PredictionsError, match="at least two folds"):
        nesting_folds(np.zeros(40, dtype=np.int64), 5)


def test_merged_folds_are_of_about_equal_size() -> None:
    nested = nesting_folds(np.arange(10_000) % 23, 5)
    counts = np.bincount(nested)
    assert len(counts) == 5
    assert counts.max() < 1.4 * counts.min()
