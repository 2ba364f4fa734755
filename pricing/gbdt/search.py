"""Hyperparameter search by Optuna: resumable, the defaults first, pruned by fold, blind to the hold-out.

The study is a SQLite file in the work folder. A killed search goes on where it was: finished trials stay, and the one
that was running is run again. Because the sampler is seeded anew by (seed, number of finished trials) before each
trial, a search of one worker with a trial budget finds the same settings whether it was interrupted or not; a time
budget or several workers leave that promise.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pricing.config.base import Section
from pricing.config.gbdt import CatBoostConfig, LightGBMConfig, SearchConfig, XGBoostConfig
from pricing.errors import ConfigError, TrainingError
from pricing.gbdt.matrix import FeatureSchema, Matrix
from pricing.gbdt.objectives import smape_of_logs
from pricing.gbdt.training import train_member

log = logging.getLogger(__name__)

WARM_UP = 8
"""Trials before the sampler models the results and before a trial may be pruned."""

# name -> (low, high, log scale) or the choices
Space = dict[str, tuple[float, float, bool] | tuple[int, int, bool] | tuple[str, ...]]

SPACES: dict[str, Space] = {
    "lightgbm": {
        "objective": ("l1", "huber", "smape"),
        "huber_alpha": (0.1, 1.5, True),
        "learning_rate": (0.015, 0.1, True),
        "num_leaves": (7, 127, True),
        "min_data_in_leaf": (5, 100, True),
        "feature_fraction": (0.1, 0.9, False),
        "bagging_fraction": (0.5, 1.0, False),
        "lambda_l1": (1e-3, 10.0, True),
        "lambda_l2": (1e-3, 30.0, True),
    },
    "xgboost": {
        "objective": ("l1", "huber", "smape"),
        "huber_alpha": (0.1, 1.5, True),
        "learning_rate": (0.015, 0.1, True),
        "max_depth": (3, 10, False),
        "min_child_weight": (0.5, 50.0, True),
        "subsample": (0.5, 1.0, False),
        "colsample_bytree": (0.1, 0.9, False),
        "reg_alpha": (1e-3, 10.0, True),
        "reg_lambda": (1e-2, 30.0, True),
    },
    "catboost": {
        "objective": ("MAE", "RMSE", "Huber"),
        "huber_delta": (0.1, 1.5, True),
        "learning_rate": (0.02, 0.15, True),
        "depth": (4, 8, False),
        "l2_leaf_reg": (0.5, 30.0, True),
        "rsm": (0.1, 0.9, False),
        "subsample": (0.5, 1.0, False),
    },
}


@dataclass(frozen=True)
class FoldData:
    """One fold of the training part: what is learned from, and what is judged on."""

    schema: FeatureSchema
    train: Matrix
    valid: Matrix


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes
    ----------
    params : dict
        The best trial's settings, by the names of the member's configuration section.
    smape : float
        Its SMAPE over the validation rows of all folds judged, in percent.
    default_smape : float or None
        The same for the settings that the search started from.
    rounds : int
        The median best round of the best trial's folds.
    trials : polars.DataFrame
        number, state, smape, and each setting, in the order they were started.
    importances : dict of str to float
        Share of each setting in the variance of SMAPE (fANOVA); empty with few finished trials.
    """

    params: dict[str, Any]
    smape: float
    default_smape: float | None
    rounds: int
    trials: pl.DataFrame
    importances: dict[str, float]


def optimize_lightgbm(
    folds: Sequence[FoldData],
    config: LightGBMConfig,
    search: SearchConfig,
    *,
    seed: int = 0,
    work: Path,
    threads: int = 1,
    device: str = "cpu",
) -> SearchResult:
    """Search LightGBM's settings.

    Parameters
    ----------
    folds : sequence of FoldData
        Folds of the training part; no hold-out row belongs here.
    config : LightGBMConfig
        The first trial, and the settings that are not searched.
    search : SearchConfig
        ``trials`` finished trials (pruned ones count) or ``seconds``, whichever ends first.
    seed : int
        Of the sampler and the models.
    work : Path
        Folder of the study; several processes may share it.
    threads, device
        As in training.

    Returns
    -------
    SearchResult

    Raises
    ------
    ConfigError
        Neither budget is set.
    TrainingError
        No trial finished.
    """
    return optimize_member("lightgbm", folds, config, search, seed=seed, work=work, threads=threads, device=device)


