"""Price-reading features: exactness against brute force, and no leak of a row's own price."""

from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from pricing.errors import ArtifactError, SchemaError
from pricing.features.engineer import FeatureEngineer
from pricing.features.load import FeatureSet
from pricing.features.neighbour_prices import SUMMARY, Amounts, summarise
from pricing.features.neighbours import NearestRows, Neighbours, unit_rows
from pricing.features.price_features import PriceFeatures, inner_fold_numbers
from pricing.features.price_ridge import PriceRidge
from pricing.features.target_means import TargetMeans
from tests.features.conftest import CONFIG, PRICE_CONFIG, Products


def fitted(features: FeatureSet, log_price: np.ndarray, groups: np.ndarray) -> PriceFeatures:
    return PriceFeatures(PRICE_CONFIG, seed=0).fit(features, log_price, groups)


def smape(log_left: np.ndarray, log_right: np.ndarray) -> float:
    left, right = np.exp(log_left), np.exp(log_right)
    return float(100 * np.mean(np.abs(left - right) / ((left + right) / 2)))


@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
def test_nearest_equals_brute_force(features: FeatureSet, products: Products, dense: bool) -> None:
    matrix = features.tfidf.toarray()[:, ::7] if dense else features.tfidf
    rows = unit_rows(matrix)
    found = NearestRows(rows).search(rows, 7, products.groups, products.groups)
    cosine = rows @ rows.T if dense else (rows @ rows.T).toarray()
    cosine[products.groups[:, None] == products.groups[None, :]] = -1
    for at in range(len(products.groups)):
        expected = np.sort(cosine[at])[::-1][:7]
        np.testing.assert_allclose(found.similarity[at], np.maximum(expected, 0), atol=4e-6)
        np.testing.assert_allclose(cosine[at, found.index[at]], found.similarity[at], atol=4e-6)
    assert not (products.groups[found.index] == products.groups[:, None]).any()


@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
def test_nearest_does_not_depend_on_batch_or_threads(features: FeatureSet, dense: bool) -> None:
    """300 queries are more than one block; each alone gives the same bits, and equal rows go by position."""
    rows = unit_rows(sparse.csr_matrix(sparse.vstack([features.tfidf, features.tfidf])))
    rows = rows.toarray() if dense else rows
    searcher = NearestRows(rows)
    whole = searcher.search(rows, 6)
    threaded = searcher.search(rows, 6, threads=2)
    assert np.array_equal(whole.index, threaded.index)
    assert np.array_equal(whole.similarity, threaded.similarity)
    for at in (0, 17, 255, 256, 299):
        one = searcher.search(rows[at : at + 1], 6)
        assert np.array_equal(whole.index[at], one.index[0])
        assert np.array_equal(whole.similarity[at], one.similarity[0])
    assert whole.index[17, :2].tolist() == [17, 17 + len(features)]


def test_cosines_are_the_exact_sums_rounded_once() -> None:
    """Whatever order BLAS adds them up in: those that another order could round to the other side too."""
    rng = np.random.default_rng(3)
    rows = unit_rows(rng.normal(size=(60, 24)).astype(np.float32))
    # halfway between two numbers of single precision but for four terms, each of which is lost where it is added last
    rows[:2] = 0
    rows[0, :6], rows[1, :6] = (1, 2**-25, *4 * [2**-27]), (0.5, 1, *4 * [2**-27])
    found = NearestRows(rows).search(rows, len(rows))
    for at, near in np.ndindex(found.index.shape):
        if (place := found.index[at, near]) >= 0:
            exact = sum(Fraction(float(a)) * Fraction(float(b)) for a, b in zip(rows[at], rows[place], strict=True))
            assert found.similarity[at, near] == np.float32(float(exact))


def test_a_fold_is_a_mask_over_one_search(features: FeatureSet) -> None:
    """The first allowed neighbours of a whole search are those of a search among the allowed rows."""
    rows = unit_rows(features.tfidf)
    allowed = np.arange(len(features)) % 3 != 0
    masked = NearestRows(rows).search(rows, len(features)).among(allowed, 5)
    places = np.flatnonzero(allowed)
    direct = NearestRows(rows[places]).search(rows, 5)
    assert np.array_equal(masked.index, np.where(direct.index >= 0, places[direct.index], -1))
    np.testing.assert_allclose(masked.similarity, direct.similarity, atol=4e-6)


def test_rows_without_any_neighbour_are_missing_not_zero() -> None:
    empty = sparse.csr_matrix((2, 3), dtype=np.float32)
    found = NearestRows(unit_rows(sparse.csr_matrix(np.eye(3, dtype=np.float32)))).search(empty, 2)
    assert (found.index == -1).all()
    summary = summarise(found, np.array([1.0, 2.0, 3.0]), amounts(np.zeros(3)), amounts(np.zeros(2)), 10.0, 0.65, 0.7)
    assert sorted(summary) == sorted(SUMMARY)
    assert all(np.isnan(values).all() for values in summary.values())
    nothing = NearestRows(sparse.csr_matrix((0, 3), dtype=np.float32)).search(empty, 2)
    assert (nothing.index == -1).all()


