"""The linear model opened: what each item adds to its log price, exactly."""

import numpy as np
from scipy import sparse

from pricing.explain.items import AMOUNT, Items
from pricing.features.load import FeatureSet
from pricing.features.price_ridge import PriceRidge
from pricing.metrics.smape import Floats


def ridge_added(ridge: PriceRidge, features: FeatureSet) -> sparse.csr_matrix:
    """Return coefficient times value of n rows in q columns of the ridge's design, csr_matrix of shape (n, q).

    In log price; with the intercept, rows sum to what the ridge predicts, unless that is clipped.
    """
    return sparse.csr_matrix(ridge.design.transform(features).multiply(ridge.coef[None, :]))


def ridge_terms(added: sparse.csr_matrix, shares: sparse.csr_matrix) -> Floats:
    """Sum what q columns add, as `ridge_added`, by k items, shares as `ridge_shares`: ndarray of shape (n, k)."""
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
