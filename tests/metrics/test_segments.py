"""Segments, comparables and findings: what an analyst sees beside the figures."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.catalogue.ingest import read_catalogue
from pricing.config.catalogue import CatalogueConfig
from pricing.config.columns import ColumnsConfig
from pricing.metrics.price_metrics import calculate_smape
from pricing.metrics.segments import declared_segments, product_categories, product_segments, segment_metrics
from pricing.report.findings import data_findings
from pricing.report.product_plots import plot_comparables, plot_error_by_category, plot_worst
from pricing.report.run_folder import COMPARABLES, RunFolder
from pricing.report.shown_products import Comparable, ShownProduct, listed_position, worst_products


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
    assert segments["image_there"].to_list() == ["with image"] + ["without image"] * 6


def test_a_declared_category_has_at_most_twenty_segments() -> None:
    few = pl.Series([f"maker {number % 20}" for number in range(60)])
    assert declared_segments(few).equals(few)
    many = pl.Series([*["acme"] * 3, *["bell"] * 2, "", *(f"maker {number:02}" for number in range(40))])
    found = declared_segments(many)
    assert found[:6].to_list() == ["acme"] * 3 + ["bell"] * 2 + [None]
    assert found.drop_nulls().n_unique() == 20
    assert found[6:23].to_list() == many[6:23].to_list(), "of values as frequent, the first by name"
    assert set(found[23:]) == {"23 other values"}
    assert declared_segments(many[:0]).is_empty()


def test_a_path_is_a_segment_down_to_the_deepest_level_with_few_values() -> None:
    """Many shops begin each path with their front page: their first level says nothing."""
    first = pl.Series(["home"] * 60)
    second = pl.Series([f"home > {('men', 'women')[number % 2]}" for number in range(60)])
    third = pl.Series([f"{path} > {number}" for number, path in enumerate(second)])
    assert declared_segments(third, [first, second]).equals(second)
    assert declared_segments(third, [third]).unique().sort()[0] == "41 other values"


def test_segment_metrics_are_those_of_the_rows_matched_by_id() -> None:
    rows = pl.DataFrame({"sample_id": ["1", "2", "3"], "price": [1.0, 2.0, 4.0], "stack": [1.0, 3.0, 8.0]})
    products = pl.DataFrame({"sample_id": ["3", "2", "1"], "category": ["tea", "tea", "jam"], "other": [1, 2, 3]})
    found = segment_metrics(rows, products)
    assert list(found) == ["category"]
    declared = segment_metrics(rows, products.with_columns(pl.Series("column maker", ["acme", None, "acme"])))
    assert declared.pop("column maker")["unknown"]["smape"] == pytest.approx(calculate_smape([2.0], [3.0]))
    assert declared == found
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


@pytest.mark.parametrize(
    ("price", "predicted", "words"),
    [
        (48.73, 30.91, "1.6 times above"), (30.91, 48.73, "1.6 times below"),
        (8.8, 10.0, "12 % below"), (11.2, 10.0, "12 % above"),
        (14.99, 10.0, "50 % above"), (15.0, 10.0, "1.5 times above"), (10.0, 15.0, "1.5 times below"),
        (10.0, 10.0, "at"), (10.04, 10.0, "at"), (9.96, 10.0, "at"),
        (10.06, 10.0, "1 % above"), (9.94, 10.0, "1 % below"),
        (0.01, 12345.0, "1,234,500 times below"), (99.96, 1.0, "100.0 times above"), (123.4, 1.0, "123 times above"),
    ],
)  # fmt: skip
def test_the_position_is_of_the_product_and_not_of_the_prediction(price: float, predicted: float, words: str) -> None:
    """An analyst who read "1.6 times too cheap" of the product raised a price that was too high already."""
    assert listed_position(price, predicted) == f"listed {words} what it looks like"


@given(st.floats(0.01, 1e6), st.floats(0.01, 1e6))
def test_above_is_said_only_of_products_listed_above(price: float, predicted: float) -> None:
    words, swapped = listed_position(price, predicted), listed_position(predicted, price)
    assert (" above " in words) <= (price > predicted)
    assert (" below " in words) <= (price < predicted)
    if max(price, predicted) > 1.01 * min(price, predicted):
        assert {" above " in words, " above " in swapped} == {True, False}


def test_worst_products_come_with_their_comparables(tmp_path: Path) -> None:
    rows = pl.DataFrame({"sample_id": ["a", "b", "c"], "price": [10.0, 10.0, 10.0], "stack": [10.0, 80.0, 5.0]})
    similar = pl.DataFrame([("b", 1, "k", "Known", 9.0, 0.9)], schema=list(COMPARABLES), orient="row")
    folder = RunFolder(tmp_path, {}, {}, None, rows, None, None, None, similar)
    found = worst_products(folder, rows, 2)
    assert [product.id for product in found] == ["b", "c"]
    # listed at 10, predicted 80 and 5: of the product, the first is listed below and the second above
    assert found[0].factor == 8.0
    assert found[0].position == "listed 8.0 times below what it looks like"
    assert found[1].position == "listed 2.0 times above what it looks like"
    assert [one.name for one in found[0].comparables] == ["Known"]
    assert found[1].comparables == []
    assert worst_products(folder, rows, 0) == []


def catalogue_file(path: Path, rows: list[tuple[str, str, str, float]]) -> Path:
    frame = pl.DataFrame(rows, schema=["sample_id", "catalog_content", "image_link", "price"], orient="row")
    frame.write_csv(path)
    return path


def test_counts_of_a_small_catalogue_are_told_in_words_that_are_true(tmp_path: Path) -> None:
    """One text three times is two repetitions; products without a text repeat none."""
    rows = [("1", "Green tea", "http://h/a.jpg", 2.0), ("2", "Green tea", "http://h/a.jpg", 2.5)]
    rows += [("3", "Green tea", "http://h/b.jpg", 3.0), ("4", "", "", 4.0), ("5", " ", "http://h/c.jpg", 5.0)]
    train = catalogue_file(tmp_path / "train.csv", rows)
    test = catalogue_file(tmp_path / "test.csv", [rows[0], ("9", "Jam", "http://h/j.jpg", 1.0)])
    (tmp_path / "out").mkdir()
    read_catalogue(train, test, CatalogueConfig(), tmp_path / "out")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [finding.what for finding in data_findings(summary, None, None)] == [
        "2 products of train repeat the text of an earlier product.", "2 products of train have no text.",
        "1 product of train has no image link.", "1 product of train has the image link of an earlier product.",
        "1 id is in train and in test.",
    ]  # fmt: skip


@pytest.mark.parametrize("columns", [None, ColumnsConfig(id="sample_id", text=("catalog_content",), ignore=("link",))])
def test_columns_that_no_role_names_are_told_once_with_the_command_that_uses_them(
    tmp_path: Path, columns: ColumnsConfig | None, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "my train.csv"
    rows = "".join(f"{row},Tea {row},Acme,red,http://x.example,2.5\n" for row in range(3))
    file.write_text(f"sample_id,catalog_content,brand,colour,link,price\n{rows}", encoding="utf-8")
    (tmp_path / "out").mkdir()
    with caplog.at_level("INFO"):
        read_catalogue(file, file, CatalogueConfig(columns=columns), tmp_path / "out")
    told = ["brand", "colour"] if columns else ["brand", "colour", "link"]
    assert caplog.text.count("are not used; pricing columns") == 1
    assert f"columns {', '.join(told)} are not used" in caplog.text
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["train"]["unused_columns"] == told
    found = [finding for finding in data_findings(summary, None, None, train=str(file)) if "not used" in finding.what]
    assert [finding.what for finding in found] == [f"{len(told)} columns of train are not used: {', '.join(told)}."]
    assert found[0].examples[0].startswith(f"pricing columns '{file}' --output columns.toml")


def findings(amounts: list[float | None], prices: list[float], groups: str) -> str:
    ids = [str(number) for number in range(len(prices))]
    products = pl.DataFrame(
        {"sample_id": ids, "title": [f"Title {i}" for i in ids], "group": list(groups), "amount": amounts},
        schema_overrides={"amount": pl.Float64},
    )
    found = data_findings({}, products, pl.DataFrame({"sample_id": ids, "price": prices}))
    return " ".join([one.what for one in found] + [example for one in found for example in one.examples])


def test_near_duplicates_are_torn_only_at_one_amount() -> None:
    """340 g for 5 and 1700 g for 20 contradict nothing; 340 g for 5 and for 20 do."""
    assert "near-duplicates" not in findings([340.0, 1700.0, 1.0], [5.0, 20.0, 9.0], "ggh")
    text = findings([340.0, 340.2, 1.0], [5.0, 20.0, 9.0], "ggh")
    assert "1 group of near-duplicates of the same amount (or of none stated) has prices" in text
    assert "Title 0: 2 products, 5.00 to 20.00" in text
    assert "1 group of near-dup" in findings([None, float("nan"), 1.0], [5.0, 20.0, 9.0], "ggh")
    assert "near-duplicates" not in findings([1.0, 1.0, 1.0], [5.0, 10.0, 9.0], "ggh"), "twice is not more than twice"


def test_grams_and_pieces_of_one_number_are_not_one_amount() -> None:
    products = pl.DataFrame(
        {"sample_id": ["1", "2"], "title": ["Tea", "Tea"], "group": ["g", "g"], "amount": [20.0, 20.0]}
    )
    prices = pl.DataFrame({"sample_id": ["1", "2"], "price": [2.0, 9.0]})
    assert len(data_findings({}, products.with_columns(unit=pl.Series(["g", "g"])), prices)) == 1
    assert data_findings({}, products.with_columns(unit=pl.Series(["g", "piece"])), prices) == []


def test_fields_that_cannot_be_read_are_a_finding() -> None:
    lines = [("1,5", "Kilogram(s)"), ("2", "Barrel"), ("3", "Barrel"), ("some", "Ounce"), ("nan", "None")]
    products = pl.DataFrame(
        {
            "sample_id": list("abcde"),
            "catalog_content": [f"Item Name: Tea\nValue: {value}\nUnit: {unit}" for value, unit in lines],
        }
    )
    found = data_findings({}, products, pl.DataFrame({"sample_id": list("abcde"), "price": [2.0] * 5}))
    assert [(one.what.split(" could")[0], one.examples) for one in found] == [
        ("1 Value line", ("some: 1",)), ("2 Unit lines", ("Barrel: 2",)),
    ]  # fmt: skip


@pytest.mark.parametrize("unit", [0.001, 1.0, 1000.0])
def test_extreme_prices_are_so_in_every_currency(unit: float) -> None:
    prices = [unit * price for price in (1.0, 0.06, 10.0, 10.0, 10.0, 10.0, 10.0, 190.0, 250.0, 0.4)]
    text = findings([1.0] * 10, prices, "abcdefghij")
    assert "3 products cost less than a twentieth of the median price, or more than twenty times as much." in text
    assert all(f"{i}: Title {i}" in text for i in (1, 8, 9))
    assert "less than a twentieth" not in findings([1.0] * 3, [unit, 10 * unit, 20 * unit], "abc")


def test_findings_name_what_is_odd_and_only_that() -> None:
    products = pl.DataFrame(
        {
            "sample_id": ["1", "2", "3", "4"], "catalog_content": ["x"] * 4, "title": ["Tea", "Tea", "Jam", "Rice"],
            "group": ["g", "g", "h", "i"], "amount": [1.0, 1.0, None, float("nan")],
        }
    )  # fmt: skip
    prices = pl.DataFrame({"sample_id": ["1", "2", "3", "4"], "price": [2.0, 9.0, 5.0, 5.0]})
    found = data_findings({}, products, prices)
    text = " ".join([one.what for one in found] + [example for one in found for example in one.examples])
    for words in (
        "1 group of near-duplicates", "Tea: 2 products, 2.00 to 9.00", "2 products (50.0 %) say nothing",
        "3: Jam, 5.00",
    ):  # fmt: skip
        assert words in text
    assert len(found) == 2
    yen = data_findings({}, products, prices.with_columns(pl.col("price") * 1000), 0)
    assert any("Tea: 2 products, 2,000 to 9,000" in example for one in yen for example in one.examples)
    assert data_findings({}, None, None) == []
    assert data_findings({}, products.drop("group", "amount"), prices) == []


def test_product_plots_draw_any_text() -> None:
    products = [shown(200, 10, [9, 10, 11]), shown(3, 4, [])]
    for figure in (plot_comparables(products), plot_worst(products), plot_error_by_category(
        {"a long name of a category that must be cut": {"rows": 9, "smape": 40.0, "bias": -3.0}})):  # fmt: skip
        figure.canvas.draw()
        assert figure.axes
