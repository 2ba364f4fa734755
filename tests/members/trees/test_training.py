"""Training itself: small catalogues, several seeds, the GPU that is there or not."""

import logging
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pricing.errors import TrainingError
from pricing.members.catboost import CatBoostSettings
from pricing.members.tuning.search_space import SPACES
from pricing.members.xgboost import XGBoostSettings, xgboost_params
from tests.members.trees.conftest import each_library, fold_rows, out_of_fold, tiny, train
from tests.members.trees.test_models import worst_table


@pytest.mark.parametrize("objective", ["l1", "l2", "huber", "smape"])
def test_xgboost_splits_twenty_rows_with_its_default_leaves(objective: Any) -> None:
    """The least Hessian sum of a leaf was more than all of them had: one round, a constant, and no word of it."""
    labels = np.log(np.arange(1.0, 21.0))
    settings = XGBoostSettings(objective=objective, huber_alpha=0.1, rounds=50)
    result = out_of_fold(worst_table(), labels, np.arange(20) % 4, {"xgboost": settings})["xgboost"]
    assert sum(result.importance.values()) == pytest.approx(1)
    assert np.abs(result.train - labels).mean() < 0.6


def test_xgboost_leaves_of_a_few_thousand_rows_are_the_configuration_s() -> None:
    _, largest, _ = SPACES["xgboost"]["min_child_weight"]
    for rows, weight in ((200, XGBoostSettings().min_child_weight), (2000, float(largest))):
        settings = XGBoostSettings(min_child_weight=weight)
        assert xgboost_params(settings, rows=rows, seed=0, threads=1)["min_child_weight"] == weight


def test_trees_without_a_split_are_told(caplog: pytest.LogCaptureFixture) -> None:
    settings = {"xgboost": XGBoostSettings(rounds=5, reg_alpha=1e6)}
    with caplog.at_level(logging.WARNING, "pricing.members"):
        out_of_fold(worst_table(), np.arange(20.0), np.arange(20) % 2, settings)
    assert [record.getMessage()[:40] for record in caplog.records] == ["xgboost on 10 rows: no tree has a split,"] * 2


def test_seeds_are_averaged(small_table: Callable[..., Any]) -> None:
    """It once trained the first seed whatever the configuration said."""
    table, labels = small_table(120)
    one, three = (
        out_of_fold(table, labels, np.arange(120) % 2, {"lightgbm": tiny("lightgbm", extra_trees=True, seeds=seeds)})
        for seeds in (1, 3)
    )
    members = three["lightgbm"].fitted
    assert [len(member.models) for member in members] == [3, 3]
    first = [member.models[0].predict(table[::2]) for member in members]
    np.testing.assert_array_equal(one["lightgbm"].valid[::2], first[0])
    each = [model.predict(table[::2]) for model in members[0].models]
    assert len({tuple(prediction) for prediction in each}) == 3
    np.testing.assert_allclose(three["lightgbm"].valid[::2], np.mean(each, axis=0), rtol=1e-12)


gpu = shutil.which("nvidia-smi") is not None


@each_library
@pytest.mark.skipif(gpu, reason="this machine has a GPU")
def test_without_a_gpu_one_error_names_the_way_out(library: str, small_table: Callable[..., Any]) -> None:
    """XGBoost once warned and trained on the CPU; the others failed in words of their own."""
    table, labels = small_table(90)
    with pytest.raises(
        TrainingError, match=rf"^(LightGBM|XGBoost|CatBoost) on 60 rows .* needs members\.{library}\.device=cpu$"
    ):
        train(library, fold_rows(table, labels, 60), tiny(library, device="gpu"))


def test_too_few_rows_are_an_error_with_a_way_out(small_table: Callable[..., Any]) -> None:
    """CatBoost names a file of its own sources and no setting of ours."""
    table, labels = small_table(6)
    with pytest.raises(TrainingError, match=r"^CatBoost on 3 rows x \d+ features: Too few .*use fewer folds .*or more"):
        train("catboost", fold_rows(table, labels, 3), CatBoostSettings(min_category_rows=1))


@each_library
def test_one_price_in_all_rows_that_are_learnt_from(library: str, small_table: Callable[..., Any]) -> None:
    """The one product of another price lies in the fold that is left out; CatBoost refused equal labels."""
    table, labels = small_table(60)
    labels[:40], labels[40:] = 1.5, 2.0
    trained = train(library, fold_rows(table, labels, 40))
    assert trained.model.predict(table[40:]) == pytest.approx(1.5, abs=1e-3)


@each_library
@pytest.mark.skipif(not gpu, reason="this machine has no GPU")
def test_on_a_gpu_it_learns(library: str, small_table: Callable[..., Any]) -> None:
    table, labels = small_table(600)
    longer = tiny(library, rounds=150, early_stopping=40, device="gpu")
    trained = train(library, fold_rows(table, labels, 400), longer)
    residual = trained.model.predict(table[400:]) - labels[400:]
    assert np.abs(residual).mean() < 0.6 * np.abs(np.median(labels[:400]) - labels[400:]).mean()
