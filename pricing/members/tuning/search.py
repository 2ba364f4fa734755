"""Hyperparameter search by Optuna: resumable, the defaults first, pruned by fold, blind to the hold-out.

The study is a SQLite file in the work folder. A killed search goes on where it was: finished trials stay, and the one
that was running is run again. Because the sampler is seeded anew by (seed, number of finished trials) before each
trial, and only the first trials of the budget count, a search of one worker with a trial budget finds the same settings
whether it was interrupted, resumed or extended; a time budget or several workers leave that promise. Of several, all
but the first draw by chance, or two that have seen the same trials would both run the same one next.
"""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from OLD.GBDT import MemberConfig

from pricing.config.tuning import TuningConfig
from pricing.errors import ConfigError, TrainingError
from pricing.members.catboost import CatBoostSettings
from pricing.members.lightgbm import LightGBMSettings
from pricing.members.trees.boosting import train_member
from pricing.members.trees.matrix import FeatureSchema, Matrix
from pricing.members.tuning.search_result import SearchResult, finished_trials, read_study
from pricing.members.tuning.search_space import Space, defaults, space_around, suggest
from pricing.members.xgboost import XGBoostSettings
from pricing.metrics.smape import smape_of_logs

log = logging.getLogger(__name__)

WARM_UP = 8
"""Trials before the sampler models the results and before a trial may be pruned."""

STEP = 200.0
"""SMAPE's range, taken off a trial's report at each fold: Optuna's percentile pruner compares the least of a trial's
reports with the others' at its last step, and so the last one is always the least."""


@dataclass(frozen=True)
class FoldData:
    """One fold of the training part: what is learned from, and what is judged on."""

    schema: FeatureSchema
    train: Matrix
    valid: Matrix


def optimize_lightgbm(
    folds: Sequence[FoldData],
    config: LightGBMSettings,
    search: TuningConfig,
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
    config : LightGBMSettings
        The first trial, and the settings that are not searched.
    search : TuningConfig
        ``trials`` finished trials (pruned ones count) or ``seconds``, whichever ends first.
    seed : int
        Of the sampler and the models.
    work : Path
        Folder of the study of these folds, this configuration and this code; several processes may share it.
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
    return _optimize("lightgbm", folds, config, search, seed=seed, work=work, threads=threads, device=device)


def optimize_xgboost(
    folds: Sequence[FoldData],
    config: XGBoostSettings,
    search: TuningConfig,
    *,
    seed: int = 0,
    work: Path,
    threads: int = 1,
    device: str = "cpu",
) -> SearchResult:
    """Search XGBoost's settings; parameters, result and errors as :func:`optimize_lightgbm`."""
    return _optimize("xgboost", folds, config, search, seed=seed, work=work, threads=threads, device=device)


def optimize_catboost(
    folds: Sequence[FoldData],
    config: CatBoostSettings,
    search: TuningConfig,
    *,
    seed: int = 0,
    work: Path,
    threads: int = 1,
    device: str = "cpu",
) -> SearchResult:
    """Search CatBoost's settings; parameters, result and errors as :func:`optimize_lightgbm`."""
    return _optimize("catboost", folds, config, search, seed=seed, work=work, threads=threads, device=device)


OPTIMIZERS: dict[str, Callable[..., SearchResult]] = {
    "lightgbm": optimize_lightgbm, "xgboost": optimize_xgboost, "catboost": optimize_catboost,
}  # fmt: skip
"""The search of each library; parameters, result and errors as :func:`optimize_lightgbm`."""


def _optimize(
    member: str,
    folds: Sequence[FoldData],
    config: MemberConfig,
    search: TuningConfig,
    *,
    seed: int = 0,
    work: Path,
    threads: int = 1,
    device: str = "cpu",
) -> SearchResult:
    """The search behind the three ``optimize_*`` functions."""
    import optuna

    if not search.enabled:
        raise ConfigError("gbdt.search: trials is 0 and seconds is not set; give the search one of the two budgets")
    if not folds:
        raise TrainingError("the search was given no folds to judge by")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    work.mkdir(parents=True, exist_ok=True)
    space = space_around(member, config)
    objective = _objective(member, folds, config, space, seed=seed, threads=threads, device=device)
    path, name = work / f"{member}.sqlite3", f"{member}-{seed}"

    def when_alone() -> None:
        study = _open_study(path, name)
        _fail_orphans(study)
        _enqueue_defaults(study, defaults(config, space))

    with _worker(work, member, when_alone) as first:
        study = _open_study(path, name)
        started, spent = time.monotonic(), _seconds(study)  # of the budget, what earlier processes have used
        while True:
            done = len(finished_trials(study))
            if search.trials and done >= search.trials:
                break
            late = search.seconds is not None and spent + time.monotonic() - started >= search.seconds
            if done and late:  # the defaults are always judged
                break
            entropy = (seed, done) if first else None
            sampler_seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
            study.sampler = optuna.samplers.TPESampler(seed=sampler_seed, n_startup_trials=WARM_UP)
            study.optimize(objective, n_trials=1)
    return read_study(member, study, list(space), seed=seed, limit=search.trials or None, least=WARM_UP)


def _open_study(path: Path, name: str) -> Any:
    import optuna

    storage = optuna.storages.RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 60}})
    # a quarter, not the median: TPE's later trials are nearly all above the median, and the folds are the same ones
    pruner = optuna.pruners.PercentilePruner(25.0, n_startup_trials=WARM_UP, n_min_trials=3)
    return optuna.create_study(
        storage=storage, study_name=name, pruner=pruner, direction="minimize", load_if_exists=True
    )


