"""The search: defaults first, resumable after kill -9 with the same outcome, budgets, pruning."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from pricing.config.tuning import TuningConfig
from pricing.errors import ConfigError, TrainingError
from pricing.members.lightgbm import LightGBMSettings
from pricing.members.trees.matrix import EncodedFold, Matrix
from pricing.members.tuning.optimizers import optimize_catboost, optimize_lightgbm, optimize_xgboost
from pricing.members.tuning.search_result import SearchResult
from pricing.members.tuning.search_space import SPACES, space_around
from pricing.metrics.smape import smape_of_logs
from tests.members.trees.conftest import TINY, fold_rows, make_table

ROOT = Path(__file__).resolve().parents[3]
TRIALS = 20


START = LightGBMSettings.model_validate(TINY["lightgbm"].model_dump())


def make_folds(rows: int = 240, count: int = 3) -> list[EncodedFold]:
    table, labels = make_table(rows, 1)
    folds = []
    for number in range(count):
        order = np.argsort(np.arange(rows) % count == number, kind="stable")  # the fold's own rows last
        given = fold_rows(table[order], labels[order], rows - rows // count)
        folds.append(EncodedFold.encode(given, START))
    return folds


def search(work: Path, trials: int = TRIALS) -> SearchResult:
    return optimize_lightgbm(make_folds(), START, TuningConfig(trials=trials), seed=3, work=work)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    return search(tmp_path_factory.mktemp("undisturbed"))


def test_defaults_are_the_first_trial(undisturbed: SearchResult) -> None:
    from pricing.members.lightgbm import train_lightgbm

    first = undisturbed.trials[0]["settings"]
    space = space_around("lightgbm", START)
    for name in SPACES["lightgbm"]:
        default = getattr(START, name)
        assert first[name] == (default if isinstance(default, str) else max(default, space[name][0]))
    errors, rows = 0.0, 0
    for fold in make_folds():
        assert fold.valid is not None
        config = LightGBMSettings(**{**START.model_dump(), **{name: first[name] for name in SPACES["lightgbm"]}})
        model = train_lightgbm(fold.train, fold.valid, fold.encoder, config, seed=3).model
        errors += smape_of_logs(model.predict_values(fold.valid.values), fold.valid.labels) * len(fold.valid)
        rows += len(fold.valid)
    assert undisturbed.default_smape == pytest.approx(errors / rows)


def test_the_best_trial_is_returned_and_some_are_pruned(undisturbed: SearchResult) -> None:
    complete = [trial for trial in undisturbed.trials if trial["state"] == "complete"]
    assert [trial["number"] for trial in undisturbed.trials] == list(range(TRIALS))
    best = min(complete, key=lambda trial: trial["smape"])
    assert (undisturbed.smape, undisturbed.params) == (best["smape"], best["settings"])
    assert undisturbed.default_smape is not None
    assert undisturbed.smape < undisturbed.default_smape
    assert len(complete) < TRIALS
    assert sum(undisturbed.importances.values()) == pytest.approx(1)


def test_a_trial_is_pruned_by_what_its_folds_so_far_come_to(tmp_path: Path) -> None:
    """The first fold is much the easiest. Its SMAPE alone, less than anybody's mean over two, once kept every trial."""
    folds = make_folds()
    noise = np.random.default_rng(0)
    for number, fold in enumerate(folds[1:], start=1):
        assert fold.valid is not None
        worse = Matrix(fold.valid.values, fold.valid.labels + noise.normal(0, 1, len(fold.valid)))
        folds[number] = replace(fold, valid=worse)
    optimize_lightgbm(folds, START, TuningConfig(trials=26), seed=3, work=tmp_path)
    study = optuna.load_study(study_name="lightgbm-3", storage=f"sqlite:///{tmp_path / 'lightgbm.sqlite3'}")
    so_far = [
        [value + 200 * step for step, value in sorted(trial.intermediate_values.items())] for trial in study.trials
    ]
    pruned_after = [
        len(means) for trial, means in zip(study.trials, so_far, strict=True) if trial.state.name == "PRUNED"
    ]
    assert {1, 2} == set(pruned_after)
    for number, means in enumerate(so_far):
        complete = [so_far[other] for other in range(number) if study.trials[other].state.name == "COMPLETE"]
        if len(complete) >= 8:
            allowed = np.percentile(np.array(complete), 25, axis=0)
            beaten = [step for step in (0, 1) if step < len(means) and means[step] > allowed[step]]
            assert len(means) == (beaten[0] + 1 if beaten else 3)
        else:
            assert len(means) == 3


def test_resumed_in_pieces_it_finds_the_same(undisturbed: SearchResult, tmp_path: Path) -> None:
    for trials in (1, 7, TRIALS):
        resumed = search(tmp_path, trials)
        assert len(resumed.trials) == trials
    assert resumed == undisturbed


def test_a_smaller_budget_does_not_profit_from_a_larger_study(undisturbed: SearchResult, tmp_path: Path) -> None:
    """A study that went on once gave its later trials to a search that had not paid for them."""
    search(tmp_path, 6)
    assert search(tmp_path, 4) == search(tmp_path / "fresh", 4)


