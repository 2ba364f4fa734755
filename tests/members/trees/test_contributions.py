"""What each column adds to a tree model's log price, as the libraries give it."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from pricing.members.trees.boosting import table_rows, train_gbdt_models
from tests.members.trees.conftest import each_library, fold_rows, make_table, tiny, train


@each_library
@pytest.mark.parametrize("terms", [0, 3])
def test_a_rows_contributions_are_its_prediction(library: str, terms: int) -> None:
    """Over two seeds, with holes, unseen categories and, where there are terms, a sparse matrix."""
    table, labels = make_table(200)
    rng = np.random.default_rng(5)
    words = sparse.csr_matrix((rng.random((240, 4)) < 0.3) * rng.random((240, 4)), dtype=np.float32)
    labels = labels + 2 * words[:200, 1].toarray().ravel()
    settings = {library: tiny(library, seeds=2, terms=terms)}
    parts = {"train": np.arange(200) < 150, "valid": np.arange(200) >= 150}
    member = train_gbdt_models(table, labels, parts, settings, tfidf=words[:200])[library].member
    new = table_rows(make_table(40, 1, categories=9)[0], tfidf=words[200:])
    found = member.contributions(new)
    assert found.names == member.models[0].encoder.names
    assert found.values.shape == (40, 5 + terms + 1)
    np.testing.assert_allclose(found.values.sum(axis=1), member.predict(new), atol=1e-5)
    assert np.ptp(found.values[:, -1]) < 1e-6  # the base is one number
    assert found.values[0, -1] == pytest.approx(labels[:150].mean(), abs=0.3)


@each_library
def test_the_columns_that_make_the_price_are_the_ones_named(library: str) -> None:
    """The labels are 0.6 times the first number plus 0.3 times the brand's number; two columns are noise."""
    table, labels = make_table(600)
    model = train(library, fold_rows(table, labels, 500), tiny(library, rounds=60)).model
    values: Any = model.encoder.encode(table)
    found = np.abs(model.contributions(values)).mean(axis=0)
    by_name = dict(zip(model.encoder.names, found[:-1], strict=True))
    ordered = sorted(by_name, key=lambda name: -by_name[name])
    assert set(ordered[:2]) == {"brand", table.columns[0]}
    assert by_name[ordered[2]] < 0.3 * by_name[ordered[1]]
    # and in the direction of the truth
    first = model.contributions(values)[:, model.encoder.names.index(table.columns[0])]
    known = np.isfinite(table.to_series(0).to_numpy())
    assert np.corrcoef(first[known], table.to_series(0).to_numpy()[known])[0, 1] > 0.9


@each_library
def test_what_the_target_adds_for_an_amount_is_the_amounts(library: str) -> None:
    rng = np.random.default_rng(0)
    amount = rng.normal(5, 1, 300).astype(np.float32)
    table = pl.DataFrame({"ipq_log_amount": amount, "noise": rng.normal(size=300).astype(np.float32),
                          "ipq_family": ["mass"] * 300})  # fmt: skip
    labels = amount.astype(np.float64)  # the price is the amount, to the letter
    model = train(library, fold_rows(table, labels, 200), tiny(library, amount_exponent=1.0)).model
    values: Any = model.encoder.encode(table)
    found = model.contributions(values)
    np.testing.assert_allclose(found.sum(axis=1), model.predict(table), atol=1e-5)
    inside = (amount > amount[:200].min()) & (amount < amount[:200].max())
    place = model.encoder.names.index("ipq_log_amount")
    np.testing.assert_allclose(found[inside, place], amount[inside] - amount[:200].mean(), atol=1e-3)
