"""Runs a plan as Prefect tasks: in one process of its own per lane, or on the workers of a Dask scheduler."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from prefect import get_run_logger
from prefect.client.schemas.objects import RunInput
from prefect.futures import PrefectFuture
from prefect.logging.configuration import ensure_logging_setup
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner
from prefect.utilities.engine import collect_task_run_inputs_sync

from pricing.command.verbosity import chosen
from pricing.members.contract import Lane
from pricing.plan.execute import Runtime, find_output
from pricing.plan.lane_pools import lane_processes
from pricing.plan.opening import OpenedRun
from pricing.plan.results import FinishedPlan
from pricing.plan.schedule import Submitted
from pricing.plan.step import Step
from pricing.plan.workers import prepare_worker
from pricing.run_display import show_progress
from tasks.caching import placed
from tasks.dead_tasks import crashed_with_its_process
from tasks.run_page import PUBLISH_SECONDS, progress_artifact, shorten_expected_errors
from tasks.stage_tasks import TASKS

Place = Callable[[Step, Lane], AbstractContextManager[TaskRunner[Any]]]
"""Takes a step and its lane; in the context, what the runner is given goes where the step belongs."""


def run_with_prefect(opened: OpenedRun) -> FinishedPlan:
    """Run a plan's steps as tasks of the flow run that this is called in.

    Raises
    ------
    Exception
        The first failure of a step, in the plan's order.
    """
    shorten_expected_errors()
    futures: dict[Step, PrefectFuture[Any]] = {}
    listener = (PUBLISH_SECONDS, progress_artifact("pricing-progress"))
    shown = show_progress(opened.progress, get_run_logger().info, listener, verbosity=chosen())
    # what is cached is shown as such from a thread: a lane's process would first have to start
    here: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=1)
    with here, _places(opened) as place, shown:

        def submit(step: Step, resolved: Step, lane: Lane, runtime: Runtime) -> Submitted:
            # the references say nothing of the task runs that made them; these are the arrows of the run's graph
            arrows: dict[str, set[RunInput]] = {
                "step": {*collect_task_run_inputs_sync([futures[needed] for needed in step.needs()])}
            }
            found = find_output(resolved, runtime)
            task = placed(TASKS[step.stage], step, runtime, found)
            with nullcontext(here) if found else place(step, lane) as runner:
                future = runner.submit(task, {"step": resolved, "runtime": runtime}, dependencies=arrows)
            crashed_with_its_process(future)
            futures[step] = future
            return opened.lanes.watched(step, future)

        return opened.run(submit)


def _places(opened: OpenedRun) -> AbstractContextManager[Place]:
    """What finds the task runner of a step, where `resources.runner` says that it runs."""
    if opened.config.resources.runner == "dask":
        from flows.dask_runner import dask_workers  # an extra

        return dask_workers(opened)
    return _processes(opened)


@contextmanager
def _processes(opened: OpenedRun) -> Iterator[Place]:
    with lane_processes(opened.lanes, opened.weights, opened.progress, lane_runner) as runners:
        opened.processes = runners
        yield lambda step, lane: nullcontext(runners[lane])


def lane_runner(*initargs: Any) -> ProcessPoolTaskRunner:
    """Return a task runner with one process, so that fifteen GBDT folds cannot starve the network.

    Parameters
    ----------
    initargs
        Those of `pricing.plan.workers.prepare_worker`.
    """
    # the library's lines go where Prefect's go; a new process reads this before `_prepare_task_worker`
    os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "pricing")
    return ProcessPoolTaskRunner(max_workers=1, initializer=_prepare_task_worker, initargs=initargs)


def _prepare_task_worker(parent: int, threads: int, weights: Path, channel: Connection) -> None:
    prepare_worker(parent, threads, weights, channel)
    ensure_logging_setup()
    shorten_expected_errors()
    # an extra logger is only handed Prefect's handlers: without a level of its own it would keep the root's, WARNING
    logging.getLogger("pricing").setLevel(logging.getLogger("prefect").getEffectiveLevel())
