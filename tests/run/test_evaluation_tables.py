"""Segments by the categories that a shop declares."""

import numpy as np
import polars as pl
from scipy import sparse

from pricing.config.columns import ColumnsConfig
from pricing.features.declared_columns import DeclaredColumns
from pricing.features.load import FeatureSchema, FeatureSet
from pricing.run.evaluation_tables import segments_by_column


def test_every_declared_category_is_a_segment_under_the_shops_own_name() -> None:
    """Names that begin alike are kept apart: the path's levels are not those of the column `kind`."""
    rows = 120
    frame = pl.DataFrame({
        "category:kind": [("used", "New", "")[row % 3] for row in range(rows)],
        "category:kind 1": [f"Home/{('Men', 'Women')[row % 2]}/{row}" for row in range(rows)],
        "number:rating": [4.5] * rows,
    })  # fmt: skip
    declared = DeclaredColumns(ColumnsConfig(id="sku", title="name", category=("kind", "kind 1"), number=("rating",)))
    table = declared.fit(frame).transform(frame)
    ids, empty = pl.Series([str(row) for row in range(rows)]), sparse.csr_matrix((rows, 0), dtype=np.float32)
    features = FeatureSet(ids, table, empty, FeatureSchema(declared.columns, 0))
    found = segments_by_column(features)
    assert list(found) == ["column kind", "column kind 1"]
    assert found["column kind"][:3].to_list() == ["used", "new", None]
    assert found["column kind 1"][:3].to_list() == ["home > men", "home > women", "home > men"]
