"""A product without one of its items: what is replaced, and that the rest stays."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from pricing.config.columns import CHALLENGE
from pricing.explain.items import AMOUNT, BRAND, CATEGORIES, IMAGE, LINEAR, TEXT, TITLE, Items
from pricing.explain.occlusion import Typical, occlude, occluded_items, stack_rows
from pricing.features.engineer import FeatureEngineer
from pricing.features.load import FeatureSet
from pricing.members.fold_rows import Rows
from tests.features.conftest import Products


@pytest.fixture
def rows(features: FeatureSet, products: Products) -> Rows:
    size = len(products.frame)
    return Rows(products.frame, features, pl.DataFrame(), np.linspace(1.0, 3.0, size))


@pytest.fixture
def items(engineer: FeatureEngineer, features: FeatureSet) -> Items:
    assert engineer.tfidf is not None
    return Items(CHALLENGE, features.schema.columns, engineer.tfidf.blocks)


def changed(before: Rows, after: Rows) -> set[str]:
    """Names of the columns whose values differ; two holes are alike."""
    pairs = zip(before.table().iter_columns(), after.table().iter_columns(), strict=True)
    return {one.name for one, other in pairs if not one.eq_missing(other).all()}


def test_a_products_amount_becomes_the_usual_one(rows: Rows, items: Items) -> None:
    after = occlude(rows, AMOUNT, items, Typical.of(rows))
    touched = changed(rows, after)
    assert "ipq_amount" in touched
    assert touched <= {name for name in rows.table().columns if items.of_column(name) == AMOUNT}
    usual = np.nanmedian(rows.table()["ipq_amount"].to_numpy())
    assert after.table()["ipq_amount"].to_list() == [usual] * len(rows)
    assert after.table().schema == rows.table().schema
    assert (after.features.tfidf != rows.features.tfidf).nnz == 0


def test_a_brand_becomes_the_most_frequent_one(rows: Rows, items: Items) -> None:
    after = occlude(rows, BRAND, items, Typical.of(rows))
    counts = rows.table()["brand"].value_counts()
    assert (
        after.table()["brand"].unique().to_list()[0] in counts.filter(pl.col("count") == counts["count"].max())["brand"]
    )


def test_words_are_taken_away(rows: Rows, items: Items) -> None:
    text = occlude(rows, TEXT, items, Typical.of(rows))
    assert text.frame["catalog_content"].unique().to_list() == [""]
    both = occlude(text, TITLE, items, Typical.of(rows))
    assert rows.features.tfidf.nnz > text.features.tfidf.count_nonzero() > 0
    assert both.features.tfidf.count_nonzero() == 0
    assert rows.features.tfidf.nnz > 0  # the rows themselves are left alone


def test_the_linear_models_price_becomes_its_mean(rows: Rows, items: Items) -> None:
    after = occlude(rows, LINEAR, items, Typical.of(rows))
    assert after.ridge == pytest.approx(np.full(len(rows), 2.0))
    assert changed(rows, after) == set()


def test_embeddings_are_those_of_a_typical_product(rows: Rows, items: Items) -> None:
    rng = np.random.default_rng(0)
    whole, parts = rng.normal(size=(len(rows), 4)), rng.normal(size=(len(rows), 2, 4))
    schema = replace(rows.features.schema, embedding=4, parts=("title", "description"))
    read = replace(rows, features=replace(rows.features, embedding=whole, parts=parts, schema=schema))
    after = occlude(read, TEXT, items, Typical.of(read)).features
    assert after.embedding is not None
    assert after.parts is not None
    assert after.embedding == pytest.approx(np.tile(whole.mean(axis=0), (len(rows), 1)))
    assert np.array_equal(after.parts[:, 0], parts[:, 0])
    assert after.parts[:, 1] == pytest.approx(np.tile(parts[:, 1].mean(axis=0), (len(rows), 1)))


def test_no_image_is_taken_from_rows_without_images(rows: Rows, items: Items) -> None:
    assert IMAGE not in set(occluded_items(items, rows))


def test_items_that_rows_do_not_hold_are_not_asked_for(rows: Rows, items: Items) -> None:
    """No column is read by an encoder for itself, and without price features there is no linear model."""
    assert set(occluded_items(items, rows)) == set(items.names) - {IMAGE, CATEGORIES}
    assert LINEAR not in set(occluded_items(items, replace(rows, ridge=np.empty(0))))


def test_rows_one_below_another_are_those_rows(rows: Rows) -> None:
    few = rows.take(np.arange(len(rows)) < 3)
    both = stack_rows([few, rows])
    assert len(both) == len(rows) + 3
    assert both.table()[3:].equals(rows.table(), null_equal=True)
    assert both.features.ids.to_list() == [*few.ids, *rows.ids]
    assert (both.features.tfidf[3:] != rows.features.tfidf).nnz == 0
    assert both.ridge.tolist() == [*few.ridge, *rows.ridge]
