"""The linear model opened: what each item adds to its log price, exactly."""

import numpy as np
from scipy import sparse

from pricing.explain.items import AMOUNT, Items
from pricing.features.load import FeatureSet
from pricing.features.price_ridge import PriceRidge
from pricing.metrics.smape import Floats


def ridge_terms(ridge: PriceRidge, features: FeatureSet, shares: sparse.csr_matrix) -> Floats:
    """Sum the products of coefficient and value by item.

    Parameters
    ----------
    ridge : PriceRidge
        With q columns of its design.
    features : FeatureSet
        n rows.
    shares : csr_matrix of shape (q, k)
        As `ridge_shares`.

    Returns
    -------
    ndarray of shape (n, k)
        In log price. With the intercept, rows sum to what the ridge predicts, unless that is clipped.
    """
    matrix = ridge.design.transform(features)
    added = sparse.csr_matrix(matrix.multiply(ridge.coef[None, :]))
    return np.asarray((added @ shares).todense())


def ridge_shares(ridge: PriceRidge, items: Items) -> sparse.csr_matrix:
    """Return the share of each of k items in each of q columns of a ridge's design, csr_matrix of shape (q, k).

    A term times an amount belongs to the term's items and to the amount, by halves.
    """
    # in the order of `DesignMatrix.transform`
    design, parts = ridge.design, [items.terms]
    if design.tabular_weight > 0:
        numbers = items.shares(design.numeric)
        parts += [numbers, numbers]  # values, then whether they are missing
        values = [name for name in sorted(design.categories) for _ in design.categories[name]]
        parts.append(items.shares(values))
    if design.interaction_weight > 0:
        amount = np.zeros((1, len(items.names)))
        amount[0, items.place(AMOUNT)] = 0.5
        together = sparse.csr_matrix(0.5 * items.terms + sparse.csr_matrix(np.ones((items.terms.shape[0], 1))) @ amount)
        parts += [together] * len(design.interacted)
    return sparse.csr_matrix(sparse.vstack(parts))
