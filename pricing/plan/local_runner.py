"""Runs a plan in processes of this machine, one spawned process a lane; knows no Prefect."""

import logging
import multiprocessing
import time
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pricing.configuration import PricingConfig
from pricing.download.sources import ImageSource
from pricing.errors import DownloadError
from pricing.members.contract import Lane
from pricing.plan.channel import log_to_channel, say
from pricing.plan.execute import Runtime, execute, find_output
from pricing.plan.lane_pools import lane_processes
from pricing.plan.opening import OpenedRun
from pricing.plan.results import FinishedPlan
from pricing.plan.step import Step
from pricing.plan.store_lock import StoreLock
from pricing.plan.workers import prepare_worker
from pricing.run_display import Verbosity, show_progress
from pricing.sample.served import LOOPBACK, served_sample

__all__ = ["run_locally", "run_opened", "run_sample_locally"]

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
            if not (found := find_output(resolved, runtime)):
                return pools[lane].submit(execute_here, resolved, runtime)
            served: Future[dict[str, Any]] = Future()
            served.set_result(found.model_dump(mode="json"))
            return served

        opened.processes = pools
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
