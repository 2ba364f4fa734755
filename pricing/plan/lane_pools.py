"""Each lane's pool of one process: it starts with the lane's first step, and once more where its process died."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Generic, TypeVar

import psutil
from humanize import naturalsize

from pricing.members.contract import Lane
from pricing.plan.channel import listen
from pricing.plan.schedule import Lanes
from pricing.plan.workers import (
    end_worker,
    second_interrupt_ends,
    silence_tracker,
    stop_workers,
    wake_on_interrupt,
    without_main,
)  # fmt: skip
from pricing.run_progress import RunProgress

__all__ = ["LanePools", "lane_processes"]

END_SECONDS = 5.0
"""Seconds to wait for the exit code of a process whose pipe is closed."""

Pool = TypeVar("Pool", bound=AbstractContextManager[Any])


@dataclass
class _Worker:
    process: BaseProcess
    peak: int = 0
    """Most memory that it was seen with, bytes."""


class LanePools(Generic[Pool]):
    """The pools by their lane, each made when it is first asked for.

    Parameters
    ----------
    make : callable
        Makes a lane's pool.
    stack : ExitStack
        What the pools end with.
    """

    def __init__(self, make: Callable[[Lane], Pool], stack: ExitStack) -> None:
        self._make, self._stack = make, stack
        self._pools: dict[Lane, Pool] = {}
        self._workers: dict[str, _Worker] = {}

    def __getitem__(self, lane: Lane) -> Pool:
        if lane not in self._pools:
            self._pools[lane] = self._stack.enter_context(self._make(lane))
        return self._pools[lane]

    def started(self, lane: str, number: int) -> None:
        """Know the process of a lane by its number; called from any thread."""
        for process in multiprocessing.active_children():
            if process.pid == number:
                self._workers[lane] = _Worker(process)

    def look(self) -> None:
        """See how much memory the processes hold; of a process that has died it can no longer be asked."""
        for worker in list(self._workers.values()):
            with suppress(psutil.Error):
                worker.peak = max(worker.peak, psutil.Process(worker.process.pid).memory_info().rss)

    def end(self, lane: Lane) -> None:
        """End a lane's process; a training first saves a checkpoint."""
        if worker := self._workers.get(lane):
            end_worker(worker.process)

    def died(self, lane: Lane) -> str:
        """Give a lane whose process died a new pool, and return in words how it ended."""
        self._pools.pop(lane, None)
        worker = self._workers.pop(lane, None)
        if worker is None:
            return "ended before it was ready"
        worker.process.join(END_SECONDS)
        return _ending(worker.process.exitcode, worker.peak)


def _ending(code: int | None, peak: int) -> str:
    held = f"; it held {naturalsize(peak)}" if peak else ""
    if code is not None and code < 0:
        number = signal.Signals(-code)
        cause = ", as the system does when memory runs out" if number is signal.SIGKILL else ""
        return f"was ended by {number.name}{cause}{held}"
    return f"ended with exit code {code}{held}"


@contextmanager
def lane_processes(
    lanes: Lanes, weights: Path, progress: RunProgress, pool: Callable[..., Pool]
) -> Iterator[LanePools[Pool]]:
    """Let every lane have a pool of one process; they end with the block, and at once if it is interrupted.

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
    LanePools
    """
    channels = {lane: Pipe(duplex=False) for lane in lanes.threads}
    wake_on_interrupt()
    silence_tracker()
    with ExitStack() as stack:
        stack.enter_context(without_main())
        pools: LanePools[Pool] = LanePools(
            lambda lane: pool(os.getpid(), lanes.threads[lane], weights, channels[lane][1]), stack
        )
        # outside of the pools: with no reader a full pipe would stop a process at work
        readers: dict[str, Any] = {lane: reader for lane, (reader, _) in channels.items()}
        stack.enter_context(listen(readers, progress.say, pools.started))
        try:
            yield pools
        except Exception:  # of a step; everything has ended
            raise
        except BaseException:  # a terminal's interrupt reaches the processes too, and they ignore it
            stack.enter_context(second_interrupt_ends())
            stop_workers()
            raise
