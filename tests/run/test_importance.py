"""What drives prices: a run's hold-out with a family or a column permuted."""

import shutil
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pricing.config.columns import CHALLENGE, ColumnsConfig
from pricing.download.images import Images
from pricing.errors import InputError
from pricing.explain.items import AMOUNT, BRAND, CLAIMS, COMPARABLES, LINEAR, Items
from pricing.features.engineer import FeatureEngineer
from pricing.run import importance
from pricing.run import model as run_model
from pricing.run.drivers import importance_of_run, write_drivers
from pricing.run.importance import HoldoutRows, measure_importance, without_refit
from pricing.run.model import REFIT, RunModel
from tests.features.conftest import CONFIG, make_products
from tests.run.small_run import MEMBERS, REPORT, SmallRun


@pytest.fixture
def model(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> RunModel:
    monkeypatch.setattr(run_model, "member_classes", lambda: MEMBERS)
    return RunModel.load(outputs / "model", threads=1)


def test_a_run_says_what_drives_prices(small_run: SmallRun, outputs: Path, model: RunModel, tmp_path: Path) -> None:
    """Prices are made of brand and amount; claims are nothing to them."""
    shutil.copytree(outputs, tmp_path / "out")
    catalogue, features = small_run.inputs["catalogue"], small_run.inputs["features"]
    wanted = REPORT.model_copy(update={"driver_rows": 50})
    images = Images(pl.read_parquet(small_run.inputs["images"] / "images.parquet"), small_run.inputs["image_folder"])
    write_drivers(tmp_path / "out", catalogue, features, images, wanted, 0)
    table = pl.read_parquet(tmp_path / "out" / "evaluation" / "drivers.parquet")
    assert table.columns == ["kind", "name", "increase", "low", "high"]
    assert table["kind"].unique().to_list() == ["family"]  # no column is declared
    assert table["increase"].is_sorted(descending=True)
    assert (
        table.select((pl.col("low") <= pl.col("increase")) & (pl.col("increase") <= pl.col("high"))).to_series().all()
    )
    found = dict(table.select("name", "increase").iter_rows())
    assert found[AMOUNT] > found[CLAIMS] + 5
    assert LINEAR not in found
    # the ridge reads no comparables, and the made-up member neither
    assert table.row(by_predicate=pl.col("name") == COMPARABLES)[2:] == (0.0, 0.0, 0.0)
    # the explained prices are those that the report shows of the worst rows, of models that have not seen them
    explained = pl.read_parquet(tmp_path / "out" / "evaluation" / "explained.parquet")
    shown = pl.read_parquet(outputs / "evaluation" / "holdout.parquet")
    error = (shown["stack"] / shown["price"]).log().abs()
    worst = shown.with_columns(error=error).sort("error", descending=True)["sample_id"].head(REPORT.worst)
    assert explained["sample_id"].unique(maintain_order=True).to_list() == worst.to_list()
    priced = explained.join(shown.select("sample_id", "stack"), on="sample_id")
    assert priced["price"].to_numpy() == pytest.approx(priced["stack"].to_numpy(), rel=1e-6)


def test_a_run_that_wants_none_writes_none(outputs: Path) -> None:
    assert not (outputs / "evaluation" / "drivers.parquet").exists()
    assert not (outputs / "evaluation" / "explained.parquet").exists()


def test_equal_arguments_give_equal_figures(outputs: Path, model: RunModel) -> None:
    first, again = (importance_of_run(model, outputs, lambda frame: None, 12, 2, 1) for _ in range(2))
    assert first.equals(again)
    assert not first.equals(importance_of_run(model, outputs, lambda frame: None, 12, 2, 2))


def test_a_model_alone_has_no_hold_out(outputs: Path, model: RunModel) -> None:
    with pytest.raises(InputError, match="give the run"):
        importance_of_run(model, outputs / "model", lambda frame: None, 12, 2, 1)


def test_what_the_refit_says_changes_nothing(small_run: SmallRun, model: RunModel) -> None:
    """It has learnt from the hold-out."""
    frame = small_run.frame[:10]
    rows = HoldoutRows(frame, model.engineer.transform(frame), np.zeros(10))
    other = copy(model.members["shifted"][REFIT])
    other.shift = 9.0  # type: ignore[attr-defined]
    changed = replace(model, members={**model.members, "shifted": {**model.members["shifted"], REFIT: other}})
    first, second, third = (measure_importance(one, rows, 1, 0) for one in (model, changed, without_refit(model)))
    assert first.equals(second)
    assert first.equals(third)


def test_intervals_are_those_of_a_mean() -> None:
    """Against the normal approximation; repeats that say the same widen nothing, those that do not do."""
    rng = np.random.default_rng(3)
    row = rng.normal(2.0, 5.0, 400)
    alike = np.stack([row, row, row])
    apart = alike + np.array([[-1.0], [0.0], [1.0]])
    low, high = importance._interval(np.stack([alike, apart]), np.random.default_rng(0))
    half = 1.96 * row.std() / 20
    assert (low[0], high[0]) == pytest.approx((row.mean() - half, row.mean() + half), abs=0.08)
    wider = 1.96 * np.hypot(row.std() / 20, np.sqrt(2 / 3 / 3))
    assert high[1] - low[1] == pytest.approx(2 * wider, rel=0.15)


def test_a_declared_column_changes_what_is_made_of_it_alone() -> None:
    """Values change places; the text, the brand in it and the other columns stay."""
    frame = make_products(40).frame.with_columns(
        pl.Series("number:weight", np.arange(40.0)),
        pl.Series("category:maker", [f"m{place % 7}" for place in range(40)]),
    )
    roles = ColumnsConfig(id="sku", title="name", price="price", category=("maker",), number=("weight",))
    engineer = FeatureEngineer(CONFIG, columns=roles).fit(frame)
    features = engineer.transform(frame)
    assert engineer.tfidf is not None
    items = Items(roles, features.schema.columns, engineer.tfidf.blocks)
    rows, order = HoldoutRows(frame, features, np.zeros(40)), np.random.default_rng(0).permutation(40)
    model = RunModel(engineer, {}, {}, None, 2, None, None, None, None, Path())  # type: ignore[arg-type]
    for name in ("weight", "maker"):
        made = importance._column(model, rows, items, name, order).features
        same = {column for column in made.tabular.columns
                if made.tabular[column].eq_missing(features.tabular[column]).all()}  # fmt: skip
        assert set(made.tabular.columns) - same == items.columns_of(name)
        own = next(iter(items.columns_of(name)))
        assert made.tabular[own].equals(features.tabular[own].gather(order), null_equal=True)
    before, after = (np.asarray(one.tfidf.sum(axis=0)).ravel() for one in (features, made))
    moved = np.asarray((made.tfidf != features.tfidf).sum(axis=0)).ravel() > 0
    assert moved.any()
    assert not moved[np.asarray(items.terms[:, items.place("maker")].todense()).ravel() == 0].any()
    assert before == pytest.approx(after)  # no value is lost


def test_a_family_moves_as_one(model: RunModel) -> None:
    products, engineer = make_products(60), model.engineer
    features = engineer.transform(products.frame)
    assert engineer.tfidf is not None
    items = Items(CHALLENGE, features.schema.columns, engineer.tfidf.blocks)
    rows, order = HoldoutRows(products.frame, features, products.log_price), np.random.default_rng(0).permutation(60)
    made = importance._family(rows, items, BRAND, order).features
    own = sorted(items.columns_of(BRAND))
    assert made.tabular.select(own).equals(features.tabular[order].select(own), null_equal=True)
    rest = [name for name in made.tabular.columns if name not in own]
    assert made.tabular.select(rest).equals(features.tabular.select(rest), null_equal=True)
    assert (made.tfidf != features.tfidf).nnz == 0
