"""What a run is doing, how far it is, and when it will end.

How long a step takes is known from this machine's earlier outputs in the store: the last one of the same kind, with the
same settings where there is one, scaled by the rows. Where there is none, a rate measured with the `cpu` preset stands
in. A step from the cache ends at once, so the end comes nearer than was said.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any

from humanize import naturaldelta

from pricing.store.artifacts import ArtifactStore, Reference, read_json


@dataclass(frozen=True)
class ProgressStep:
    """One step of a run, as its progress shows it.

    Attributes
    ----------
    words : str
        What it does.
    lane : str
        The steps of one lane run one after another.
    kind : tuple of str
        Name of the step and, where it trains one, the base model: what takes about as long for every fold.
    settings : str
        The step's settings as canonical JSON; "" where it has none.
    share : float
        Part of the catalogue's rows that the step works on: a shard of the images.
    seconds : float
        Seconds of one core per 1,000 rows (labelled or not), where the store has no earlier one. Measured with `cpu` on
        11,264 rows (docs/LOG.md, 2026-11-26, two cores without bfloat16).
    last : bool
        Whether it waits for both branches.
    """

    words: str
    lane: str = ""
    kind: tuple[str, str] = ("", "")
    settings: str = ""
    share: float = 1.0
    seconds: float = 0.0
    last: bool = False

    def __str__(self) -> str:
        return self.words

    @property
    def part(self) -> str:
        """Part of the run that it belongs to; "" for what is in none."""
        return "images" if self.lane == "download" else "training" if self.kind[1] else ""


class Forecast:
    """Expected seconds of steps.

    Parameters
    ----------
    store : ArtifactStore
        Its records say how long steps took on this machine, and with how many rows.
    """

    def __init__(self, store: ArtifactStore) -> None:
        rows_of: dict[str, int] = {}
        self._seconds_per_row: dict[tuple[str, ...], float] = {}
        records = store.outputs()
        for record in records:
            if record["reference"].name == "catalogue":
                rows_of[record["reference"].digest] = catalogue_rows(store, record["reference"])
        # oldest first: the last one counts
        for record in records:
            made, inputs = record["reference"], record["parts"].get("inputs", {})
            catalogue = inputs.get("catalogue")
            rows = rows_of.get(catalogue.get("digest", ""), 0) if isinstance(catalogue, dict) else 0
            if rows and made.seconds > 0:
                settings = inputs.get("settings", inputs.get("config"))
                kind = (made.name, str(inputs.get("member", "")))
                for known in ((*kind, _canonical(settings)), kind):
                    self._seconds_per_row[known] = made.seconds / rows

    def seconds(self, step: ProgressStep, rows: float) -> float:
        """Return the expected seconds of a step on a catalogue of so many rows, labelled or not."""
        rows *= step.share
        for known in ((*step.kind, step.settings), step.kind):
            if known in self._seconds_per_row:
                return self._seconds_per_row[known] * rows
        return step.seconds * rows / 1000


@dataclass(frozen=True)
class Part:
    """How far the steps of a part of a run are: ``images`` or ``training``.

    Attributes
    ----------
    name : str
        Of the part.
    doing : tuple of str
        What its steps are at.
    done, total : int
        Steps.
    share : float
        Expected seconds of the finished work over those of all, 0 to 1; that of the steps before the rows are known.
    """

    name: str
    doing: tuple[str, ...]
    done: int
    total: int
    share: float

    def __str__(self) -> str:
        work = " | ".join(self.doing) or ("done" if self.done == self.total else "waiting")
        return f"{work}: {self.done} of {self.total} steps"


@dataclass(frozen=True)
class Moment:
    """A moment of a running run.

    Attributes
    ----------
    doing : tuple of str
        What each lane is at.
    done, total : int
        Steps.
    share : float or None
        Expected seconds of the finished work over those of all, 0 to 1; None before the rows are known.
    seconds_left : float or None
        Expected seconds to the end; None before the rows are known.
    now : float
        Unix time, seconds.
    parts : tuple of Part
        Images and training, as far as the run has them.
    """

    doing: tuple[str, ...]
    done: int
    total: int
    share: float | None
    seconds_left: float | None
    now: float
    parts: tuple[Part, ...] = ()

    @property
    def end(self) -> str:
        """Time left and the local time of the end, as text; "" before they are known."""
        if self.seconds_left is None:
            return ""
        # the seconds of a guess say nothing
        left = max(60.0, self.seconds_left)
        clock = time.strftime("%H:%M", time.localtime(self.now + self.seconds_left))
        return f"about {naturaldelta(left)} left, ends about {clock}"

    @property
    def work(self) -> str:
        """What is being done, as text."""
        return " | ".join(self.doing) or "starting"

    def __str__(self) -> str:
        share = "" if self.share is None else f", {100 * self.share:.0f} %"
        end = f", {self.end}" if self.end else ""
        return f"{self.work}: {self.done} of {self.total} steps{share}{end}"


@dataclass
class _Known:
    step: ProgressStep
    started: float | None = None
    ended: float | None = None
    detail: str = ""


@dataclass
class RunProgress:
    """Keeps what is known of a run's steps; every method may be called from any thread.

    Parameters
    ----------
    forecast : Forecast or None
        How long steps take; None says nothing of the end.
    rows : int or None
        Rows of the catalogue, labelled or not; None until it is read.
    clock : callable
        Unix time in seconds.
    """

    forecast: Forecast | None = None
    rows: int | None = None
    clock: Callable[[], float] = time.time
    _steps: list[_Known] = field(default_factory=list, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def submit(self, step: ProgressStep) -> int:
        """Add a step that is to be done; its number."""
        with self._lock:
            self._steps.append(_Known(step))
            return len(self._steps) - 1

    def start(self, number: int) -> None:
        """A step has begun."""
        with self._lock:
            self._steps[number].started = self.clock()

    def finish(self, number: int) -> None:
        """A step has ended, or came from the cache."""
        with self._lock:
            self._steps[number].ended = self.clock()

    def say(self, lane: str, detail: str) -> None:
        """What the lane's step says of itself, in place of its name."""
        with self._lock:
            for known in self._running():
                if known.step.lane == lane:
                    known.detail = detail

    def moment(self) -> Moment:
        """The present state."""
        with self._lock:
            now = self.clock()
            running = self._running()
            doing = tuple(known.detail or str(known.step) for known in running)
            done = sum(known.ended is not None for known in self._steps)
            if not self.rows or self.forecast is None:
                alike = {id(known): 1.0 for known in self._steps}
                missing = {id(known): float(known.ended is None) for known in self._steps}
                return Moment(doing, done, len(self._steps), None, None, now, self._parts(missing, alike))
            expected = {id(known): self.forecast.seconds(known.step, self.rows) for known in self._steps}
            left = {id(known): self._left(known, expected[id(known)], now) for known in self._steps}
            whole = sum(expected.values())
            share = 1 - sum(min(left[key], expected[key]) for key in expected) / whole if whole else 0.0
            lanes: dict[str, float] = {}
            last = 0.0
            for known in self._steps:
                if known.step.last:
                    last += left[id(known)]
                else:
                    lanes[known.step.lane] = lanes.get(known.step.lane, 0.0) + left[id(known)]
            end = max(lanes.values(), default=0.0) + last
            return Moment(doing, done, len(self._steps), share, end, now, self._parts(left, expected))

    def _parts(self, left: Mapping[int, float], expected: Mapping[int, float]) -> tuple[Part, ...]:
        """Parts by the steps' work that is left, and was expected."""
        found = []
        for name in ("images", "training"):
            steps = [known for known in self._steps if known.step.part == name]
            whole = sum(expected[id(known)] for known in steps)
            gone = sum(min(left[id(known)], expected[id(known)]) for known in steps)
            doing = tuple(known.detail or str(known.step) for known in self._running() if known in steps)
            done = sum(known.ended is not None for known in steps)
            if steps:
                found.append(Part(name, doing, done, len(steps), 1 - gone / whole if whole else 0.0))
        return tuple(found)

    def _running(self) -> list[_Known]:
        return [known for known in self._steps if known.started is not None and known.ended is None]

    @staticmethod
    def _left(known: _Known, expected: float, now: float) -> float:
        if known.ended is not None:
            return 0.0
        at_it = now - known.started if known.started is not None else 0.0
        # a step that takes longer than expected is taken to be nearly done, a tenth of its time at least
        return max(expected - at_it, 0.1 * at_it)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True) if value is not None else ""


