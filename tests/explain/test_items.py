"""Which item a column and a term belong to, and the linear model's price opened into items."""

import numpy as np
import pytest

from pricing.config.columns import CHALLENGE, ColumnsConfig
from pricing.explain.items import AMOUNT, BRAND, CLAIMS, COMPARABLES, LINEAR, TEXT, TITLE, Items
from pricing.explain.ridge_terms import ridge_added, ridge_shares, ridge_terms
from pricing.features.engineer import FeatureEngineer
from pricing.features.load import FeatureSet
from pricing.features.price_features import PriceFeatures
from pricing.features.price_ridge import PriceRidge
from pricing.features.schema import Column
from pricing.features.tfidf import TfidfBlock
from tests.features.conftest import Products

ROLES = ColumnsConfig(id="sku", title="name", price="price", category=("maker", "maker 2"), number=("weight",))


def categories(*terms: str) -> TfidfBlock:
    block = TfidfBlock("categories", "category_terms", "category", (1, 1), 10, 1)
    block.set_terms(list(terms), np.ones(len(terms), np.float32))
    return block


def test_declared_columns_are_items_under_the_users_names() -> None:
    names = ("number:weight", "number:weight log", "category:maker", "category:maker 1", "category:maker 2")
    items = Items(ROLES, [Column(name, "number", "declared") for name in names], ())
    assert [items.of_column(name) for name in names] == ["weight", "weight", "maker", "maker", "maker 2"]


def test_a_pair_of_values_belongs_to_both_columns_by_halves() -> None:
    block = categories("category:maker=acme", "category:maker&category:maker 2=acme&b=c")
    items = Items(ROLES, (), [block])
    shares = items.terms.toarray()
    assert shares[0, items.place("maker")] == 1
    assert shares[1, items.place("maker")] == shares[1, items.place("maker 2")] == 0.5
    assert (shares.sum(axis=1) == 1).all()


def test_families_have_the_names_that_people_know(engineer: FeatureEngineer, features: FeatureSet) -> None:
    priced = PriceFeatures()
    assert engineer.tfidf is not None
    items = Items(CHALLENGE, (*features.schema.columns, *priced.columns), engineer.tfidf.blocks)
    wanted = {"ipq_pack": AMOUNT, "brand": BRAND, "sub_brand_frequency": BRAND, "claim_count": CLAIMS,
              "text_words": TEXT, "flavour": TITLE, "price_ridge": LINEAR}  # fmt: skip
    assert {name: items.of_column(name) for name in wanted} == wanted
    assert items.names[-1] == LINEAR


def test_prices_by_brand_are_the_brands_and_comparables_their_own() -> None:
    columns = [Column("brand", "category", "brand"), Column("price_brand_mean", "number", "means"),
               Column("price_words_mean", "number", "comparables")]  # fmt: skip
    items = Items(CHALLENGE, columns, ())
    assert [items.of_column(column.name) for column in columns] == [BRAND, BRAND, COMPARABLES]


def test_columns_are_summed_by_item(engineer: FeatureEngineer, features: FeatureSet) -> None:
    assert engineer.tfidf is not None
    items = Items(CHALLENGE, features.schema.columns, engineer.tfidf.blocks)
    names = ("brand", "ipq_pack", "brand_words", "tfidf_0")
    totals = items.totals(names, np.array([[1.0, 2.0, 4.0, 8.0]]))
    assert totals[0, items.place(BRAND)] == 5
    assert totals[0, items.place(AMOUNT)] == 2
    assert totals.sum() == 15


def test_the_linear_model_is_the_sum_of_its_items(
    engineer: FeatureEngineer, features: FeatureSet, products: Products
) -> None:
    assert engineer.tfidf is not None
    items = Items(CHALLENGE, features.schema.columns, engineer.tfidf.blocks)
    ridge = PriceRidge(1.0, 0.2, 0.7).fit(features, products.log_price)
    ridge.low, ridge.high = -np.inf, np.inf
    found = ridge_terms(ridge_added(ridge, features), ridge_shares(ridge, items))
    assert found.sum(axis=1) + ridge.intercept == pytest.approx(ridge.predict(features))
    # by hand, of the columns of numbers: coefficient times standard score times weight
    terms, design = engineer.tfidf.columns, ridge.design
    place = design.numeric.index("brand_words")
    values = features.tabular["brand_words"].to_numpy()
    alone = PriceRidge(1.0, 0.2, 0.7)
    alone.design, alone.coef = design, np.zeros_like(ridge.coef)
    alone.coef[terms + place] = ridge.coef[terms + place]
    by_hand = ridge.coef[terms + place] * 0.2 * (values - design.mean[place]) / design.scale[place]
    only = ridge_terms(ridge_added(alone, features), ridge_shares(alone, items))
    assert only[:, items.place(BRAND)] == pytest.approx(by_hand)
    assert np.abs(only).sum() == pytest.approx(np.abs(by_hand).sum())
