"""Each library: saved and loaded bit for bit, complete predictions, the same bytes for the same seed, bad input."""

import hashlib
import json
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from pricing.errors import ArtifactError, ConfigError, SchemaError, TrainingError
from pricing.members.trees.boosting import table_rows, train_gbdt_models
from tests.members.trees.conftest import (
    LIBRARIES,
    TINY,
    each_library,
    fold_rows,
    make_table,
    out_of_fold,
    tiny,
    train,
)  # fmt: skip


@each_library
@settings(max_examples=8)
@given(rows=st.integers(30, 200), seed=st.integers(0, 1000), objective=st.integers(0, 2))
def test_serialization(library: str, rows: int, seed: int, objective: int) -> None:
    """Property 22: GBDT model serialization. A saved and loaded model of any library predicts, bit for bit, what it
    predicted before, unseen categories and missing values included."""
    table, labels = make_table(rows, seed)
    names = ("MAE", "RMSE", "Huber") if library == "catboost" else ("l1", "huber", "smape")
    settings = tiny(library, objective=names[objective])
    model = train(library, fold_rows(table, labels, rows * 2 // 3), settings).model
    new = make_table(40, seed + 1, categories=9)[0]
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder))
        loaded = LIBRARIES[library].Model.load(Path(folder))
    assert loaded.predict(new).tobytes() == model.predict(new).tobytes()
    assert (loaded.rounds, loaded.target, loaded.encoder) == (model.rounds, model.target, model.encoder)
    assert loaded.importance().equals(model.importance())


@settings(max_examples=5)
@given(rows=st.integers(24, 120), tests=st.integers(0, 20), folds=st.integers(2, 4), seed=st.integers(0, 1000))
def test_prediction_completeness(rows: int, tests: int, folds: int, seed: int) -> None:
    """Property 23: GBDT prediction completeness. Every library predicts a finite log price for every row of the
    training, validation and test splits."""
    table, labels = make_table(rows + tests, seed)
    fold = np.random.default_rng(seed).permutation(rows) % folds
    results = out_of_fold(table[:rows], labels[:rows], fold, TINY)
    assert list(results) == list(LIBRARIES)
    for result in results.values():
        assert len(result.fitted) == folds
        tested = [member.predict(table_rows(table[rows:])) for member in result.fitted]
        for predicted, expected in ((result.train, rows), (result.valid, rows), *((test, tests) for test in tested)):
            assert predicted.shape == (expected,)
            assert np.isfinite(predicted).all()
        assert set(result.importance) == set(table.columns)


@each_library
def test_it_learns(library: str, small_table: Callable[..., Any]) -> None:
    table, labels = small_table(600)
    trained = train(library, fold_rows(table, labels, 400), tiny(library, rounds=150, early_stopping=40))
    residual = trained.model.predict(table[400:]) - labels[400:]
    constant = np.median(labels[:400]) - labels[400:]
    assert np.abs(residual).mean() < 0.6 * np.abs(constant).mean()
    importance = trained.model.importance()
    assert importance["importance"].sum() == pytest.approx(1)
    assert set(importance["feature"][:2]) == {table.columns[0], "brand"}


@each_library
def test_validation_rows_are_predicted_by_models_that_have_not_seen_them(
    library: str, small_table: Callable[..., Any]
) -> None:
    """With labels that are pure noise, in-sample predictions correlate with them and out-of-fold ones cannot."""
    table, _ = small_table(300)
    noise = np.random.default_rng(5).normal(size=300)
    result = out_of_fold(table, noise, np.arange(300) % 3, {library: TINY[library]})[library]
    assert np.corrcoef(result.train, noise)[0, 1] > 0.2
    assert np.corrcoef(result.valid, noise)[0, 1] < 0.15


@each_library
@pytest.mark.parametrize("threads", [1, 2])
def test_same_seed_same_bytes(library: str, threads: int, small_table: Callable[..., Any], tmp_path: Path) -> None:
    table, labels = small_table(300)
    files = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        trained = train(library, fold_rows(table, labels, 200), seed=7, threads=threads)
        trained.model.save(folder)
        files.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert files[0] == files[1]
    other = train(library, fold_rows(table, labels, 200), seed=8, threads=threads)
    assert other.model.predict(table).tobytes() != trained.model.predict(table).tobytes()


