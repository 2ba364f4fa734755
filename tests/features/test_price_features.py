"""Price-reading features: exactness against brute force, and no leak of a row's own price."""

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from pricing.errors import ArtifactError, SchemaError
from pricing.features.load import FeatureSet
from pricing.features.neighbours import SUMMARY, Neighbours, nearest, summarise, unit_rows
from pricing.features.price_features import PriceFeatures, inner_fold_numbers
from pricing.features.ridge import PriceRidge
from pricing.features.target_means import TargetMeans
from tests.features.conftest import PRICE_CONFIG, Products


def fitted(features: FeatureSet, log_price: np.ndarray, groups: np.ndarray) -> PriceFeatures:
    return PriceFeatures(PRICE_CONFIG, seed=0).fit(features, log_price, groups)


def smape(log_left: np.ndarray, log_right: np.ndarray) -> float:
    left, right = np.exp(log_left), np.exp(log_right)
    return float(100 * np.mean(np.abs(left - right) / ((left + right) / 2)))


def test_nearest_equals_brute_force(features: FeatureSet, products: Products) -> None:
    rows = unit_rows(features.tfidf)
    found = nearest(rows, rows, 7, products.groups, products.groups)
    cosine = (rows @ rows.T).toarray()
    cosine[products.groups[:, None] == products.groups[None, :]] = -1
    for at in range(len(products.groups)):
        expected = np.sort(cosine[at])[::-1][:7]
        np.testing.assert_allclose(found.similarity[at], np.maximum(expected, 0), atol=1e-6)
        np.testing.assert_allclose(cosine[at, found.index[at]], found.similarity[at], atol=1e-6)
    assert not (products.groups[found.index] == products.groups[:, None]).any()


def test_nearest_does_not_depend_on_the_batch_and_breaks_ties_by_position(features: FeatureSet) -> None:
    rows = unit_rows(sparse.csr_matrix(sparse.vstack([features.tfidf, features.tfidf])))
    whole = nearest(rows, rows, 6)
    one = nearest(rows[17], rows, 6)
    assert np.array_equal(whole.index[17], one.index[0])
    assert np.array_equal(whole.similarity[17], one.similarity[0])
    assert one.index[0, :2].tolist() == [17, 17 + len(features)]


def test_rows_without_any_neighbour_are_missing_not_zero() -> None:
    empty = sparse.csr_matrix((2, 3), dtype=np.float32)
    found = nearest(empty, unit_rows(sparse.csr_matrix(np.eye(3, dtype=np.float32))), 2)
    assert (found.index == -1).all()
    summary = summarise(found, np.array([1.0, 2.0, 3.0]), np.zeros(3), np.zeros(2), 10.0)
    assert sorted(summary) == sorted(SUMMARY)
    assert all(np.isnan(values).all() for values in summary.values())


def test_summary_by_hand() -> None:
    """Three neighbours, one without an amount, one slot empty."""
    found = Neighbours(np.array([[2, 0, 1, -1]]), np.array([[0.5, 0.5, 0.0, 0.0]], dtype=np.float32))
    summary = summarise(found, np.array([1.0, 4.0, 2.0]), np.array([0.5, np.nan, 1.0]), np.array([3.0]), np.log(4) * 2)
    weights = np.array([4.0, 4.0, 1.0])  # exp(2 ln 4 * cosine)
    mean = (weights @ [2.0, 1.0, 4.0]) / 9
    assert summary["price_nn_mean"][0] == pytest.approx(mean)
    assert summary["price_nn_median"][0] == 2.0
    assert summary["price_nn_nearest"][0] == 2.0
    assert summary["price_nn_spread"][0] == pytest.approx(
        np.sqrt(weights @ (np.array([2.0, 1.0, 4.0]) - mean) ** 2 / 9)
    )
    assert summary["price_nn_per_unit"][0] == pytest.approx((1.0 + 0.5) / 2)
    assert summary["price_nn_from_unit"][0] == pytest.approx(3.75)


def test_ridge_solves_the_normal_equations(features: FeatureSet, products: Products) -> None:
    ridge = PriceRidge(2.0, 0.2).fit(features, products.log_price)
    matrix = ridge.design.transform(features).toarray()
    centred = matrix - matrix.mean(axis=0)
    kernel = centred @ centred.T + 2.0 * np.eye(len(features))
    dual = np.linalg.solve(kernel, products.log_price - products.log_price.mean())
    expected = products.log_price.mean() + centred @ (centred.T @ dual)
    np.testing.assert_allclose(ridge.predict(features), expected, atol=2e-3)


