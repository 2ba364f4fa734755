"""What columns are: words, family, kind and role of each, in tables, in files and in docs/features.md.

``python -m tests.features.test_schema`` writes the tables of columns into docs/features.md.
"""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pricing.config.columns import ColumnsConfig
from pricing.config.features import FeaturesConfig, PriceFeaturesConfig, TfidfConfig
from pricing.features.engineer import FeatureEngineer
from pricing.features.load import FeatureSchema, FeatureSet, load_price_columns, save_price_columns
from pricing.features.price_features import PriceFeatures
from pricing.features.schema import CATEGORY, NUMBER, Column, with_role
from pricing.features.tfidf import term_words
from tests.features.conftest import make_products

DOCUMENT = Path(__file__).parents[2] / "docs" / "features.md"
BLOCK = re.compile(r"(<!-- columns of ([a-z_, ]+): written by python -m tests\.features\.test_schema -->\n)"
                   r"(.*?)(<!-- end of columns -->)", re.S)  # fmt: skip
ROLES = ColumnsConfig(
    id="sku", title="name", category=("colour", "department"), number=("rating",), amount={"weight": "kg"}
)
# one column of each kind that the document says there are more of
CONFIG = FeaturesConfig(
    tfidf=TfidfConfig(svd_components=1), quality_keywords=("premium",), discount_keywords=("bulk",), spaces=("words",),
    price=PriceFeaturesConfig(inner_folds=2, neighbours=3),
)  # fmt: skip
FAMILIES = {
    "quantity", "text", "keywords", "words", "brand", "sub_brand", "declared", "svd", "ridge", "means", "comparables",
}  # fmt: skip


def catalogue(path: str) -> tuple[pl.DataFrame, np.ndarray, np.ndarray]:
    """Rows with declared columns, log prices and groups."""
    made = make_products(40)
    number = pl.int_range(pl.len())
    frame = made.frame.with_columns(
        pl.when(number % 3 == 0).then(pl.lit("red")).otherwise(pl.lit("Dark  Blue")).alias("category:colour"),
        pl.format("Men > Tops > {}", number % 4).alias(f"category:{path}"),
        (number / 10).alias("number:rating"),
        pl.format("{} kg", number + 1).alias("amount:weight"),
    )
    return frame, made.log_price, made.groups


def fit(roles: ColumnsConfig = ROLES) -> tuple[FeatureEngineer, FeatureSet, PriceFeatures]:
    frame, log_price, groups = catalogue(roles.category[1])
    engineer = FeatureEngineer(CONFIG, columns=roles).fit(frame)
    features = engineer.index_labelled(frame, groups)
    return engineer, features, PriceFeatures(CONFIG.price).fit(features, log_price, groups)


@pytest.fixture(scope="module")
def fitted() -> tuple[FeatureEngineer, FeatureSet, PriceFeatures]:
    return fit()


@pytest.fixture(scope="module")
def columns(fitted: tuple[FeatureEngineer, FeatureSet, PriceFeatures]) -> tuple[Column, ...]:
    _, features, price = fitted
    return (*features.schema.columns, *price.columns)


def shown(families: str, columns: tuple[Column, ...]) -> str:
    """The table of some families as the document shows it."""
    rows = [
        f"| `{column.name}` | {column.kind} | {column.words} |" for column in columns
        if column.family in families.split(", ")
    ]  # fmt: skip
    return "\n".join(["| column | kind | what it is |", "| --- | --- | --- |", *rows, ""])


def test_every_column_has_words_that_tell_it_from_the_others(columns: tuple[Column, ...]) -> None:
    assert [column.name for column in columns if not column.words] == []
    words = [column.words for column in columns]
    assert sorted({text for text in words if words.count(text) > 1}) == []
    assert not [text for text in words if re.search(r"[{}]", text)]
    assert {column.family for column in columns} == FAMILIES


def test_kinds_are_those_of_the_tables(fitted: tuple[FeatureEngineer, FeatureSet, PriceFeatures]) -> None:
    _, features, price = fitted
    tables = ((features.tabular, features.schema.columns), (price.transform(features).drop("sample_id", "ridge"),
              price.columns))  # fmt: skip
    for table, described in tables:
        types = {NUMBER: pl.Float32, CATEGORY: pl.String}
        assert dict(table.schema) == {column.name: types[column.kind] for column in described}