@each_library
def test_rounds_are_obeyed_and_early_stopping_keeps_the_best(library: str, small_table: Callable[..., Any]) -> None:
    table, labels = small_table(300)
    assert train(library, fold_rows(table, labels, 200), rounds=5).model.rounds == 5
    rng = np.random.default_rng(0)
    stopped = train(library, fold_rows(table, rng.normal(size=300), 200), tiny(library, rounds=200))
    metric = "mae" if library == "catboost" else "smape"
    curve = stopped.curves.filter((pl.col("split") == "valid") & (pl.col("metric") == metric))["value"].to_numpy()
    assert stopped.best_round == stopped.model.rounds == int(np.argmin(curve)) + 1
    assert len(curve) < 200


@each_library
def test_another_schema_is_refused(library: str, small_table: Callable[..., Any]) -> None:
    table, labels = small_table(90)
    model = train(library, fold_rows(table, labels, 60)).model
    with pytest.raises(SchemaError, match="missing: brand"):
        model.predict(table.drop("brand"))


def with_terms(rows: int, seed: int = 0) -> tuple[pl.DataFrame, sparse.csr_matrix, np.ndarray]:
    """The small table, its zeros and holes, and five terms of which the second sets the price."""
    table, labels = make_table(rows, seed)
    table = table.with_columns(pl.when(pl.nth(1) > 0.5).then(0.0).otherwise(pl.nth(1)).alias(table.columns[1]))
    tfidf = sparse.random(rows, 5, 0.4, "csr", np.float32, random_state=seed)
    return table, tfidf, labels + 3 * (tfidf[:, [1]].toarray().ravel() > 0.5)


@each_library
def test_sparse_rows_and_dense_rows_give_the_same_model(library: str, tmp_path: Path) -> None:
    """The terms as columns of the table, absent ones missing for XGBoost and 0 for the others, are the oracle."""
    table, tfidf, labels = with_terms(200)
    settings = tiny(library, terms=5)
    rows = fold_rows(table, labels, 140, tfidf)
    model = train(library, rows, settings).model
    absent = np.nan if library == "xgboost" else 0.0
    spread = tfidf.toarray()
    spread[spread == 0] = absent
    # columns in the matrix's order, where the library's own allows: numbers, then the terms, then the category
    wide = pl.DataFrame({f"tfidf_{term}": spread[:, term] for term in range(5)})
    numbers, brand = table.drop("brand"), table.select("brand")
    if library == "catboost":
        dense = numbers.hstack(wide).hstack(brand)
        expected = train(library, fold_rows(dense, labels, 140)).model.predict(dense)
        assert model.predict(table, tfidf).tobytes() == expected.tobytes()
    else:  # which column is sampled depends on the order, so only unsampled models are the same
        every = {"lightgbm": {"feature_fraction": 1.0}, "xgboost": {"colsample_bytree": 1.0}}[library]
        settings = settings.model_copy(update=every)
        model = train(library, rows, settings).model
        dense = numbers.hstack(wide).hstack(brand)
        expected = train(
            library, fold_rows(dense, labels, 140), settings.model_copy(update={"terms": 0})
        ).model.predict(dense)
        np.testing.assert_allclose(model.predict(table, tfidf), expected, rtol=1e-5)
    assert model.importance()["feature"][0] == "tfidf_1"
    model.save(tmp_path)
    assert (
        LIBRARIES[library].Model.load(tmp_path).predict(table, tfidf).tobytes() == model.predict(table, tfidf).tobytes()
    )
    with pytest.raises(SchemaError, match="TF-IDF"):
        model.predict(table)


@each_library
def test_folds_with_terms(library: str) -> None:
    table, tfidf, labels = with_terms(480)
    settings = {library: tiny(library, terms=5)}
    result = out_of_fold(table[:460], labels[:460], np.arange(460) % 3, settings, tfidf[:460])[library]
    assert np.isfinite(result.valid).all()
    assert np.isfinite(result.fitted[0].predict(table_rows(table[460:], tfidf=tfidf[460:]))).all()
    importance = result.importance
    assert importance["tfidf_1"] > 3 * max(importance[f"tfidf_{term}"] for term in (0, 2, 3, 4))


