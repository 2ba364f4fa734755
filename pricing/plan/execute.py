"""One step is done: its function is called, and its output is kept in the store."""

import hashlib
import inspect
import json
import logging
import signal
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from humanize import naturalsize

from pricing.config.paths import PathsConfig
from pricing.download.image_shards import bring_images, send_images
from pricing.download.sources import ImageSource
from pricing.plan.step import Step, files_in, replaced
from pricing.store.artifacts import ArtifactStore, Reference, key_of, key_parts
from pricing.store.digests import remembered_digest
from pricing.store.travelling import travelling

__all__ = ["Runtime", "execute", "find_output", "step_key"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Runtime:
    """What a step needs and its result does not depend on; in no key.

    Attributes
    ----------
    paths : PathsConfig
        With artifacts made absolute.
    threads : int
        Cores.
    source : ImageSource
        Where images come from; what shares them, its origin, is in the key of their table.
    """

    paths: PathsConfig
    threads: int
    source: ImageSource

    @property
    def store(self) -> ArtifactStore:
        """The artifact store."""
        return ArtifactStore.of(self.paths)


def step_key(step: Step, runtime: Runtime) -> str:
    """Return the key of a step whose inputs are references, settings and values."""
    return key_of(_parts(step, runtime))


def find_output(step: Step, runtime: Runtime) -> Reference | None:
    """Return a step's output if the store has it whole, so that no process need be started for it."""
    return runtime.store.find(step.stage, step_key(step, runtime)) if step.cached else None


def _parts(step: Step, runtime: Runtime) -> dict[str, Any]:
    """Key parts; a catalogue file is hashed once, and its digest remembered for every process."""
    digest = partial(remembered_digest, folder=runtime.paths.work / "digests")
    return key_parts(step.name, step.entries, step.inputs, digest)


def execute(step: Step, runtime: Runtime, say: Callable[[str], object] = lambda text: None) -> dict[str, Any]:
    """Do a step, or serve its output from the store.

    Parameters
    ----------
    step : Step
        With references in place of other steps, see `Step.with_outputs`.
    runtime : Runtime
        Folders and cores.
    say : callable
        Takes a text: what the step is at.

    Returns
    -------
    dict
        The output's `Reference`; the function's own result where the step is not cached.
    """
    store = runtime.store
    with store.in_use():
        return _execute(step, runtime, store, say)


def _execute(step: Step, runtime: Runtime, store: ArtifactStore, say: Callable[[str], object]) -> dict[str, Any]:
    work, remote = runtime.paths.work, store.shared and store.shared.remote
    image_folder = work / "images"
    given: dict[str, Any] = {
        "threads": runtime.threads, "work": work, "image_folder": image_folder, "source": runtime.source, "say": say,
        "inputs_digest": _digest(step),
    }  # fmt: skip
    if not step.cached:
        return dict(_call(step.run, replaced(step.inputs, store.path, Reference), given))
    parts = _parts(step, runtime)
    resume = given["resume"] = runtime.paths.checkpoints / key_of(parts)

    def make(out: Path) -> list[str]:
        arguments = replaced(step.inputs, store.path, Reference)
        if remote and arguments.get("images"):
            bring_images(arguments["images"], image_folder, remote)
        try:
            with travelling(resume, remote, runtime.paths.checkpoint_minutes) if remote else nullcontext():
                _call(step.run, arguments, given | {"out": out})
        except SystemExit:  # a training took SIGTERM and has saved: now the end, else the next in line would start
            signal.raise_signal(signal.SIGTERM)
            raise
        return send_images(out, image_folder, remote) if remote and (out / "images.parquet").exists() else []

    made = store.build(step.stage, step.name, step.slot, parts, make, runtime.threads, together=step.together,
                       sources=files_in(step.inputs))  # fmt: skip
    logger.info(
        "%s: %.1f s on %d threads, %s resident at most, %s written",
        made.label, made.seconds, made.threads, naturalsize(made.peak_rss), naturalsize(made.size),
    )  # fmt: skip
    return made.model_dump(mode="json")


def _call(run: str, arguments: dict[str, Any], given: dict[str, Any]) -> Any:
    """Call a step's function with its inputs and, of what is given, the parameters that it has.

    It is imported here, so that what comes from the store costs no import of torch and the like.
    """
    function = resolve_name(run)
    wanted = inspect.signature(function).parameters
    return function(**arguments, **{name: value for name, value in given.items() if name in wanted})


def _digest(step: Step) -> str:
    """Hash of the outputs that a step reads."""
    read = replaced(step.inputs, lambda made: made.digest, Reference)
    named = {name: value for name, value in read.items() if value != step.inputs[name]}
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()
