"""Segments, comparables and findings: what an analyst sees beside the figures."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pricing.evaluation.feature_words import feature_words
from pricing.evaluation.findings import data_findings
from pricing.evaluation.metrics import calculate_smape
from pricing.evaluation.product_plots import plot_comparables, plot_error_by_segment, plot_worst
from pricing.evaluation.run_folder import COMPARABLES, RunFolder
from pricing.evaluation.segments import product_categories, product_segments, segment_metrics
from pricing.evaluation.shown_products import Comparable, ShownProduct, worst_products


def test_categories_are_found_and_named_by_their_own_words() -> None:
    kinds = ["green tea bags", "roast coffee beans", "hot pepper sauce"]
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, 300)
    vectors = np.eye(3)[kind] + rng.normal(0, 0.1, (300, 3))
    titles = pl.Series([f"Brand{i % 40} {kinds[k]}, 12 oz pack" for i, k in enumerate(kind)])
    found = product_categories(vectors, titles, 3, seed=0)
    for number, words in enumerate(kinds):
        names = set(found.filter(pl.Series(kind == number)))
        assert len(names) == 1
        assert set(names.pop().split(", ")) == set(words.split())
    assert found.equals(product_categories(vectors, titles, 3, seed=0))
    assert product_categories(vectors[:5], titles[:5], 3, seed=0).unique().to_list() == ["all products"]


def test_segments_have_the_limits_their_names_say() -> None:
    segments = product_segments(
        pl.Series(["a"] * 7), np.array([0, 1, 9, 10, 39, 40, np.nan]), np.array([1, 2, 6, 7, 24, np.nan, 1]),
        pl.Series(["p.jpg", None, None, None, None, None, None]),
    )  # fmt: skip
    assert segments["brand_frequency"].to_list() == [
        "brand unknown", "brand of under 10 products", "brand of under 10 products", "brand of 10 to 39",
        "brand of 10 to 39", "brand of 40 or more", "brand unknown",
    ]  # fmt: skip
    assert segments["pack"].to_list() == [
        "single", "pack of 2 to 6", "pack of 2 to 6", "pack of 7 or more", "pack of 7 or more", "single", "single",
    ]  # fmt: skip
    assert segments["picture_there"].to_list() == ["with picture"] + ["without picture"] * 6


def test_segment_metrics_are_those_of_the_rows_matched_by_id() -> None:
    rows = pl.DataFrame({"sample_id": ["1", "2", "3"], "price": [1.0, 2.0, 4.0], "stack": [1.0, 3.0, 8.0]})
    products = pl.DataFrame({"sample_id": ["3", "2", "1"], "category": ["tea", "tea", "jam"], "other": [1, 2, 3]})
    found = segment_metrics(rows, products)
    assert list(found) == ["category"]
    assert list(found["category"]) == ["tea", "jam"]  # the larger first
    assert found["category"]["tea"]["smape"] == pytest.approx(calculate_smape([2.0, 4.0], [3.0, 8.0]))
    assert found["category"]["jam"]["rows"] == 1


def shown(price: float, predicted: float, similar: list[float]) -> ShownProduct:
    return ShownProduct("1", "Tea $5 本", price, predicted, comparables=[Comparable("2", "t", p, 0.8) for p in similar])


def test_a_price_is_suspected_only_if_similar_ones_agree_against_it() -> None:
    assert "cost less than this one" in (shown(200, 10, [9, 10, 11]).suspicion or "")
    assert "cost more than this one" in (shown(0.5, 10, [9, 10, 11]).suspicion or "")
    assert shown(200, 10, [9, 10]).suspicion is None  # too few
    assert shown(200, 10, [1, 30, 900]).suspicion is None  # they do not agree
    assert shown(11, 30, [9, 10, 11]).suspicion is None  # the price is as theirs
    assert shown(200, 1000, [9, 10, 11]).suspicion is None  # the model is not on their side


def test_worst_products_come_with_their_comparables(tmp_path: Path) -> None:
    rows = pl.DataFrame({"sample_id": ["a", "b", "c"], "price": [10.0, 10.0, 10.0], "stack": [10.0, 80.0, 5.0]})
    similar = pl.DataFrame([("b", 1, "k", "Known", 9.0, 0.9)], schema=list(COMPARABLES), orient="row")
    folder = RunFolder(tmp_path, {}, {}, None, rows, None, None, None, similar)
    found = worst_products(folder, rows, 2)
    assert [product.id for product in found] == ["b", "c"]
    assert (found[0].factor, found[0].miss, found[1].miss) == (8.0, "8.0 times too dear", "2.0 times too cheap")
    assert shown(8.27, 7.91, []).miss == "4 % too cheap"
    assert [one.name for one in found[0].comparables] == ["Known"]
    assert found[1].comparables == []
    assert worst_products(folder, rows, 0) == []


def test_findings_name_what_is_odd_and_only_that() -> None:
    products = pl.DataFrame(
        {
            "sample_id": ["1", "2", "3", "4"], "catalog_content": ["x"] * 4, "title": ["Tea", "Tea", "Jam", "Rice"],
            "group": ["g", "g", "h", "i"], "amount": [1.0, 2.0, None, float("nan")],
        }
    )  # fmt: skip
    prices = pl.DataFrame({"sample_id": ["1", "2", "3", "4"], "price": [2.0, 9.0, 5.0, 5.0]})
    counts = {"train": {"rows": 4, "distinct_image_links": 3, "without_text": 0, "rejected": 2}, "ids_in_both": 0}
    found = data_findings(counts, products, prices)
    text = " ".join([one.what for one in found] + [example for one in found for example in one.examples])
    for words in (
        "2 rows of train were refused", "1 image links of train repeat", "1 groups of near-duplicates",
        "Tea: 2 products, 2.00 to 9.00", "2 products (50.0 %) say nothing", "3: Jam, 5.00",
    ):  # fmt: skip
        assert words in text
    assert "under 0.50" not in text
    assert "no text" not in text
    assert data_findings({}, None, None) == []
    assert data_findings({}, products.drop("group", "amount"), prices) == []


def test_product_plots_draw_any_text() -> None:
    products = [shown(200, 10, [9, 10, 11]), shown(3, 4, [])]
    for figure in (plot_comparables(products), plot_worst(products), plot_error_by_segment(
        {"a long name of a category that must be cut": {"rows": 9, "smape": 40.0, "bias": -3.0}})):  # fmt: skip
        figure.canvas.draw()
        assert figure.axes


def test_features_are_explained_by_the_longest_beginning() -> None:
    assert feature_words("price_ridge_per_unit") != feature_words("price_ridge")
    assert "word" in feature_words("svd_017")
    assert feature_words("price_words_best") != feature_words("price_words_best_amount")
    assert feature_words("something_else") == ""