def worst_table() -> pl.DataFrame:
    """Twenty rows: a constant, a column with nothing in it, one category, a category seen once, an infinite number."""
    return pl.DataFrame(
        {
            "constant": [1.0] * 20,
            "nothing": pl.Series([None] * 20, dtype=pl.Float32),
            "unit": ["ounce"] * 20,
            "brand": ["x"] * 19 + ["y"],
            "grams": [float("inf"), *np.arange(19.0)],
        }
    )


@each_library
def test_twenty_rows_with_everything_wrong(library: str) -> None:
    labels = np.log(np.arange(1.0, 21.0))
    fold = np.arange(20) % 4  # the fold of the last row does not learn its brand
    result = out_of_fold(worst_table(), labels, fold, {library: TINY[library]})[library]
    assert np.isfinite(result.valid).all()
    assert np.abs(result.train - labels).mean() < 0.9 * np.abs(np.median(labels) - labels).mean()
    assert sum(result.importance.values()) == pytest.approx(1)  # every fold's trees have splits


@each_library
def test_nothing_varies(library: str) -> None:
    with pytest.raises(TrainingError, match="none of 4 features varies"):
        out_of_fold(worst_table().drop("grams")[:18], np.arange(18.0), np.arange(18) % 2, {library: TINY[library]})


def test_parts_that_cannot_be_trained_on(small_table: Callable[..., Any]) -> None:
    table, labels = small_table(10)
    every = np.ones(10, dtype=bool)
    with pytest.raises(TrainingError, match="9 prices"):
        train_gbdt_models(table, labels[:9], {"train": every, "valid": every})
    with pytest.raises(TrainingError, match="'valid': 9"):
        train_gbdt_models(table, labels, {"train": every, "valid": every[:9]})
    for none in ({}, {"valid": every}, {"train": ~every, "valid": every}):
        with pytest.raises(TrainingError, match="no row to learn from"):
            train_gbdt_models(table, labels, none)
    with pytest.raises(TrainingError, match="or rounds"):
        train_gbdt_models(table, labels, {"train": every})
    with pytest.raises(ConfigError, match="lightgbm, xgboost, catboost"):
        train_gbdt_models(table, labels, {"train": every, "valid": every}, {"ridge": TINY["lightgbm"]})


class Poison:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@each_library
@pytest.mark.parametrize("damage", ["poisoned", "truncated", "empty", "changed", "missing", "other library"])
def test_damaged_model_file_is_refused_and_runs_nothing(
    library: str, damage: str, small_table: Callable[..., Any], tmp_path: Path
) -> None:
    table, labels = small_table(90)
    train(library, fold_rows(table, labels, 60)).model.save(tmp_path)
    (path,) = tmp_path.glob("model.*")
    data = path.read_bytes()
    ran = tmp_path / "ran"
    new = {
        "poisoned": pickle.dumps(Poison(ran)),
        "truncated": data[: len(data) // 2],
        "empty": b"",
        "changed": data[:-9] + b"x" + data[-8:],
        "missing": b"",
        "other library": b"CBM1 tree\n{}" if library != "catboost" else b"tree\nversion=v4\n",
    }[damage]
    path.write_bytes(new)
    if damage == "missing":
        path.unlink()
    if damage in ("poisoned", "empty", "other library"):  # and somebody made the hash fit
        record = json.loads((tmp_path / "schema.json").read_text())
        record["sha256"] = hashlib.sha256(new).hexdigest()
        (tmp_path / "schema.json").write_text(json.dumps(record))
    with pytest.raises(ArtifactError, match=path.name):
        LIBRARIES[library].Model.load(tmp_path)
    assert not ran.exists()


@each_library
@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99}', '{"format": 5, "features": {}}'])
def test_damaged_schema_file_is_refused(library: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"schema\.json"):
        LIBRARIES[library].Model.load(tmp_path)


def test_libraries_are_imported_only_when_used() -> None:
    """Each of the three brings an OpenMP runtime; a process that prices with one must not load the others."""
    program = (
        "import sys, pricing.members.trees.boosted, pricing.members.tuning.tune, pricing.members.tuning.optimizers;"
        "import pricing.members.lightgbm, pricing.members.xgboost, pricing.members.catboost;"
        "print([name for name in ('lightgbm', 'xgboost', 'catboost', 'optuna', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_catboost_leaves_no_files(
    small_table: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table, labels = small_table(90)
    train("catboost", fold_rows(table, labels, 60))
    assert list(tmp_path.iterdir()) == []