def optimize_xgboost(
    folds: Sequence[FoldData],
    config: XGBoostConfig,
    search: SearchConfig,
    *,
    seed: int = 0,
    work: Path,
    threads: int = 1,
    device: str = "cpu",
) -> SearchResult:
    """Search XGBoost's settings; parameters, result and errors as :func:`optimize_lightgbm`."""
    return optimize_member("xgboost", folds, config, search, seed=seed, work=work, threads=threads, device=device)


def optimize_catboost(
    folds: Sequence[FoldData],
    config: CatBoostConfig,
    search: SearchConfig,
    *,
    seed: int = 0,
    work: Path,
    threads: int = 1,
    device: str = "cpu",
) -> SearchResult:
    """Search CatBoost's settings; parameters, result and errors as :func:`optimize_lightgbm`."""
    return optimize_member("catboost", folds, config, search, seed=seed, work=work, threads=threads, device=device)


def optimize_member(
    member: str,
    folds: Sequence[FoldData],
    config: Section,
    search: SearchConfig,
    *,
    seed: int = 0,
    work: Path,
    threads: int = 1,
    device: str = "cpu",
) -> SearchResult:
    """The search behind the three ``optimize_*`` functions."""
    import optuna
    from optuna.trial import TrialState

    if not search.trials and search.seconds is None:
        raise ConfigError("gbdt.search: trials is 0 and seconds is not set; give the search one of the two budgets")
    if not folds:
        raise TrainingError("the search was given no folds to judge by")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    work.mkdir(parents=True, exist_ok=True)
    space = space_around(member, config)
    deadline = None if search.seconds is None else time.monotonic() + search.seconds
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{work / f'{member}.sqlite3'}", engine_kwargs={"connect_args": {"timeout": 60}}
    )
    # a quarter, not the median: TPE's later trials are nearly all above the median, and the folds are the same ones
    pruner = optuna.pruners.PercentilePruner(25.0, n_startup_trials=WARM_UP, n_min_trials=3)
    study = optuna.create_study(
        storage=storage, study_name=f"{member}-{seed}", pruner=pruner, direction="minimize", load_if_exists=True
    )
    objective = _objective(member, folds, config, space, seed=seed, threads=threads, device=device)
    with _worker(work / f"{member}.lock") as alone:
        if alone:  # then whatever is still marked as running belongs to a process that was killed
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        while True:
            done = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))
            if search.trials and done >= search.trials:
                break
            if done and deadline is not None and time.monotonic() >= deadline:  # the defaults are always judged
                break
            _enqueue_defaults(study, config, space)
            sampler_seed = int(np.random.SeedSequence((seed, done)).generate_state(1)[0])
            study.sampler = optuna.samplers.TPESampler(seed=sampler_seed, n_startup_trials=WARM_UP)
            study.optimize(objective, n_trials=1)
    return _result(member, study, seed)


def space_around(member: str, config: Section) -> Space:
    """The member's search space, widened where the configuration's own value lies outside."""
    space: Space = {}
    for name, bounds in SPACES[member].items():
        value = getattr(config, name)
        if isinstance(bounds[0], str):
            choices = tuple(str(choice) for choice in bounds)
            space[name] = choices if value in choices else (*choices, value)
        else:
            low, high, log_scale = bounds
            # a penalty of 0 is no point of a log scale; its nearest is the low end, as good as 0
            space[name] = (low if log_scale and value == 0 else min(low, value), max(high, value), log_scale)
    return space


