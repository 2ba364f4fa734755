"""Hyperparameter search by Optuna: resumable, the defaults first, pruned by fold, blind to the hold-out.

The study is a SQLite file in the work folder. A killed search is resumed: finished trials stay, and the one
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
from pathlib import Path
from typing import IO, Any

import numpy as np

from pricing.config.tuning import TuningConfig
from pricing.errors import ConfigError, TrainingError
from pricing.members.trees.boosted import BoostedMember
from pricing.members.trees.matrix import EncodedFold
from pricing.members.trees.tree_settings import TreeSettings
from pricing.members.tuning.search_result import SearchResult, finished_trials, read_study
from pricing.members.tuning.search_space import Space, defaults, space_around, suggest
from pricing.metrics.smape import smape_of_logs

logger = logging.getLogger(__name__)

# number of trials before the sampler models the results and before a trial may be pruned
WARM_UP = 8

# SMAPE's range, taken off a trial's report at each fold: Optuna's percentile pruner compares the least of a trial's
# reports with the others' at its last step, and so the last one is always the least
STEP = 200.0


def optimize(
    member: type[BoostedMember],
    folds: Sequence[EncodedFold],
    settings: TreeSettings,
    tuning: TuningConfig,
    *,
    seed: int = 0,
    work: Path,
    threads: int = 1,
) -> SearchResult:
    """Search a member's settings.

    Parameters
    ----------
    member : type of BoostedMember
        What is trained; `SPACES` says which of its settings are searched.
    folds : sequence of EncodedFold
        Folds of the training part; no hold-out row belongs here.
    settings : TreeSettings
        The first trial, and the settings that are not searched.
    tuning : TuningConfig
        ``trials`` finished trials (pruned ones count) or ``seconds``, whichever ends first.
    seed : int
        Of the sampler and the models.
    work : Path
        Folder of the study of these folds, these settings and this code; several processes may share it.
    threads : int
        Cores.

    Raises
    ------
    ConfigError
        Neither budget is set.
    TrainingError
        No trial finished.
    """
    import optuna

    if not tuning.enabled:
        raise ConfigError("tuning.trials is 0 and tuning.seconds is not set; give the search one of the two budgets")
    if not folds:
        raise TrainingError("the search was given no folds to judge by")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    work.mkdir(parents=True, exist_ok=True)
    space = space_around(member.name, settings)
    objective = _objective(member, folds, settings, space, seed=seed, threads=threads)
    path, name = work / f"{member.name}.sqlite3", f"{member.name}-{seed}"

    def when_alone() -> None:
        study = _open_study(path, name)
        _fail_orphans(study)
        _enqueue_defaults(study, defaults(settings, space))

    with _worker(work, member.name, when_alone) as first:
        study = _open_study(path, name)
        # of the budget, what earlier processes have used
        started, spent = time.monotonic(), _seconds(study)
        while True:
            done = len(finished_trials(study))
            if tuning.trials and done >= tuning.trials:
                break
            late = tuning.seconds is not None and spent + time.monotonic() - started >= tuning.seconds
            if done and late:  # the defaults are always judged
                break
            entropy = (seed, done) if first else None
            sampler_seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
            study.sampler = optuna.samplers.TPESampler(seed=sampler_seed, n_startup_trials=WARM_UP)
            study.optimize(objective, n_trials=1)
    return read_study(member.name, study, list(space), seed=seed, limit=tuning.trials or None, least=WARM_UP)


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
    member: type[BoostedMember],
    folds: Sequence[EncodedFold],
    settings: TreeSettings,
    space: Space,
    *,
    seed: int,
    threads: int,
) -> Callable[[Any], float]:
    import optuna

    judged = [(fold, fold.valid) for fold in folds if fold.valid is not None]

    def objective(trial: Any) -> float:
        tried = type(settings).model_validate({**settings.model_dump(), **suggest(trial, space)})
        rounds: list[int] = []
        scores: list[float] = []
        for step, (fold, valid) in enumerate(judged):
            trained = member.train(fold.train, valid, fold.encoder, tried, seed=seed, threads=threads)
            predicted = trained.model.predict_values(valid.values, threads=threads)
            scores.append(smape_of_logs(predicted, valid.labels))
            rounds.append(trained.best_round)
            so_far = float(np.average(scores, weights=[len(rows) for _, rows in judged[: step + 1]]))
            trial.report(so_far - STEP * step, step)
            if step + 1 < len(judged) and not trial.user_attrs.get("defaults") and trial.should_prune():
                trial.set_user_attr("smape", so_far)  # Optuna keeps what was reported
                raise optuna.TrialPruned
        trial.set_user_attr("rounds", int(np.median(rounds)))
        logger.info("%s trial %d: SMAPE %.3f, %s", member.name, trial.number, so_far, trial.params)
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
