"""A table as arrays: numbers as the table has them, texts as they are."""

import numpy as np
import polars as pl

from pricing.features.table_values import TableValues

TABLE = pl.DataFrame(
    {
        "sample_id": ["1", "2"],
        "grams": [1.5, None],
        "organic": [True, False],
        "brand": ["b", None],
        "none": [None, None],
    },
    schema_overrides={"grams": pl.Float32},
)


def test_numbers_in_any_order_and_texts() -> None:
    read = TableValues.of(TABLE)
    assert read.names == ("grams", "organic", "none")
    np.testing.assert_array_equal(read.select(("organic", "grams")), [[1, 1.5], [0, np.nan]])
    assert dict(read.texts) == {"brand": ["b", None]}
    assert len(read) == 2
    assert TableValues.of(TABLE.select("grams")).numbers.dtype == np.float32


def test_columns_beside_one_another() -> None:
    both = TableValues.of(TABLE).beside(TableValues.of(pl.DataFrame({"price": [3.0, 4.0], "shelf": ["x", "y"]})))
    np.testing.assert_array_equal(both.select(("price", "organic")), [[3, 1], [4, 0]])
    assert list(both.types) == ["grams", "organic", "brand", "none", "price", "shelf"]
    assert both.texts["shelf"] == ["x", "y"]
