"""What the learners that are not linear see of a row: how the members disagree, and about what price."""

from itertools import combinations

import numpy as np

from pricing.metrics.smape import Floats

_PAIRED = 6
"""Members, the first ones, whose pairwise differences the trees see."""


def disagreement(members: Floats, base: Floats) -> Floats:
    """Each member's difference from the base price, and the base price: the network's inputs.

    Parameters
    ----------
    members : ndarray of shape (n, m)
        Log prices.
    base : ndarray of shape (n,)
        Log price of the linear base.

    Returns
    -------
    ndarray of shape (n, m + 1)
    """
    return np.column_stack([members - base[:, None], base])


def meta_features(members: Floats, base: Floats) -> Floats:
    """The trees' columns, which can cut along one column at a time only and so get the combinations ready made.

    The differences from the base price (m), the same sorted (m), their mean, median, standard deviation, range and
    median absolute deviation (5), the base price (1), and the pairwise differences of the first six members (at most
    15).

    Parameters
    ----------
    members : ndarray of shape (n, m)
        Log prices, the members of the largest weight first.
    base : ndarray of shape (n,)
        Log price of the linear base.

    Returns
    -------
    ndarray of shape (n, 2 m + 6 + pairs)
    """
    # chosen columns lie column by column, where from eight of them on a row's sum depends on how many rows there are
    off = np.ascontiguousarray(members) - base[:, None]
    ranked = np.sort(off, axis=1)
    m = off.shape[1]
    median = (ranked[:, (m - 1) // 2] + ranked[:, m // 2]) / 2
    deviation = np.sort(np.abs(off - median[:, None]), axis=1)
    pairs = [members[:, a] - members[:, b] for a, b in combinations(range(min(m, _PAIRED)), 2)]
    return np.column_stack(
        [off, ranked, off.mean(axis=1), median, off.std(axis=1), ranked[:, -1] - ranked[:, 0],
         (deviation[:, (m - 1) // 2] + deviation[:, m // 2]) / 2, base, *pairs]
    )  # fmt: skip
