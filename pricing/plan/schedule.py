"""Which step runs when: the first ones in the plan's order that have all they need, in every lane that has room."""

import logging
import queue
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any, Protocol

from pricing.config.resources import ResourcesConfig
from pricing.errors import RunError
from pricing.members.contract import Lane
from pricing.plan.step import Step
from pricing.plan.workers import interrupts_held
from pricing.run_progress import RunProgress
from pricing.store.artifacts import Reference

__all__ = ["Lanes", "Processes", "Submitted", "run_steps"]

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""Seconds between two looks for an interrupt: polars' signal handler does not wake a thread that waits for a lock."""


@dataclass(frozen=True)
class Lanes:
    """How the cores are shared.

    Attributes
    ----------
    threads : mapping of Lane to int
        Cores of each worker. The lane of the images has none of its own: it waits for the network, and decodes with
        those of the networks.
    """

    threads: Mapping[Lane, int]

    @classmethod
    def of(cls, resources: ResourcesConfig) -> "Lanes":
        """Divide the cores between trees and networks, at least one each; on one core every lane is the same worker."""
        cores = resources.available()
        if cores == 1:
            return cls({Lane.TREES: 1})
        trees = min(cores - 1, max(1, round(cores * resources.trees_share)))
        return cls({Lane.TREES: trees, Lane.NETWORKS: cores - trees, Lane.DOWNLOAD: cores - trees})

    def worker(self, lane: Lane) -> Lane:
        """Return the lane whose worker does a lane's steps."""
        return lane if lane in self.threads else Lane.TREES

    def room(self, step: Step) -> int:
        """Return how many steps of a step's worker may run at once.

        Raises
        ------
        RunError
            There is no worker for the step, and none has come for a while.
        """
        return 1

    def watched(self, step: Step, submitted: "Submitted") -> "Submitted":
        """Return a step that was started, with errors that say what became of its worker."""
        return submitted

    def cores(self) -> dict[str, int]:
        """Return the cores of the lanes that have some of their own; their sum is the run's."""
        return {lane.value: threads for lane, threads in self.threads.items() if lane is not Lane.DOWNLOAD}

    def lent(self, step: Step, idle: Iterable[Lane]) -> int:
        """Return the threads of a step: its lane's and, if its result does not depend on them, those of idle lanes."""
        own = self.threads[self.worker(step.lane)]
        if not step.spreads:
            return own
        return own + sum(self.threads[lane] for lane in idle if lane is not Lane.DOWNLOAD)


class Submitted(Protocol):
    """A future, of `concurrent.futures` or of Prefect."""

    def result(self) -> Any:
        """Return what the step returned, or raise its error."""

    def add_done_callback(self, fn: Callable[[Any], None], /) -> None:
        """Call a function when the step has ended."""


class Processes(Protocol):
    """The lanes' processes on this machine."""

    def look(self) -> None:
        """See how they are; called twice a second."""

    def end(self, lane: Lane) -> None:
        """End a lane's process; a training first saves a checkpoint."""

    def died(self, lane: Lane) -> str:
        """Replace a lane's process that died, and return in words how it ended."""


Submit = Callable[[Step, Step, Lane, int], Submitted]
_Ended = tuple[Step, Submitted]


@dataclass
class _State:
    waiting: list[Step]
    outputs: dict[Step, Any] = field(default_factory=dict)
    failed: dict[Step, BaseException | None] = field(default_factory=dict)
    """Step to its error; None where a step before it failed."""
    running: list[Step] = field(default_factory=list)

    def ready(self, lanes: Lanes) -> list[Step]:
        """Return the first steps that workers have room for."""
        busy, found = self.busy(lanes), []
        for step in self.waiting:
            lane = lanes.worker(step.lane)
            if all(needed in self.outputs for needed in step.needs()) and busy[lane] < lanes.room(step):
                busy[lane] += 1
                found.append(step)
        return found

    def busy(self, lanes: Lanes) -> Counter[Lane]:
        """Return the number of running steps of every worker."""
        return Counter(lanes.worker(step.lane) for step in self.running)

    def drop_unreachable(self) -> None:
        for step in list(self.waiting):  # in order: what needs a dropped step comes later
            if any(needed in self.failed for needed in step.needs()):
                self.failed[step] = None
                self.waiting.remove(step)


