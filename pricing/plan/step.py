"""A step of a run, as data."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pricing.config.base import Section
from pricing.members.contract import Lane
from pricing.run_progress import ProgressStep
from pricing.store.stages import Stage

__all__ = ["Step", "needed_for", "replaced", "steps_in"]


@dataclass(frozen=True, eq=False)
class Step:
    """One step; equal steps are the same object.

    Attributes
    ----------
    stage : Stage
        The stage that it belongs to; its output's folder in the store.
    name : str
        Name of the step and of its task.
    run : str
        ``module:function`` that does the work.
    lane : Lane
        The steps of one lane run one after another.
    inputs : mapping of str to object
        The function's arguments: other steps (alone, in lists, in dicts) stand for their outputs; settings sections,
        files and plain values stand for themselves. They are the step's key, with the code behind it.
    slot : str
        Which of the step's outputs this is, such as a fold.
    code : tuple of str
        Further modules whose code is in the key.
    spreads : bool
        Whether the result does not depend on the number of threads, so that idle lanes may lend their cores.
    retries : int
        Number of further tries: of what a network or a disk may do better a moment later. None for training, which
        would only fail again hours later.
    cached : bool
        Whether the output is kept in the store. Otherwise the function returns a small JSON object.
    together : bool
        Whether several runs may work on the output at once.
    words : str
        What it does, for people.
    seconds : float
        Seconds of one core per 1,000 rows, for a forecast without an earlier run.
    share : float
        Part of the catalogue's rows that it works on.
    """

    stage: Stage
    name: str
    run: str
    lane: Lane
    inputs: Mapping[str, Any] = field(default_factory=dict)
    slot: str = ""
    code: tuple[str, ...] = ()
    spreads: bool = False
    retries: int = 0
    cached: bool = True
    together: bool = False
    words: str = ""
    seconds: float = 0.0
    share: float = 1.0

    @property
    def label(self) -> str:
        """Name and slot, for people."""
        return f"{self.name} {self.slot}".strip()

    @property
    def entries(self) -> tuple[str, ...]:
        """Modules whose code is in the key."""
        return (self.run.partition(":")[0], *self.code)

    @property
    def gpu(self) -> bool:
        """Whether its settings ask for a GPU; ``auto`` takes one where there is one and asks for none."""
        return getattr(self.inputs.get("settings"), "device", "cpu") in ("cuda", "gpu")

    def needs(self) -> list["Step"]:
        """Return the steps whose outputs it reads."""
        return list(steps_in(self.inputs))

    def with_outputs(self, outputs: Mapping["Step", Any]) -> "Step":
        """Return the step with the outputs of other steps in their place."""
        return replace(self, inputs=replaced(self.inputs, lambda value: outputs[value], Step))

    def progress(self) -> ProgressStep:
        """Return the step as a run's progress shows it."""
        settings = self.inputs.get("settings", self.inputs.get("config"))
        known = json.dumps(settings.model_dump(mode="json"), sort_keys=True) if isinstance(settings, Section) else ""
        last = self.stage in (Stage.ENSEMBLE, Stage.SUBMISSION)
        kind = (self.name, str(self.inputs.get("member", "")))
        return ProgressStep(self.words or self.label, self.lane, kind, known, self.share, self.seconds, last)


def steps_in(value: Any) -> Iterator[Step]:
    """Find the steps in nested arguments."""
    if isinstance(value, Step):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from steps_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from steps_in(item)


def replaced(value: Any, new: Any, kind: type) -> Any:
    """Return nested arguments in which every object of a kind is replaced by what a function makes of it."""
    if isinstance(value, kind):
        return new(value)
    if isinstance(value, Mapping):
        return {name: replaced(item, new, kind) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [replaced(item, new, kind) for item in value]
    return value


def needed_for(steps: Iterable[Step], stage: Stage) -> list[Step]:
    """Return the steps of a stage and, before them, all that they need, in their order."""
    steps = list(steps)
    found: set[Step] = set()
    todo = [step for step in steps if step.stage is stage]
    while todo:
        step = todo.pop()
        if step not in found:
            found.add(step)
            todo += step.needs()
    return [step for step in steps if step in found]


def files_in(inputs: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of the files among the arguments."""
    return {name: str(value) for name, value in inputs.items() if isinstance(value, Path)}
