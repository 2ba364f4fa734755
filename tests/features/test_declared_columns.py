"""Declared categories, numbers and amounts as features."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pricing.config.columns import ColumnsConfig
from pricing.config.features import FeaturesConfig
from pricing.features.declared_columns import DeclaredColumns
from pricing.features.engineer import FeatureEngineer
from pricing.features.fields import unread_amount_words
from pricing.features.load import load_features
from pricing.features.price_features import PriceFeatures

ROLES = ColumnsConfig(
    id="sku", title="name", category=("kind", "maker"), number=("rating",), amount={"weight": "kg"}, text=("about",)
)
CONFIG = FeaturesConfig(spaces=("words",))


def catalogue(**columns: list[object]) -> pl.DataFrame:
    """Rows of the stored catalogue, as the catalogue step leaves them."""
    made = {
        "category:kind": ["Toys > Cars > Red", "Toys > Dolls", "Food/Tea", ""],
        "category:maker": ["ACME  Works", "acme works", "Bell", ""],
        "number:rating": [4.5, None, -2.0, 0.0],
        "amount:weight": ["1.5", "500 g", "0,25", ""],
        **columns,
    }
    rows = len(made["number:rating"])
    ids = [str(row) for row in range(rows)]
    titles = [f"Item Name: Thing number {row}" for row in range(rows)]
    return pl.DataFrame({"sample_id": ids, "catalog_content": titles, **made})


def test_values_logs_levels_and_units() -> None:
    frame = catalogue()
    declared = DeclaredColumns(ROLES).fit(frame)
    table = declared.transform(frame)
    assert table.columns == [column.name for column in declared.columns]
    assert table["number:rating"].to_list() == [4.5, None, -2.0, 0.0]
    logs = table["number:rating log"].to_list()
    assert logs == pytest.approx([np.log(5.5), None, -np.log(3.0), 0.0])
    assert table["amount:weight"].to_list() == pytest.approx([1500.0, 500.0, 250.0, None])
    # a path ends with its own last level; "/" is no separator where ">" is the column's
    assert table["category:kind"].to_list() == ["toys > cars > red", "toys > dolls", "food/tea", ""]
    assert table["category:kind 1"].to_list() == ["toys", "toys", "food/tea", ""]
    assert table["category:kind 2"].to_list() == ["toys > cars", "toys > dolls", "food/tea", ""]
    assert table["category:maker"].to_list() == ["acme works", "acme works", "bell", ""]
    assert "category:maker 1" not in table.columns


@pytest.mark.parametrize("separator", ["/", " / ", ">", " > ", " | "])
def test_every_separator_of_paths_makes_the_same_levels(separator: str) -> None:
    paths = [separator.join(path) for path in (["a", "b", "c"], ["a", "d"], ["e", "f"], ["e", "g"])]
    frame = catalogue(**{"category:kind": paths})
    table = DeclaredColumns(ROLES).fit(frame).transform(frame)
    assert table["category:kind 1"].to_list() == ["a", "a", "e", "e"]
    assert table["category:kind 2"].to_list() == ["a > b", "a > d", "e > f", "e > g"]


def test_a_slash_in_a_few_names_makes_no_path() -> None:
    frame = catalogue(**{"category:maker": ["AC/DC", "Bell", "Cole", "Dorn"]})
    declared = DeclaredColumns(ROLES).fit(frame)
    assert "maker" not in declared.paths


def test_a_declared_amount_counts_like_a_value_line_and_not_against_one() -> None:
    frame = catalogue()
    engineer = FeatureEngineer(CONFIG, columns=ROLES).fit(frame)
    assert engineer.transform(frame).tabular["ipq_amount"].to_list()[:3] == pytest.approx([1500.0, 500.0, 250.0])
    stated = frame.with_columns(catalog_content=pl.lit("Item Name: Thing\nValue: 2\nUnit: kg"))
    assert engineer.transform(stated).tabular["ipq_amount"].to_list() == pytest.approx([2000.0] * 4)


def test_unread_amounts_are_said_with_the_commonest() -> None:
    frame = catalogue(**{"amount:weight": ["3 Furlong", "3 Furlong", "2,5", ""]})
    assert unread_amount_words(frame, {"weight": "kg"}) == [
        "Column weight: 2 values are no amounts and count as missing: '3 Furlong' 2."
    ]
    assert unread_amount_words(catalogue(), {"weight": "kg"}) == []


def test_categories_are_terms_alone_and_in_pairs() -> None:
    kinds = ["Toys > Cars"] * 3 + ["Toys > Dolls"] * 3
    frame = catalogue(
        **{"category:kind": kinds, "category:maker": ["acme", "bell"] * 3, "number:rating": [None] * 6,
           "amount:weight": [""] * 6}
    )  # fmt: skip
    engineer = FeatureEngineer(CONFIG, columns=ROLES).fit(frame)
    assert engineer.tfidf is not None
    terms = next(block.terms for block in engineer.tfidf.blocks if block.name == "categories")
    assert {"category:kind 1=toys", "category:kind=toys > cars", "category:maker=bell"} <= set(terms)
    assert "category:kind&category:maker=toys > cars&acme" in terms
    assert not any("kind&category:kind" in term for term in terms)


def test_unknown_and_missing_categories_are_priced(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    count = 60
    makers = rng.choice(["acme", "bell", "cole"], count)
    frame = catalogue(
        **{"category:kind": ["Toys > Cars"] * count, "category:maker": makers.tolist(),
           "number:rating": rng.normal(size=count).tolist(), "amount:weight": [""] * count}
    )  # fmt: skip
    log_price = np.where(makers == "acme", 3.0, 2.0) + rng.normal(0, 0.05, count)
    engineer = FeatureEngineer(CONFIG, columns=ROLES).fit(frame)
    own = engineer.index_labelled(frame, np.arange(count))
    fitted = PriceFeatures().fit(own, log_price, np.arange(count))
    new = frame[:3].with_columns(
        pl.Series("category:maker", ["acme", "never seen", ""]), pl.Series("number:rating", [None, 1.0, 2.0])
    )
    engineer.save(tmp_path / "engineer")
    again = FeatureEngineer.load(tmp_path / "engineer")
    table = fitted.transform(again.transform(new))
    assert table.equals(fitted.transform(engineer.transform(new)))
    means = table["price_category:maker_mean"].to_numpy()
    assert means[0] > 2.8
    assert means[1:] == pytest.approx([log_price.mean()] * 2, abs=1e-5)
    assert table["price_category:maker_count"].to_list()[1:] == [0.0, 0.0]


def test_prices_of_a_category_reach_no_row_of_its_own_group() -> None:
    """Inner folds keep a product's price, and its near-duplicates', out of its own category's mean."""
    count = 40
    frame = catalogue(
        **{"category:kind": ["Toys"] * count, "category:maker": [f"maker {row // 2}" for row in range(count)],
           "number:rating": [1.0] * count, "amount:weight": [""] * count}
    )  # fmt: skip
    features = FeatureEngineer(CONFIG, columns=ROLES).fit_transform(frame)
    groups, log_price = np.arange(count) // 2, np.linspace(1, 4, count)
    means = [PriceFeatures().fit(features, prices, groups).out_of_fold()["price_category:maker_count"]
             for prices in (log_price, log_price[::-1].copy())]  # fmt: skip
    # each maker's two products are one group, so nobody else tells its price
    assert [table.to_list() for table in means] == [[0.0] * count] * 2


def test_the_schema_goes_with_the_tables(tmp_path: Path) -> None:
    frame = catalogue()
    features = FeatureEngineer(CONFIG, columns=ROLES).fit_transform(frame)
    FeatureEngineer.save_features(features, tmp_path)
    read = load_features(tmp_path)
    assert read.schema == features.schema
    declared = {
        column.name: (column.kind, column.role) for column in read.schema.columns if column.family == "declared"
    }
    assert declared["category:kind 1"] == ("category", "category_level")
    assert declared["amount:weight log"] == ("number", "declared_amount")