def run_steps(
    steps: Iterable[Step],
    lanes: Lanes,
    submit: Submit,
    progress: RunProgress | None = None,
    processes: Processes | None = None,
    timeout: float | None = None,
) -> dict[Step, Any]:
    """Run steps until all have ended; one failed branch leaves the other's work done.

    Parameters
    ----------
    steps : iterable of Step
        Each after those that it needs.
    lanes : Lanes
        Workers and their cores.
    submit : callable
        Starts a step: takes the step as the plan has it, the same with references in place of other steps, the lane
        whose worker does it, and its threads.
    progress : RunProgress, optional
        Told of every step.
    processes : Processes, optional
        The lanes' processes: one that dies is replaced, and its step is tried once more.
    timeout : float, optional
        Maximum number of seconds that a step may take; its process is ended where there are ``processes``.

    Returns
    -------
    dict of Step to Reference or dict
        What each step returned.

    Raises
    ------
    Exception
        The first failure in the plan's order, after everything that does not need it has ended.
    """
    state = _State(list(steps))
    order = list(state.waiting)
    progress = progress or RunProgress()
    numbers = {step: progress.submit(step.progress()) for step in order}
    ended: queue.SimpleQueue[_Ended] = queue.SimpleQueue()
    watch = _Watch(processes, timeout)
    while state.waiting or state.running:
        for step in state.running:
            lanes.room(step)  # raises where its worker has gone for good
        ready = state.ready(lanes)
        for step in ready:
            state.waiting.remove(step)
            state.running.append(step)
        busy = state.busy(lanes)
        idle = [lane for lane in lanes.threads if not busy[lane]]
        for step in ready:
            progress.start(numbers[step])
            lane = lanes.worker(step.lane)
            watch.started(step, lane)
            _start(submit, step, step.with_outputs(state.outputs), lane, lanes.lent(step, idle), ended)
        try:
            step, future = ended.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            continue
        finally:
            watch.look()
        state.running.remove(step)
        try:
            result = future.result()
            state.outputs[step] = Reference.model_validate(result) if step.cached else result
        except BrokenProcessPool:
            if death := watch.died(step):
                state.failed[step] = death
            else:
                state.waiting.insert(0, step)
        except Exception as error:
            state.failed[step] = error
        watch.ended(step)
        if step not in state.waiting:
            progress.finish(numbers[step])
        state.drop_unreachable()
    for step in order:
        if failure := state.failed.get(step):
            raise failure
    return state.outputs


class _Watch:
    """Knows how long steps run, ends those that run too long, and says what became of those whose process died."""

    def __init__(self, processes: Processes | None, timeout: float | None) -> None:
        self.processes, self.timeout = processes, timeout
        self.running: dict[Step, tuple[Lane, float]] = {}
        self.late: set[Step] = set()
        self.deaths: set[Step] = set()

    def started(self, step: Step, lane: Lane) -> None:
        self.running[step] = lane, time.monotonic()

    def ended(self, step: Step) -> None:
        self.running.pop(step, None)

    def look(self) -> None:
        if self.processes:
            self.processes.look()
        for step, (lane, since) in self.running.items():
            if self.timeout and time.monotonic() - since > self.timeout and step not in self.late:
                self.late.add(step)
                if self.processes is None:
                    raise self.too_long(step)
                self.processes.end(lane)

    def too_long(self, step: Step) -> RunError:
        return RunError(
            f"{step.label}: took longer than the {self.timeout:g} s of resources.step_timeout and was ended; what is "
            "finished is kept, set it higher or to none and run again"
        )

    def died(self, step: Step) -> RunError | None:
        """Return the failure of a step whose process died; None if it may be tried once more."""
        lane, _ = self.running[step]
        how = self.processes.died(lane) if self.processes else "ended, killed perhaps for want of memory"
        if step in self.late:
            return self.too_long(step)
        if self.processes and step not in self.deaths:
            self.deaths.add(step)
            logger.warning(
                "%s: its process %s; its lane has a new one, which tries the step once more", step.label, how
            )
            return None
        again = "for the second time " if self.processes else ""
        return RunError(
            f"{step.label}: {again}its process {how}; what is finished is kept. Give the run more memory, or lower "
            "resources.cores or the step's batch size, and run again"
        )


def _start(
    submit: Submit, step: Step, resolved: Step, lane: Lane, threads: int, ended: "queue.SimpleQueue[_Ended]"
) -> None:
    """Start a step, and let it be said when it has ended."""
    try:
        with interrupts_held():
            future = submit(step, resolved, lane, threads)
    except Exception as error:  # its process is gone
        failed: Future[Any] = Future()
        failed.set_exception(error)
        future = failed
    future.add_done_callback(lambda done: ended.put((step, done)))