def amounts(log_total: np.ndarray, family: list[int] | None = None) -> Amounts:
    return Amounts(log_total, log_total, np.array(family or [0] * len(log_total)))


def test_summary_by_hand() -> None:
    """Four neighbours, one without an amount, one slot empty, one counted in pieces."""
    found = Neighbours(np.array([[2, 0, 1, 3, -1]]), np.array([[0.5, 0.5, 0.25, 0.0, 0.0]], dtype=np.float32))
    price = np.array([1.0, 4.0, 2.0, 3.0])
    labelled = amounts(np.array([0.5, np.nan, 1.0, 9.0]), [0, 0, 0, 2])
    summary = summarise(found, price, labelled, amounts(np.array([3.0])), np.log(4) * 2, 0.5, 2.0)
    weights = np.array([4.0, 4.0, 2.0, 1.0])  # exp(2 ln 4 * cosine)
    prices = np.array([2.0, 1.0, 4.0, 3.0])
    mean = weights @ prices / 11
    expected = {"mean": mean, "median": 2.5, "nearest": 2.0, "spread": np.sqrt(weights @ (prices - mean) ** 2 / 11)}
    expected |= {"similarity": 0.5, "mean_similarity": 1.25 / 4}
    unit = (4 * 1.0 + 4 * 0.5 + 1 * -6.0) / 9
    expected |= {"per_unit": unit, "from_unit": unit + 3.0}
    # two and two and a half log units smaller; the other two cannot be compared
    moved = prices + 0.5 * np.array([2.0, 2.5, 0.0, 0.0])
    sized = weights * np.array([np.exp(-1.0), np.exp(-1.25), 0.3, 0.3])
    expected |= {"elastic": weights @ moved / 11, "elastic_median": 3.0, "sized": sized @ prices / sized.sum()}
    centre = sized @ moved / sized.sum()
    expected |= {"elastic_sized": centre, "elastic_spread": np.sqrt(sized @ (moved - centre) ** 2 / sized.sum())}
    expected |= {"weight": np.log(sized.sum()), "best": 3.0, "best_similarity": 0.5, "best_amount": -2.0}
    assert {name: values[0] for name, values in summary.items()} == pytest.approx(expected)


def test_ridge_solves_the_normal_equations(features: FeatureSet, products: Products) -> None:
    ridge = PriceRidge(2.0, 0.2).fit(features, products.log_price)
    matrix = ridge.design.transform(features).toarray()
    centred = matrix - matrix.mean(axis=0)
    kernel = centred @ centred.T + 2.0 * np.eye(len(features))
    dual = np.linalg.solve(kernel, products.log_price - products.log_price.mean())
    expected = products.log_price.mean() + centred @ (centred.T @ dual)
    np.testing.assert_allclose(ridge.predict(features), expected, atol=2e-3)


def test_the_ridge_of_one_row_is_that_of_its_batch_to_the_last_bit(features: FeatureSet, products: Products) -> None:
    """One row is summed without its matrix: in another order its last bit, and with it a price, would differ."""
    ridge = PriceRidge(3.0, 0.2, 0.7).fit(features, products.log_price)
    together = ridge.predict(features)
    alone = [ridge.predict(features.take(np.array([row])))[0] for row in range(len(features))]
    assert alone == together.tolist()


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


@pytest.mark.parametrize("line", ["Value: 1e39", "Value: 1e300\nUnit: Pound", "Item Name: Tea, " + "9" * 41 + " oz"])
def test_a_number_beyond_single_precision_can_be_learnt_from(line: str, products: Products) -> None:
    frame = products.frame.with_columns(
        catalog_content=pl.when(pl.int_range(pl.len()) == 3).then(pl.lit(line)).otherwise("catalog_content")
    )
    features = FeatureEngineer(CONFIG).fit_transform(frame)
    assert not np.isinf(features.tabular.select(features.schema.numeric).to_numpy()).any()
    assert np.isfinite(PriceRidge(2.0, 0.2).fit(features, products.log_price).predict(features)).all()


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


def test_own_price_never_reaches_own_features(compared: FeatureSet, products: Products) -> None:
    """Change one row's price: its own price features, and its duplicate's, stay as they were, to the last bit."""
    at = 8  # row 9 is its near-duplicate
    assert products.groups[9] == products.groups[8]
    before = fitted(compared, products.log_price, products.groups).out_of_fold()
    changed = products.log_price.copy()
    changed[at] += 5.0
    after = fitted(compared, changed, products.groups).out_of_fold()
    assert after[[8, 9]].equals(before[[8, 9]], null_equal=True)
    assert not after.equals(before)


def test_permuted_prices_give_no_skill(compared: FeatureSet, products: Products) -> None:
    """With prices that belong to other rows, no price feature may beat the constant by more than noise."""
    permuted = np.random.default_rng(3).permutation(products.log_price)
    groups = products.groups
    own = fitted(compared, permuted, groups).out_of_fold()
    constant = smape(np.full(len(permuted), np.median(permuted)), permuted)
    for name in ("price_ridge", "price_words_mean", "price_characters_median", "price_brand_mean"):
        assert smape(own[name].cast(pl.Float64).to_numpy(), permuted) > constant - 4, name
        assert abs(np.corrcoef(own[name], permuted)[0, 1]) < 0.25, name
    honest = fitted(compared, products.log_price, groups).out_of_fold()["price_ridge"].cast(pl.Float64).to_numpy()
    assert smape(honest, products.log_price) < 0.5 * constant