def test_declared_columns_are_called_as_the_shop_calls_them(columns: tuple[Column, ...]) -> None:
    known = {column.name: column for column in columns}
    expected = {
        "category:colour": ("declared", "category", "the column colour"),
        "category:department": ("declared", "category", "the column department"),
        "category:department 1": ("declared", "category_level", "the column department, first level"),
        "category:department 2": ("declared", "category_level", "the column department, first 2 levels"),
        "number:rating": ("declared", "number", "the column rating"),
        "number:rating log": ("declared", "number", "the column rating, logarithm"),
        "amount:weight log": ("declared", "declared_amount", "the column weight, in g, ml, pieces, m or m2, logarithm"),
        "price_category:colour_mean": ("means", "", "what products of the same colour cost"),
        "price_category:department 2_count": (
            "means", "", "how many known products are of the same first 2 levels of department"
        ),
        "price_brand_mean": ("means", "", "what products of the same brand cost"),
        "price_sub_brand_mean": ("means", "", "what products of the same product line cost"),
        "price_words_elastic": (
            "comparables", "", "what similar products cost, moved to this amount (compared by words)"
        ),
        "claim_pet": ("keywords", "", "whether the text says dog, cat or pet"),
    }  # fmt: skip
    assert {name: (known[name].family, known[name].role, known[name].words) for name in expected} == expected


def test_a_declared_column_may_have_any_name() -> None:
    _, features, price = fit(ROLES.model_copy(update={"category": ("colour", "{0} of {words}")}))
    words = {column.name: column.words for column in (*features.schema.columns, *price.columns)}
    assert words["category:{0} of {words} 1"] == "the column {0} of {words}, first level"
    assert words["price_category:{0} of {words}_mean"] == "what products of the same {0} of {words} cost"


def test_roles_are_found_without_names(columns: tuple[Column, ...]) -> None:
    roles = ("amount", "pack", "log_amount", "log_total", "log_pack", "amount_family", "brand", "sub_brand",
             "brand_frequency", "ridge", "similarity")  # fmt: skip
    assert {role: len(with_role(columns, role)) for role in roles} == dict.fromkeys(roles, 1)
    assert with_role(columns, "category", "category_level") == [
        "category:colour", "category:department", "category:department 1", "category:department 2"
    ]  # fmt: skip


def test_words_and_roles_are_saved_with_what_is_learnt(
    tmp_path: Path, fitted: tuple[FeatureEngineer, FeatureSet, PriceFeatures]
) -> None:
    engineer, features, price = fitted
    (tmp_path / "schema.json").write_text(features.schema.to_json())
    assert FeatureSchema.from_file(tmp_path / "schema.json") == features.schema
    engineer.save(tmp_path / "engineer")
    assert FeatureEngineer.load(tmp_path / "engineer").schema == features.schema
    price.save(tmp_path / "price")
    assert PriceFeatures.load(tmp_path / "price").columns == price.columns
    save_price_columns(price.columns, tmp_path)
    assert load_price_columns(tmp_path) == price.columns
    # what trees that read terms call them
    terms = term_words(tmp_path / "engineer")
    assert len(terms) == features.schema.tfidf_columns
    assert terms["tfidf_0"].startswith('how much the text says "')
    assert 'whether the columns say "category:colour=red"' in terms.values()


def test_the_document_shows_the_columns(columns: tuple[Column, ...]) -> None:
    found = [(families, text) for _, families, text, _ in BLOCK.findall(DOCUMENT.read_text(encoding="utf-8"))]
    assert sorted(family for families, _ in found for family in families.split(", ")) == sorted(FAMILIES)
    for families, text in found:
        assert text == shown(families, columns), "run python -m tests.features.test_schema"


if __name__ == "__main__":
    _, made, priced = fit()
    every = (*made.schema.columns, *priced.columns)
    text = BLOCK.sub(
        lambda block: f"{block[1]}{shown(block[2], every)}{block[4]}", DOCUMENT.read_text(encoding="utf-8")
    )
    DOCUMENT.write_text(text, encoding="utf-8")