def _enqueue_defaults(study: Any, settings: dict[str, Any]) -> None:
    """Put the configuration's own settings first, unless a trial of them waits, runs or has finished."""
    from optuna.trial import TrialState

    alive = (TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE)
    if not any(trial.user_attrs.get("defaults") for trial in study.get_trials(deepcopy=False, states=alive)):
        study.enqueue_trial(settings, user_attrs={"defaults": True})


def _objective(
    member: str,
    folds: Sequence[FoldData],
    config: MemberConfig,
    space: Space,
    *,
    seed: int,
    threads: int,
    device: str,
) -> Callable[[Any], float]:
    import optuna

    def objective(trial: Any) -> float:
        settings = type(config).model_validate({**config.model_dump(), **suggest(trial, space)})
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
            trial.report(so_far - STEP * step, step)
            if step + 1 < len(folds) and not trial.user_attrs.get("defaults") and trial.should_prune():
                trial.set_user_attr("smape", so_far)  # Optuna keeps what was reported
                raise optuna.TrialPruned
        trial.set_user_attr("rounds", int(np.median(rounds)))
        log.info("%s trial %d: SMAPE %.3f, %s", member, trial.number, so_far, trial.params)
        return so_far

    return objective


def _seconds(study: Any) -> float:
    """Seconds that the finished trials took."""
    return sum(trial.duration.total_seconds() for trial in finished_trials(study) if trial.duration)


def _fail_orphans(study: Any) -> None:
    """Mark trials whose process was killed as failed; only while no other worker is alive."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)


@contextmanager
def _worker(work: Path, member: str, when_alone: Callable[[], None]) -> Iterator[bool]:
    """Hold a shared lock while working; the kernel frees that of a killed process. Yields whether it is the first.

    A worker that finds no other calls ``when_alone`` under an exclusive lock: no other one creates the tables or starts
    a trial meanwhile. Of those at work at most one is the first.
    """
    with (work / f"{member}.lock").open("a") as lock, (work / f"{member}.first").open("a") as turn:
        if _taken(lock):
            when_alone()
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield _taken(turn)


def _taken(file: IO[str]) -> bool:
    """Whether the file's lock was free, and is held now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
