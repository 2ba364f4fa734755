"""The table encoder: fixed codes, and other columns refused."""

import json
from dataclasses import asdict

import numpy as np
import polars as pl
import pytest
from pydantic import TypeAdapter
from scipy import sparse

from pricing.errors import SchemaError, TrainingError
from pricing.members.trees.matrix import Matrix, TableEncoder, check_learnable

TABLE = pl.DataFrame(
    {
        "sample_id": ["1", "2", "3", "4"],
        "brand": ["b", "a", None, "b"],
        "grams": [1.0, None, float("inf"), float("nan")],
        "organic": [True, False, True, False],
        "nothing": [None] * 4,
    }
)


def saved(encoder: TableEncoder) -> TableEncoder:
    """The encoder as a model's schema.json gives it back."""
    return TypeAdapter(TableEncoder).validate_python(json.loads(json.dumps(asdict(encoder))))


def test_encoding() -> None:
    encoder = TableEncoder.fit(TABLE)
    assert encoder.names == ("grams", "organic", "nothing", "brand")
    nan = np.nan
    expected = [[1, 1, nan, 1], [nan, 0, nan, 0], [nan, 1, nan, nan], [nan, 0, nan, 1]]
    encoded = encoder.encode(TABLE)
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(encoded, np.array(expected, dtype=np.float32))


def test_codes_are_fixed_at_training_and_unseen_values_are_missing() -> None:
    """New rows once re-numbered their own categories, so that brand b was priced as brand a."""
    encoder = saved(TableEncoder.fit(TABLE))
    new = pl.DataFrame({"brand": ["c", "b", "a"], "grams": 1, "organic": 0, "nothing": 0.0})
    codes = encoder.encode(new)[:, -1]
    assert np.isnan(codes[0])
    assert codes[1:].tolist() == [1, 0]


def test_rare_categories_have_no_code() -> None:
    assert TableEncoder.fit(TABLE, min_rows=2).categories == {"brand": ("b",)}


def test_no_known_category_at_all() -> None:
    encoder = TableEncoder.fit(TABLE, min_rows=5)
    assert np.isnan(encoder.encode(TABLE)[:, -1]).all()


def test_column_order_does_not_matter() -> None:
    encoder = TableEncoder.fit(TABLE)
    np.testing.assert_array_equal(encoder.encode(TABLE.select(TABLE.columns[::-1])), encoder.encode(TABLE))


@pytest.mark.parametrize(
    ("table", "named"),
    [
        (TABLE.drop("grams"), "missing: grams"),
        (TABLE.with_columns(extra=1), "unknown: extra"),
        (TABLE.with_columns(pl.col("grams").cast(pl.String)), "grams is String"),
        (TABLE.with_columns(brand=1), "brand is Int32"),
    ],
)
def test_other_columns_are_refused_by_name(table: pl.DataFrame, named: str) -> None:
    with pytest.raises(SchemaError, match=named):
        TableEncoder.fit(TABLE).encode(table)


def test_columns_that_are_neither_number_nor_text() -> None:
    with pytest.raises(SchemaError, match="when"):
        TableEncoder.fit(pl.DataFrame({"when": [[1, 2]]}))
    with pytest.raises(SchemaError, match="no feature column"):
        TableEncoder.fit(TABLE.select("sample_id"))


def rows(values: list[list[float]], labels: list[float]) -> Matrix:
    return Matrix(np.array(values, dtype=np.float32).reshape(len(labels), -1), np.array(labels))


def test_rows_that_teach_nothing() -> None:
    good = rows([[1], [2]], [0, 1])
    check_learnable(good, good)
    check_learnable(rows([[1], [np.nan]], [0, 1]), None)  # being missing is a value
    with pytest.raises(TrainingError, match="1 training rows"):
        check_learnable(rows([[1]], [0]), None)
    with pytest.raises(TrainingError, match="no validation rows"):
        check_learnable(good, Matrix(np.empty((0, 1), dtype=np.float32), np.empty(0)))
    with pytest.raises(TrainingError, match="validation row 1"):
        check_learnable(good, rows([[1], [2]], [0, -np.inf]))
    with pytest.raises(TrainingError, match="none of 2 features varies over 2"):
        check_learnable(rows([[1, np.nan], [1, np.nan]], [0, 1]), None)


TERMS = sparse.csr_matrix(
    np.array([[0.5, 0, 0, 0.1], [0.2, 0, 0.3, 0], [0, 0.7, 0.4, 0], [0.9, 0, 0, 0]], dtype=np.float32)
)


def test_terms_stand_beside_the_table_and_tabular_zeros_are_stored() -> None:
    """XGBoost reads what a sparse row does not store as missing: a weight of 0 grams was once no weight at all."""
    encoder = saved(TableEncoder.fit(TABLE, 1, TERMS, 2))
    assert encoder.terms == (0, 2)  # in three rows and in two; the others are in one
    assert encoder.names == ("grams", "organic", "nothing", "brand", "tfidf_0", "tfidf_2")
    encoded = encoder.encode(TABLE, TERMS)
    dense = TableEncoder.fit(TABLE).encode(TABLE)
    np.testing.assert_array_equal(encoded.toarray(), np.hstack([dense, TERMS.toarray()[:, [0, 2]]]))
    assert np.diff(encoded[:, :4].indptr).tolist() == [4] * 4
    assert encoded[:, 4:].nnz == 5
    assert TableEncoder.fit(TABLE, 1, TERMS, 100).terms == (0, 2)  # a term of one row teaches nothing


@pytest.mark.parametrize(("tfidf", "found"), [(None, "none"), (TERMS[:3], "3 x 4"), (TERMS[:, :2], "4 x 2")])
def test_terms_that_are_not_there(tfidf: sparse.csr_matrix | None, found: str) -> None:
    encoder = TableEncoder.fit(TABLE, 1, TERMS, 2)
    with pytest.raises(SchemaError, match=f"2 TF-IDF columns up to 2 of 4 rows, found {found}"):
        encoder.encode(TABLE, tfidf)
    if tfidf is None or tfidf.shape[0] != 4:
        with pytest.raises(SchemaError, match="2 TF-IDF terms of 4 rows are asked for"):
            TableEncoder.fit(TABLE, 1, tfidf, 2)


def test_what_varies_in_sparse_rows() -> None:
    labels = np.arange(3.0)
    nan = np.nan
    for values, varies in (
        ([[1, 0], [1, 0], [1, 0]], False),
        ([[nan, 2], [nan, 2], [nan, 2]], False),
        ([[nan, 0], [1, 0], [1, 0]], True),
        ([[1, 0], [1, 0], [1, 5]], True),
    ):
        part = Matrix(sparse.csr_matrix(np.array(values, dtype=np.float32)), labels)
        if varies:
            check_learnable(part, None)
        else:
            with pytest.raises(TrainingError, match="none of 2 features varies"):
                check_learnable(part, None)
