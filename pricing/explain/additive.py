"""Contributions that add up: sums shared out, several models' answers, and log prices as percent and money."""

from collections.abc import Callable

import numpy as np

from pricing.metrics.smape import Floats

STEEPEST = 2.0
"""Largest factor by which parts are scaled to fit a sum."""
_FLAT = 1e-6


def share_out(total: Floats, parts: Floats, usual: float = 1.0) -> Floats:
    """Scale parts so that each row's sum is a given one.

    Parts are multiplied by the quotient of the two sums. Where it is beyond `STEEPEST`, or the parts cancel each other,
    they are multiplied by ``usual`` and what is left over is added in proportion to their sizes.

    Parameters
    ----------
    total : ndarray of shape (n,)
        The sums.
    parts : ndarray of shape (n, k)
        The parts.
    usual : float
        Factor where the sums themselves give none.

    Returns
    -------
    ndarray of shape (n, k)
        Rows sum to ``total``; a row of parts that are all 0 stays 0.
    """
    found = parts.sum(axis=1)
    factor = np.divide(total, found, out=np.full(len(total), usual), where=np.abs(found) > _FLAT)
    factor = np.where(np.abs(factor) > STEEPEST, usual, factor)
    size = np.abs(parts)
    whole = size.sum(axis=1)
    rest = np.divide(total - factor * found, whole, out=np.zeros(len(total)), where=whole > 0)
    shared: Floats = factor[:, None] * parts + rest[:, None] * size
    return shared


def shapley_values(answer: Callable[[Floats], Floats], rows: Floats, base: Floats) -> Floats:
    """What each of m inputs adds to an answer, from a base to each row.

    The Shapley value: the mean over all orders in which inputs go from base to row of what each one's step adds
    (Shapley, "A value for n-person games", 1953). For a linear answer that is coefficient times difference. The 2^m
    combinations are all computed, m being the handful of members.

    Parameters
    ----------
    answer : callable
        From inputs of shape (r, m) to log prices of shape (r,).
    rows : ndarray of shape (n, m)
        Inputs.
    base : ndarray of shape (m,)
        Where they start.

    Returns
    -------
    ndarray of shape (n, m)
        Rows sum to ``answer(rows) - answer(base)``.
    """
    n, m = rows.shape
    sets = np.arange(2**m)
    inside = (sets[:, None] >> np.arange(m)) & 1 == 1  # (2^m, m)
    answers = np.array([answer(np.where(chosen, rows, base)) for chosen in inside])  # (2^m, n)
    size = inside.sum(axis=1)
    # orders in which the members of a set come before one that is not in it, and the others after it
    orders = np.cumprod([1.0, *range(1, m + 1)])
    found = np.zeros((n, m))
    for one in range(m):
        without = sets[~inside[:, one]]
        weight = orders[size[without]] * orders[m - 1 - size[without]] / orders[m]
        found[:, one] = weight @ (answers[without | (1 << one)] - answers[without])
    return found


def as_percent(contribution: Floats) -> Floats:
    """Percent that contributions in log price stand for: 100 (exp(c) - 1)."""
    return 100 * np.expm1(contribution)


def as_money(contribution: Floats, price: Floats, base: Floats) -> Floats:
    """Money that contributions in log price stand for: c (P - B) / ln(P / B), which adds up to P - B.

    Parameters
    ----------
    contribution, price, base : ndarray of shape (n,)
        c, P and B; prices are positive. Where P is B, the limit is c P.
    """
    apart = np.log(price / base)
    # the logarithmic mean of both prices
    mean = np.divide(price - base, apart, out=price.copy(), where=np.abs(apart) > 1e-9)
    return contribution * mean