def catalogue_rows(store: ArtifactStore, catalogue: Reference) -> int:
    """Rows of a catalogue stage's output, labelled or not; 0 where it cannot be read."""
    try:
        summary = read_json(store.path(catalogue) / "summary.json")
        return int(summary["train"]["rows"]) + int(summary["test"]["rows"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


@contextmanager
def watch(progress: RunProgress, *listeners: tuple[float, Callable[[Moment], None]]) -> Iterator[None]:
    """Tell listeners how a run is going until the block ends, and once more then, from a thread.

    Parameters
    ----------
    listeners : tuple of float and callable
        Seconds between two calls, and what is called. One that fails costs what it shows, nothing else.
    """
    ended = threading.Event()

    def tell(moment: Moment, listener: Callable[[Moment], None]) -> None:
        with suppress(Exception):
            listener(moment)

    def work() -> None:
        due = [time.monotonic() + every for every, _ in listeners]
        while listeners and not ended.wait(max(0.0, min(due) - time.monotonic())):
            moment = progress.moment()
            for place, (every, listener) in enumerate(listeners):
                if time.monotonic() >= due[place]:
                    due[place] = time.monotonic() + every
                    tell(moment, listener)
        for _, listener in listeners:
            tell(progress.moment(), listener)

    # listeners need this thread's context, which knows the server
    thread = threading.Thread(target=copy_context().run, args=(work,), daemon=True, name="run-progress")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
