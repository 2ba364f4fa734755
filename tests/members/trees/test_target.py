"""The target per unit: what is learnt of a log price, and the way back."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy import sparse

from pricing.errors import ArtifactError, SchemaError
from pricing.members.trees.boosting import table_rows
from pricing.members.trees.matrix import Matrix, TableEncoder
from pricing.members.trees.target import Target
from pricing.members.trees.tree_model import TrainedModel
from tests.members.trees.conftest import LIBRARIES, each_library, fold_rows, make_table, out_of_fold, tiny, train


def with_amounts(rows: int, seed: int = 0) -> tuple[pl.DataFrame, np.ndarray]:
    """The small table beside amounts of three families, one of them never known, and every fifth amount missing."""
    table, log_price = make_table(rows, seed)
    rng = np.random.default_rng(seed)
    family = np.array(["mass", "count", "none"])[rng.integers(0, 3, rows)]
    amount = np.where(family == "mass", 6.0, 2.0) + rng.normal(size=rows)
    known = (family != "none") & (rng.random(rows) < 0.8)
    table = table.with_columns(
        ipq_log_amount=pl.Series(np.where(known, amount, np.nan), dtype=pl.Float32), ipq_family=pl.Series(family)
    )
    return table, log_price + np.where(known, 0.9 * (amount - 4.0), 0.0)


def shifts(table: pl.DataFrame, learning: int, exponent: float) -> np.ndarray:
    """The formula by group means in polars: exponent x (log amount - its family's mean over the learning rows), no
    further from 0 than a learning row is."""
    known = table.select(pl.col("ipq_log_amount").cast(pl.Float64).fill_nan(None), "ipq_family")
    means = known[:learning].group_by("ipq_family").agg(pl.col("ipq_log_amount").mean().alias("mean"))
    joined = known.join(means, on="ipq_family", how="left", maintain_order="left")
    apart = joined.select((pl.col("ipq_log_amount") - pl.col("mean")).fill_null(0)).to_series().to_numpy()
    return exponent * np.clip(apart, apart[:learning].min(), apart[:learning].max())


def fitted(table: pl.DataFrame, labels: np.ndarray, cut: int, library: str, exponent: float) -> TrainedModel:
    settings = tiny(library, amount_exponent=exponent, min_category_rows=1)
    return train(library, fold_rows(table, labels, cut), settings)


@settings(max_examples=25, deadline=None)
@given(st.integers(4, 60), st.integers(0, 1000), st.floats(0, 1), st.booleans())
def test_round_trip(rows: int, seed: int, exponent: float, stored: bool) -> None:
    """Learnt plus shift is the log price again, also for new rows, a family unknown until then, sparse rows and after
    JSON; and the shift is the formula's."""
    table, labels = with_amounts(rows + 10, seed)
    table = table.with_columns(ipq_family=pl.when(pl.int_range(pl.len()) < rows + 5).then("ipq_family")
                               .otherwise(pl.lit("area")))  # fmt: skip
    encoder = TableEncoder.fit(table[:rows], columns=table_rows(table).columns)
    values: Any = encoder.encode(table)
    target = Target.fit(Matrix(values[:rows], labels[:rows]), encoder, exponent)
    if stored:
        target = TypeAdapter(Target).validate_python(json.loads(json.dumps(asdict(target))))
        values = sparse.csr_matrix(values)
    learnt = target.learnt(Matrix(values, labels), encoder)
    np.testing.assert_allclose(labels - learnt - target.center, shifts(table, rows, exponent), atol=1e-9)
    np.testing.assert_allclose(target.log_price(learnt, values, encoder), labels, atol=1e-9)
    assert np.median(learnt[:rows]) == pytest.approx(0, abs=1e-9)


@each_library
def test_a_target_per_unit_is_training_on_shifted_prices(library: str, tmp_path: Path) -> None:
    """The oracle subtracts the shift from the labels and adds it to the predictions outside of the model. And what is
    loaded predicts what was saved, bit for bit, rows without an amount included."""
    table, labels = with_amounts(300)
    outside = shifts(table, 200, 1.0)
    expected = fitted(table, labels - outside, 200, library, 0.0).model.predict(table) + outside
    trained = fitted(table, labels, 200, library, 1.0)
    found = trained.model.predict(table)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(found - fitted(table, labels, 200, library, 0.0).model.predict(table)).max() > 0.01
    # smape needs no amount outside of the model: the curve's best is the figure of the log prices
    if library != "catboost":
        best = trained.curves.filter(pl.col("split") == "valid")["value"].min()
        difference = np.abs(found[200:] - labels[200:])
        assert best == pytest.approx(200 * np.tanh(difference / 2).mean(), abs=1e-3)
    trained.model.save(tmp_path)
    loaded = LIBRARIES[library].Model.load(tmp_path)
    assert loaded.target == trained.model.target
    without = table.with_columns(ipq_log_amount=pl.lit(None, pl.Float32))
    for rows in (table, without, table[:0]):
        assert loaded.predict(rows).tobytes() == trained.model.predict(rows).tobytes()
    assert np.isfinite(loaded.predict(without)).all()


def test_a_barcode_read_as_an_amount_does_not_price_a_row() -> None:
    table, labels = with_amounts(300)
    model = fitted(table, labels, 200, "lightgbm", 1.0).model

    def priced(log_amount: float) -> np.ndarray:
        known = pl.col("ipq_log_amount").is_finite()
        return model.predict(table.with_columns(ipq_log_amount=pl.when(known).then(pl.lit(log_amount, pl.Float32))))

    assert priced(60.0).tolist() == priced(30.0).tolist()
    assert (priced(60.0) > priced(6.0)).any()


def test_folds_take_their_own_means() -> None:
    """A validation row's amount moves nothing but its own prediction."""
    table, labels = with_amounts(120)
    settings = {"lightgbm": tiny("lightgbm", amount_exponent=1.0)}
    fold = np.arange(120) % 2
    result = out_of_fold(table, labels, fold, settings)["lightgbm"]
    for number, member in enumerate(result.fitted):
        learning = table.filter(pl.Series(fold != number)).with_columns(pl.col("ipq_log_amount").fill_nan(None))
        means = learning.group_by("ipq_family").agg(pl.col("ipq_log_amount").cast(pl.Float64).mean()).drop_nulls()
        assert member.models[0].target.mean_log_amount == pytest.approx(dict(means.iter_rows()))


def test_refused(tmp_path: Path) -> None:
    table, labels = make_table(60)
    with pytest.raises(SchemaError, match="none of the 5 features has these roles"):
        fitted(table, labels, 40, "lightgbm", 0.5)
    fitted(table, labels, 40, "lightgbm", 0.0).model.save(tmp_path)
    record = json.loads((tmp_path / "schema.json").read_text())
    for broken in (None, {}, record["target"] | {"mean_log_amount": {"mass": "much"}}):
        (tmp_path / "schema.json").write_text(json.dumps(record | {"target": broken}))
        with pytest.raises(ArtifactError, match=r"schema\.json"):
            LIBRARIES["lightgbm"].Model.load(tmp_path)