def test_one_absurd_quantity_does_not_price_a_row_beyond_what_was_seen(
    features: FeatureSet, products: Products
) -> None:
    ridge = PriceRidge(2.0, 0.2).fit(features, products.log_price)
    absurd = FeatureSet(
        features.ids,
        features.tabular.with_columns(pl.lit(1e30, dtype=pl.Float32).alias("ipq_total")),
        features.tfidf,
        features.schema,
    )
    assert ridge.predict(absurd).max() <= products.log_price.max()


def test_target_means_shrink_towards_the_overall_mean() -> None:
    table = pl.DataFrame({"brand": ["a", "a", "b", ""]})
    means = TargetMeans(["brand"], prior=2.0).fit(table, np.array([1.0, 3.0, 5.0, 7.0]))
    found = means.transform(pl.DataFrame({"brand": ["a", "b", "c", ""]}))
    np.testing.assert_allclose(found["price_brand_mean"], [(4 + 8) / 4, (5 + 8) / 3, 4.0, 4.0])
    np.testing.assert_allclose(found["price_brand_count"], [2, 1, 0, 0])


def test_inner_folds_keep_groups_whole(products: Products) -> None:
    folds = inner_fold_numbers(products.groups, 3, 0)
    assert set(folds) == {0, 1, 2}
    assert all(len(set(folds[products.groups == group])) == 1 for group in set(products.groups))


def test_own_price_never_reaches_own_features(features: FeatureSet, products: Products) -> None:
    """Change one row's price: its own price features, and its duplicate's, stay as they were, to the last bit."""
    at = 8  # row 9 is its near-duplicate
    assert products.groups[9] == products.groups[8]
    before = fitted(features, products.log_price, products.groups).out_of_fold()
    changed = products.log_price.copy()
    changed[at] += 5.0
    after = fitted(features, changed, products.groups).out_of_fold()
    assert after[[8, 9]].equals(before[[8, 9]], null_equal=True)
    assert not after.equals(before)


def test_permuted_prices_give_no_skill(features: FeatureSet, products: Products) -> None:
    """With prices that belong to other rows, no price feature may beat the constant by more than noise."""
    permuted = np.random.default_rng(3).permutation(products.log_price)
    groups = products.groups
    own = fitted(features, permuted, groups).out_of_fold()
    constant = smape(np.full(len(permuted), np.median(permuted)), permuted)
    for name in ("price_ridge", "price_nn_mean", "price_nn_median", "price_brand_mean"):
        assert smape(own[name].cast(pl.Float64).to_numpy(), permuted) > constant - 4, name
        assert abs(np.corrcoef(own[name], permuted)[0, 1]) < 0.25, name
    honest = fitted(features, products.log_price, groups).out_of_fold()["price_ridge"].cast(pl.Float64).to_numpy()
    assert smape(honest, products.log_price) < 0.5 * constant


def test_saved_price_features_transform_alike(tmp_path, features: FeatureSet, products: Products) -> None:  # type: ignore[no-untyped-def]
    learning, unseen = features.take(np.arange(100)), features.take(np.arange(100, 150))
    model = fitted(learning, products.log_price[:100], products.groups[:100])
    model.save(tmp_path)
    loaded = PriceFeatures.load(tmp_path)
    assert loaded.transform(unseen).equals(model.transform(unseen), null_equal=True)
    assert np.array_equal(loaded.predict_ridge(unseen), model.predict_ridge(unseen))
    assert loaded.transform(unseen.take(np.array([7])))[0].equals(model.transform(unseen)[7], null_equal=True)
    with pytest.raises(SchemaError, match="call fit"):
        loaded.out_of_fold()


@pytest.mark.parametrize("victim", ["ridge.npz", "learning.npz", "learning_rows.npz"])
def test_poisoned_price_features_are_refused(tmp_path, features: FeatureSet, products: Products, victim: str) -> None:  # type: ignore[no-untyped-def]
    fitted(features, products.log_price, products.groups).save(tmp_path)
    with np.load(tmp_path / victim) as archive:
        names = archive.files
    np.savez(tmp_path / victim, **dict.fromkeys(names, np.array([{"an": "object"}], dtype=object)))
    with pytest.raises(ArtifactError, match="npz"):
        PriceFeatures.load(tmp_path)