def _suggest(trial: Any, space: Space) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, bounds in space.items():
        if isinstance(bounds[0], str):
            found[name] = trial.suggest_categorical(name, list(bounds))
        else:
            low, high, log_scale = bounds
            suggest = trial.suggest_int if isinstance(low, int) and isinstance(high, int) else trial.suggest_float
            found[name] = suggest(name, low, high, log=log_scale)
    return found


def _enqueue_defaults(study: Any, config: Section, space: Space) -> None:
    """Put the configuration's own settings first, unless a trial of them waits, runs or has finished."""
    from optuna.trial import TrialState

    alive = (TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE)
    if any(trial.user_attrs.get("defaults") for trial in study.get_trials(deepcopy=False, states=alive)):
        return
    defaults = {}
    for name, bounds in space.items():
        value = getattr(config, name)
        defaults[name] = value if isinstance(bounds[0], str) else max(value, bounds[0])
    study.enqueue_trial(defaults, user_attrs={"defaults": True})


def _objective(
    member: str,
    folds: Sequence[FoldData],
    config: Section,
    space: Space,
    *,
    seed: int,
    threads: int,
    device: str,
) -> Callable[[Any], float]:
    import optuna

    def objective(trial: Any) -> float:
        settings = type(config).model_validate({**config.model_dump(), **_suggest(trial, space)})
        rounds: list[int] = []
        scores: list[float] = []
        for step, fold in enumerate(folds):
            trained = train_member(
                member, fold.train, fold.valid, fold.schema, settings, seed=seed, threads=threads, device=device
            )
            predicted = trained.model.predict_values(fold.valid.values, threads=threads)
            scores.append(smape_of_logs(predicted, fold.valid.labels))
            rounds.append(trained.best_round)
            so_far = float(np.average(scores, weights=[len(judged.valid) for judged in folds[: step + 1]]))
            trial.report(so_far, step)
            if step + 1 < len(folds) and not trial.user_attrs.get("defaults") and trial.should_prune():
                raise optuna.TrialPruned
        trial.set_user_attr("rounds", int(np.median(rounds)))
        log.info("%s trial %d: SMAPE %.3f, %s", member, trial.number, so_far, trial.params)
        return so_far

    return objective


@contextmanager
def _worker(lock: Path) -> Iterator[bool]:
    """Hold a shared lock while working; yields whether no other worker was alive. The kernel frees a killed one's."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = True
        except BlockingIOError:
            alone = False
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield alone
    finally:
        os.close(descriptor)


def _result(member: str, study: Any, seed: int) -> SearchResult:
    import optuna
    from optuna.trial import TrialState

    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not finished:
        raise TrainingError(f"{member}: no trial of the search finished; give it more trials or more seconds")
    best = min(finished, key=lambda trial: (trial.value, trial.number))
    defaults = [trial.value for trial in finished if trial.user_attrs.get("defaults")]
    names = list(SPACES[member])
    trials = pl.DataFrame(
        [
            {"number": number, "state": trial.state.name.lower(), "smape": trial.value, **trial.params}
            # failed ones were killed: how many there are, and so Optuna's own numbers, depends on luck
            for number, trial in enumerate(
                study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
            )
        ],
        infer_schema_length=None,
    ).select("number", "state", "smape", *names)
    importances: dict[str, float] = {}
    if len(finished) >= WARM_UP and len({trial.value for trial in finished}) > 1:
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
        importances = {name: float(share) for name, share in found.items()}
    return SearchResult(
        dict(best.params),
        float(best.value),
        float(defaults[0]) if defaults else None,
        int(best.user_attrs["rounds"]),
        trials,
        importances,
    )


def write_search(result: SearchResult, out: Path) -> None:
    """Write params.json, trials.parquet and importances.json into an existing folder."""
    record = {
        "params": result.params,
        "smape": result.smape,
        "default_smape": result.default_smape,
        "rounds": result.rounds,
        "trials": result.trials.height,
    }
    (out / "params.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (out / "importances.json").write_text(
        json.dumps(result.importances, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
    result.trials.write_parquet(out / "trials.parquet")
