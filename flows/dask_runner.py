"""Runs a plan's steps on the workers of a Dask scheduler, each as a task of Prefect's.

A step takes one of its lane's resource (``trees``, ``networks``), and one ``gpu`` where its settings ask for one; the
images are downloaded by any worker. A worker that dies in a step costs that step: Dask runs it on another one, and as
outputs are put in the store whole, nothing half written is served.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import dask
from distributed import Client, KilledWorker
from prefect.task_runners import TaskRunner
from prefect_dask import DaskTaskRunner

from flows.dask_worker import PreparedWorker
from pricing.errors import RunError
from pricing.members.contract import Lane
from pricing.plan.opening import OpenedRun
from pricing.plan.schedule import Lanes, Submitted
from pricing.plan.step import Step

__all__ = ["DaskLanes", "DaskStep", "dask_workers", "resources_of"]

ABSENT_SECONDS = 20.0
"""Seconds that a resource may be offered by no worker, and the scheduler be away."""
READ_SECONDS = 2.0
"""Seconds between two looks at what the workers offer."""


def resources_of(step: Step) -> dict[str, float]:
    """Return what a step takes of a worker, by the name of the resource."""
    lane = {} if step.lane is Lane.DOWNLOAD else {step.lane.value: 1.0}
    return {**lane, "gpu": 1.0} if step.gpu else lane


@dataclass(frozen=True)
class Offer:
    """What one worker offers: its threads, and its resources by name."""

    threads: int
    resources: dict[str, float]

    def steps(self, wanted: dict[str, float]) -> int:
        """Return how many steps with these wants it does at once."""
        return int(min((self.resources.get(name, 0.0) // each for name, each in wanted.items()), default=self.threads))


@dataclass(frozen=True)
class DaskLanes(Lanes):
    """The lanes on a scheduler's workers: as many steps at once as the workers offer of the lane's resource.

    Attributes
    ----------
    client : Client
        Connected to the scheduler, whose workers are looked at again every 2 s.
    """

    client: Client
    _seen: dict[str, Any] = field(default_factory=lambda: {"at": -READ_SECONDS, "offers": []})
    _since: dict[str, float] = field(default_factory=dict)

    @classmethod
    def on(cls, client: Client, steps: Iterable[Step]) -> "DaskLanes":
        """Wait until workers offer what the steps of a run take.

        Raises
        ------
        RunError
            A resource is offered by no connected worker after 20 s.
        """
        lanes = cls({}, client)
        wanted = list({str(resources_of(step)): step for step in steps}.values())
        while not all(lanes.room(step) for step in wanted):
            time.sleep(0.2)  # a scheduler tells no client of new workers
        return cls({step.lane: lanes.lent(step, ()) for step in wanted}, client)

    def worker(self, lane: Lane) -> Lane:
        """Return the lane: every one has workers of its own."""
        return lane

    def room(self, step: Step) -> int:
        """Return how many steps like this one the workers do at once.

        Raises
        ------
        RunError
            No connected worker has offered what the step takes for 20 s.
        """
        wanted = resources_of(step)
        room = sum(offer.steps(wanted) for offer in self._offers())
        text = " and ".join(wanted) or "any"
        if room:
            self._since.pop(text, None)
        elif time.monotonic() - self._since.setdefault(text, time.monotonic()) > ABSENT_SECONDS:
            address = self.client.scheduler.address if self.client.scheduler else "that is gone"
            option = f' --resources "{" ".join(f"{name}=1" for name in wanted)}"' if wanted else ""
            raise RunError(
                f"{step.label}: no worker of the Dask scheduler {address} offers {text}; what is finished is kept, "
                f"start one with `dask worker {address} --nthreads 1{option}` and run again"
            )
        return room

    def lent(self, step: Step, idle: Iterable[Lane]) -> int:
        """Return the threads of a step: those of the smallest worker for it, per step that this does at once."""
        wanted = resources_of(step)
        found = [offer.threads // steps for offer in self._offers() if (steps := offer.steps(wanted))]
        return max(1, min(found, default=1))

    def watched(self, step: Step, submitted: Submitted) -> Submitted:
        """Return a step whose errors are one line where it was Dask that failed."""
        return DaskStep(step, submitted)

    def _offers(self) -> list[Offer]:
        if time.monotonic() - self._seen["at"] >= READ_SECONDS:
            lost = self.client.status != "running"  # its information would be what it last heard
            workers = {} if lost else self.client.scheduler_info()["workers"]
            self._seen["offers"] = [Offer(int(one["nthreads"]), dict(one["resources"])) for one in workers.values()]
            self._seen["at"] = time.monotonic()
        return list(self._seen["offers"])


@dataclass(frozen=True)
class DaskStep:
    """A step that is on a worker; its errors are one line where it was Dask that failed."""

    step: Step
    future: Submitted

    def result(self) -> Any:
        """Return what the step returned.

        Raises
        ------
        RunError
            Several workers died in it, or the scheduler was lost.
        """
        try:
            return self.future.result()
        except KilledWorker as error:
            raise RunError(
                f"{self.step.label}: the workers that were at it ended one after another, the last one "
                f"{error.last_worker.address}, perhaps for want of memory; what is finished is kept, run again"
            ) from None
        except CancelledError:
            raise RunError(
                f"{self.step.label}: the Dask scheduler was lost or cancelled it; what is finished is kept, run again"
            ) from None

    def add_done_callback(self, fn: Callable[[Submitted], None], /) -> None:
        """Call a function when the step has ended."""
        self.future.add_done_callback(lambda _: fn(self))


@contextmanager
def dask_workers(opened: OpenedRun) -> Iterator[Callable[[Step, Lane], AbstractContextManager[TaskRunner[Any]]]]:
    """Connect to the run's scheduler, prepare its workers, and let the run's lanes be theirs.

    Yields
    ------
    callable
        Takes a step and its lane; a context in which what the task runner is given goes to a worker for the step.

    Raises
    ------
    RunError
        The scheduler does not answer, or its workers do not offer what the steps take.
    """
    address = str(opened.config.resources.dask_address)
    plugin = PreparedWorker(opened.weights, logging.getLogger("prefect").getEffectiveLevel())
    with DaskTaskRunner(address=address, client_kwargs={"timeout": ABSENT_SECONDS}) as runner:
        try:
            client = runner.client
        except (OSError, ValueError) as error:
            raise RunError(
                f"resources.dask_address: no Dask scheduler answers at {address} ({error}); start it with "
                "`dask scheduler` or correct the address"
            ) from None
        client.register_plugin(plugin)
        opened.lanes = DaskLanes.on(client, opened.steps)

        @contextmanager
        def place(step: Step, lane: Lane) -> Iterator[TaskRunner[Any]]:
            with dask.annotate(resources=resources_of(step)):
                yield runner

        yield place