def test_three_workers_share_a_study(tmp_path: Path) -> None:
    """Each starts trials of its own; together they keep to the budget, up to the trial that each has in hand."""
    budget, environment = 12, {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-c", TOGETHER, str(tmp_path), str(budget)]
    workers = [subprocess.Popen(program, env=environment, cwd=tmp_path) for _ in range(3)]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0, 0]
    states = [state for (state,) in ask(tmp_path, "select state from trials")]
    assert set(states) <= {"COMPLETE", "PRUNED"}  # none took another's running trial for a dead one
    assert budget <= len(states) <= budget + 2
    spans = ask(tmp_path, "select datetime_start, datetime_complete from trials order by datetime_start")
    assert any(later[0] < earlier[1] for earlier, later in pairwise(spans))
    # two that started with as many trials finished once drew the same one
    assert len(set(ask(tmp_path, "select group_concat(param_value) from trial_params group by trial_id"))) == len(
        states
    )
    assert len(search(tmp_path, budget).trials) == budget


TOGETHER = """
import sys, time
from pathlib import Path
from pricing.members.lightgbm import LightGBM
from tests.members.tuning.test_search import ask, search as run
work, train = Path(sys.argv[1]), LightGBM.train
def together(*args, **options):
    while len(ask(work, "select 1 from trials where state <> 'WAITING'")) < 3:
        time.sleep(0.02)  # until all three have drawn their first
    return train(*args, **options)
LightGBM.train = staticmethod(together)
run(work, int(sys.argv[2]))
"""


PROGRAM = """
import sys, time
from pathlib import Path
from pricing.members.lightgbm import LightGBM
from tests.members.tuning.test_search import search as run
train = LightGBM.train
def slow(*args, **options):
    time.sleep(0.05)  # so that the kill lands inside a trial
    return train(*args, **options)
LightGBM.train = staticmethod(slow)
run(Path(sys.argv[1]))
"""


def ask(work: Path, question: str) -> list[tuple[Any, ...]]:
    """Rows of the study; none before there is one."""
    try:
        with closing(sqlite3.connect(f"file:{work / 'lightgbm.sqlite3'}?mode=ro", uri=True)) as study:
            return study.execute(question).fetchall()
    except sqlite3.OperationalError:
        return []


def finished(work: Path) -> dict[int, tuple[str, str]]:
    """When each finished trial started and ended."""
    asked = "select trial_id, datetime_start, datetime_complete from trials where state in ('COMPLETE', 'PRUNED')"
    return {trial: (start, end) for trial, start, end in ask(work, asked)}


def test_kill_9_loses_no_finished_trial(undisturbed: SearchResult, tmp_path: Path) -> None:
    """Killed in its first trial (the defaults) and again later, then resumed: the undisturbed search's outcome."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    kept: dict[int, tuple[str, str]] = {}
    for least in (0, 4):
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)], env=environment, cwd=tmp_path)
        deadline = time.monotonic() + 60
        while len(finished(tmp_path)) < least or not ask(tmp_path, "select 1 from trials where state = 'RUNNING'"):
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept = finished(tmp_path)
        assert least <= len(kept) < TRIALS
    resumed = search(tmp_path)
    assert resumed == undisturbed
    after = finished(tmp_path)
    assert len(after) == TRIALS
    assert {trial: after.get(trial) for trial in kept} == kept  # not run again to the same figures


@pytest.mark.parametrize(("member", "search"), [("xgboost", optimize_xgboost), ("catboost", optimize_catboost)])
def test_the_other_libraries(member: str, search: Callable[..., SearchResult], tmp_path: Path) -> None:
    result = search(make_folds(count=2), TINY[member], TuningConfig(trials=3), work=tmp_path / "new")
    assert set(result.params) == set(SPACES[member])
    assert result.default_smape is not None
    assert result.smape <= result.default_smape
    assert result.importances == {}


def test_budgets(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tuning\.trials is 0 and tuning\.seconds"):
        optimize_lightgbm(make_folds(), START, TuningConfig(), work=tmp_path)
    with pytest.raises(TrainingError, match="no folds"):
        optimize_lightgbm([], START, TuningConfig(trials=1), work=tmp_path)
    timed = optimize_lightgbm(make_folds(), START, TuningConfig(seconds=1), work=tmp_path)
    assert 1 <= len(timed.trials) < 500
    # the seconds are the study's, not the process's: a search that was killed does not get them twice; what passes
    # between its trials does not count
    again = optimize_lightgbm(make_folds(), START, TuningConfig(seconds=1), work=tmp_path)
    assert len(again.trials) < 1.7 * len(timed.trials) + 1


def test_space_holds_the_settings_it_starts_from() -> None:
    config = LightGBMSettings(objective="l2", num_leaves=500, learning_rate=0.001, lambda_l1=0)
    space = space_around("lightgbm", config)
    assert space["objective"] == ("l1", "huber", "smape", "l2")
    assert space["num_leaves"][1] == 500
    assert space["learning_rate"][0] == 0.001
    assert space["lambda_l1"][0] > 0
