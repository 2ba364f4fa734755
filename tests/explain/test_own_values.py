"""What a product itself says under an item."""

import numpy as np
import polars as pl

from pricing.config.columns import ColumnsConfig
from pricing.explain.items import BRAND
from pricing.explain.own_values import own_values
from pricing.features.load import FeatureSet
from tests.features.conftest import Products


def test_values_stand_as_people_wrote_them(features: FeatureSet, products: Products) -> None:
    roles = ColumnsConfig(id="sku", title="name", category=("maker",), number=("rating",), amount={"weight": "kg"})
    frame = products.frame.head(3).with_columns(
        pl.Series("category:maker", ["ACME", "", None]), pl.Series("number:rating", [2.36, None, 1200000.0]),
        pl.Series("amount:weight", ["1.5", "500 g", ""]),
    )  # fmt: skip
    found = own_values(frame, features.take(np.arange(3)), roles)
    assert found["maker"] == ["ACME", "", ""]
    assert found["rating"] == ["2.36", "", "1200000"]
    assert found["weight"] == ["1.5 kg", "500 g", ""]
    assert found[BRAND] == features.tabular["brand"].head(3).to_list()
