"""Runs a plan in processes of this machine, one spawned process a lane; knows no Prefect."""

import logging
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import islice
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from pricing.configuration import PricingConfig
from pricing.download.sources import ImageSource
from pricing.errors import DownloadError
from pricing.members.contract import Lane
from pricing.plan.channel import listen, log_to_channel, say
from pricing.plan.execute import Runtime, execute
from pricing.plan.opening import OpenedRun
from pricing.plan.results import FinishedPlan
from pricing.plan.schedule import Lanes
from pricing.plan.step import Step
from pricing.plan.store_lock import StoreLock
from pricing.plan.workers import prepare_worker, stop_workers, without_main
from pricing.run_display import Verbosity, show_progress
from pricing.run_progress import RunProgress
from pricing.sample.served import LOOPBACK, served_sample

__all__ = ["lane_processes", "run_locally", "run_opened", "run_sample_locally"]

logger = logging.getLogger(__name__)

RETRY_SECONDS = (5.0, 20.0)
"""Pauses before a step is tried again."""


def run_locally(
    train: Path,
    test: Path | None,
    config: PricingConfig,
    source: ImageSource,
    *,
    floor: dict[str, Any] | None = None,
    verbosity: Verbosity = Verbosity.NORMAL,
) -> FinishedPlan:
    """Run a whole plan on this machine.

    Parameters
    ----------
    train, test : Path
        Catalogue files.
    config : PricingConfig
        All settings.
    source : ImageSource
        Where images come from.
    floor : dict, optional
        What the noise of a generated catalogue leaves to anybody, for metrics.json.
    verbosity : Verbosity
        How much is shown.

    Raises
    ------
    PricingError
        Bad input, or the first failure of a step.
    """
    return run_opened(OpenedRun.open(train, test, config, source, floor=floor), verbosity)


def run_sample_locally(config: PricingConfig, rows: int, verbosity: Verbosity = Verbosity.NORMAL) -> FinishedPlan:
    """Run a whole plan on the generated sample catalogue, with so many labelled rows."""
    with served_sample(config.paths.work, rows, config.seed) as sample:
        return run_locally(
            sample.train, sample.test, config.allow_host(LOOPBACK), ImageSource.mirror(sample.mirror),
            floor=sample.floor, verbosity=verbosity,
        )  # fmt: skip


def run_opened(opened: OpenedRun, verbosity: Verbosity = Verbosity.NORMAL) -> FinishedPlan:
    """Run the steps of a run that was opened, once no other run works on the store."""
    with (
        StoreLock(opened.paths, logger.info, "of this process").held() as lock,
        lock.told(),
        lane_processes(opened.lanes, opened.weights, opened.progress, _local_pool) as pools,
        show_progress(opened.progress, logger.info, verbosity=verbosity),
    ):

        def submit(step: Step, resolved: Step, lane: Lane, runtime: Runtime) -> Future[dict[str, Any]]:
            return pools[lane].submit(execute_here, resolved, runtime)

        return opened.run(submit)


def execute_here(step: Step, runtime: Runtime) -> dict[str, Any]:
    """Do a step in a lane's process, again after a pause where a network or a disk failed and the step allows it."""
    for pause in islice(RETRY_SECONDS, step.retries):
        try:
            return execute(step, runtime, say)
        except DownloadError as error:
            logger.warning("%s: %s; again in %.0f s", step.label, error, pause)
            time.sleep(pause)
    return execute(step, runtime, say)


def _prepare_local_worker(parent: int, threads: int, weights: Path, channel: Connection, level: int) -> None:
    prepare_worker(parent, threads, weights, channel)
    log_to_channel(level)


def _local_pool(*initargs: Any) -> ProcessPoolExecutor:
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(
        1, mp_context=spawn, initializer=_prepare_local_worker, initargs=(*initargs, logger.getEffectiveLevel())
    )


Pool = TypeVar("Pool", bound=AbstractContextManager[Any])


@contextmanager
def lane_processes(
    lanes: Lanes, weights: Path, progress: RunProgress, pool: Callable[..., Pool]
) -> Iterator[Mapping[Lane, Pool]]:
    """Start a pool of one process for every lane; they end with the block, and at once if it is interrupted.

    Parameters
    ----------
    lanes : Lanes
        Workers and their cores.
    weights : Path
        Folder that encoders from packages are joined in.
    progress : RunProgress
        Told what the processes say.
    pool : callable
        Makes a pool of the arguments of `pricing.plan.workers.prepare_worker`, which its process calls first.

    Yields
    ------
    mapping of Lane to pool
    """
    channels = {lane: Pipe(duplex=False) for lane in lanes.threads}
    with ExitStack() as stack:
        stack.enter_context(without_main())
        # outside of the pools: with no reader a full pipe would stop a process at work
        stack.enter_context(listen({lane: reader for lane, (reader, _) in channels.items()}, progress.say))
        pools = {
            lane: stack.enter_context(pool(os.getpid(), threads, weights, channels[lane][1]))
            for lane, threads in lanes.threads.items()
        }
        try:
            yield pools
        except Exception:  # of a step; everything has ended
            raise
        except BaseException:  # a notebook's interrupt reaches this process alone
            stop_workers()
            raise