def test_saved_price_features_transform_alike(tmp_path, indexed: FeatureEngineer, products: Products) -> None:  # type: ignore[no-untyped-def]
    engineer = FeatureEngineer(CONFIG).fit(products.frame)
    learning = engineer.index_labelled(products.frame.head(100), products.groups[:100])
    unseen = engineer.transform(products.frame.tail(50))
    model = fitted(learning, products.log_price[:100], products.groups[:100])
    model.save(tmp_path)
    loaded = PriceFeatures.load(tmp_path)
    assert loaded.transform(unseen).equals(model.transform(unseen), null_equal=True)
    assert np.array_equal(loaded.predict_ridge(unseen), model.predict_ridge(unseen))
    assert loaded.transform(unseen.take(np.array([7])))[0].equals(model.transform(unseen)[7], null_equal=True)
    with pytest.raises(SchemaError, match="call fit"):
        loaded.out_of_fold()
    with pytest.raises(SchemaError, match="150 labelled rows"):
        loaded.transform(indexed.transform(products.frame.head(1)))


def test_comparables_are_the_nearest_learnt_products_of_other_groups(
    compared: FeatureSet, indexed: FeatureEngineer, products: Products
) -> None:
    """Against brute force over both spaces; rows that the fold does not learn from have no price and are not named."""
    assert indexed.index is not None
    learnt = np.arange(150) < 120
    model = fitted(compared.take(learnt), products.log_price[learnt], products.groups[learnt])
    table = model.comparables(compared.take(np.array([3, 140])), indexed.index.products, 4)
    assert table["sample_id"].to_list() == ["p3"] * 4 + ["p140"] * 4
    assert table["rank"].to_list() == [1, 2, 3, 4] * 2
    spaces = [unit_rows(compared.space(name)).toarray() for name in ("words", "characters")]
    for row in (3, 140):
        mine = table.filter(sample_id=f"p{row}")
        places = [int(name[1:]) for name in mine["comparable"]]
        assert all(learnt[place] and products.groups[place] != products.groups[row] for place in places)
        np.testing.assert_allclose(mine["price"], np.exp(products.log_price[places]))
        ounces = [
            float(products.frame["catalog_content"][place].rpartition("Value: ")[2].split()[0]) for place in places
        ]
        np.testing.assert_allclose(mine["amount"], np.array(ounces) * 28.349523125, rtol=1e-6)
        assert mine["unit"].to_list() == ["g"] * 4
        best = max(
            sum(float(rows[row] @ rows[place]) for rows in spaces) / 2
            for place in np.flatnonzero(learnt & (products.groups != products.groups[row]))
        )
        assert mine["similarity"][0] == pytest.approx(best, abs=1e-5)
        assert mine["similarity"].is_sorted(descending=True)
        assert mine["title"][0] in products.frame["catalog_content"][places[0]]
    alone = PriceFeatures(PRICE_CONFIG.model_copy(update={"neighbours": 0})).fit(
        compared, products.log_price, products.groups
    )
    with pytest.raises(SchemaError, match=r"features\.price\.neighbours"):
        alone.comparables(compared, indexed.index.products, 4)


def test_comparables_of_counted_goods_have_pieces() -> None:
    """Grams and pieces stand in one column, each beside its unit; where the text says nothing, neither is there."""
    texts = ["Rye Flour 500 g", "Rye Rolls 12 count (Pack of 2)", "Rye Rolls", "Rye Drink 1 l"]
    frame = pl.DataFrame({"sample_id": list("abcd"), "catalog_content": [f"Item Name: {text}" for text in texts]})
    engineer = FeatureEngineer(CONFIG).fit(frame)
    own = engineer.index_labelled(frame, np.arange(4))
    model = PriceFeatures(PRICE_CONFIG).fit(own, np.arange(4.0), np.arange(4))
    assert engineer.index is not None
    found = model.comparables(own, engineer.index.products, 3)
    stated = found.unique("comparable").sort("comparable")
    stated = stated.select("comparable", pl.col("amount").round(3), "unit").rows()
    assert stated == [("a", 500.0, "g"), ("b", 24.0, "piece"), ("c", None, None), ("d", 1000.0, "ml")]


@pytest.mark.parametrize("victim", ["ridge.npz", "labelled.npz"])
def test_poisoned_price_features_are_refused(tmp_path, compared: FeatureSet, products: Products, victim: str) -> None:  # type: ignore[no-untyped-def]
    fitted(compared, products.log_price, products.groups).save(tmp_path)
    with np.load(tmp_path / victim) as archive:
        names = archive.files
    np.savez(tmp_path / victim, **dict.fromkeys(names, np.array([{"an": "object"}], dtype=object)))
    with pytest.raises(ArtifactError, match="npz"):
        PriceFeatures.load(tmp_path)
