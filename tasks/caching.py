"""One own task decorator: what is cached, under which key, and what a cached result is worth.

Prefect's policies do not fit: DEFAULT holds the run's id, INPUTS no task identity, TASK_SOURCE nothing that the
function calls, and a Path counts as a string. Here the key is the artifact store's own (inputs by content, the stage's
section of the configuration, seed, library code and versions), and the result a small JSON reference into the store.

Before Prefect looks for a record, the policy removes one that it may not serve: its output is missing or damaged, or it
was not written by this program (a record names the serializer that reads it, so a foreign one could run code).
What stays unprotected: an output that is damaged after the look and before its use.
"""

import functools
import inspect
import json
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humanize import naturalsize
from prefect import Task, get_run_logger
from prefect.cache_policies import CachePolicy
from prefect.context import TaskRunContext
from prefect.serializers import JSONSerializer
from pydantic import BaseModel, ConfigDict

from pricing.config.paths import PathsConfig
from pricing.download.sources import ImageSource
from pricing.store.artifacts import ArtifactStore, Reference, key_of, key_parts

SERIALIZER = JSONSerializer(object_decoder=None)


class Runtime(BaseModel):
    """What a task needs and its result does not depend on; in no key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    paths: PathsConfig
    """With artifacts made absolute."""
    threads: int = 1
    image_source: ImageSource = ImageSource()

    @property
    def store(self) -> ArtifactStore:
        """The artifact store."""
        return ArtifactStore(self.paths.store)

    def work(self, *parts: str) -> Path:
        """A folder for resumable work in progress."""
        folder = self.paths.work.joinpath(*parts)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def path(self, reference: Reference) -> Path:
        """Folder of a stage output."""
        return self.store.path(reference)


@dataclass
class StagePolicy(CachePolicy):
    """Keys a stage's task by what makes its output."""

    stage: str = ""
    entry: str = ""

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """Key of the record; removes a record that must not be served."""
        runtime, keyed = split_inputs(inputs)
        key = key_of(key_parts(self.stage, self.entry, keyed))
        record = runtime.paths.records / f"{self.stage}-{key}"
        if record.exists() and not _servable(record, runtime.store.find(self.stage, key)):
            record.unlink()
        return record.name


def _servable(record: Path, found: Reference | None) -> bool:
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        serializer, result = content["metadata"]["serializer"], content["result"]
        reference = Reference.model_validate_json(result if isinstance(result, str) else json.dumps(result))
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return found is not None and reference == found and serializer == SERIALIZER.model_dump(mode="json")


def split_inputs(inputs: dict[str, Any]) -> tuple[Runtime, dict[str, Any]]:
    """A task's arguments: the runtime, and the rest with references revived."""
    return inputs["runtime"], {name: _revive(value) for name, value in inputs.items() if name != "runtime"}


def _revive(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == Reference.model_fields.keys():
            return Reference.model_validate(value)
        return {name: _revive(item) for name, item in value.items()}
    return [_revive(item) for item in value] if isinstance(value, list) else value


def named(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments for a slot's name: the fold that stands for all labelled rows is the refit."""
    return arguments | ({"fold": "refit"} if arguments.get("fold", 0) is None else {})


def _run_name(stage: str, slot: str) -> Callable[..., str]:
    def name(parameters: dict[str, Any]) -> str:  # Prefect asks for the parameters by this name
        return f"{stage} {slot.format(**named(parameters))}".strip()

    return name


def stage_task(
    stage: str, entry: str, slot: str = "", *, together: bool = False, **options: Any
) -> Callable[[Callable[..., None]], Task]:
    """Make a cached Prefect task of a function that fills an output folder.

    Parameters
    ----------
    stage : str
        Name of the stage, of the task and of its folder in the store.
    entry : str
        Module that does the work; its code and what it imports are in the key.
    slot : str
        Which of the stage's outputs, as a format string over the arguments ("{member}-{fold}").
    together : bool
        Runs at the same time may work on one output (see `ArtifactStore.build`); otherwise the later one waits.
    options
        Handed to ``prefect.task``: retries for what talks to a network or a disk, none for training, which would only
        fail again hours later.

    Notes
    -----
    The function takes ``out`` (an empty folder) and keyword arguments, ``runtime`` among them; if it has a parameter
    ``key``, it is told its output's key, which names what work in progress may be resumed. The task takes the same
    without ``out`` and ``key`` and returns the output's Reference as a dictionary.
    """

    def decorate(make: Callable[..., None]) -> Task:
        signature = inspect.signature(make)

        @functools.wraps(make)
        def body(**inputs: Any) -> dict[str, Any]:
            runtime, keyed = split_inputs(inputs)
            parts = key_parts(stage, entry, keyed)
            told = {"key": key_of(parts)} if "key" in signature.parameters else {}
            try:
                reference = runtime.store.build(
                    stage, slot.format(**named(keyed)), parts, lambda out: make(out, runtime=runtime, **keyed, **told),
                    runtime.threads, together=together,
                    sources={name: str(value) for name, value in keyed.items() if isinstance(value, Path)},
                )  # fmt: skip
            except SystemExit:  # a training took SIGTERM and has saved: now the end, else the next in line would start
                signal.raise_signal(signal.SIGTERM)
                raise
            log = get_run_logger()
            log.info(
                "%s: %.1f s on %d threads, %s resident at most, %s written",
                f"{stage} {reference.slot}".strip(), reference.seconds, reference.threads,
                naturalsize(reference.peak_rss), naturalsize(reference.size),
            )  # fmt: skip
            return reference.model_dump()

        rest = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=Any)
            for name, parameter in signature.parameters.items()
            if name not in ("out", "key")
        ]
        body.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]
        return Task(
            body,
            name=stage,
            task_run_name=_run_name(stage, slot),
            cache_policy=StagePolicy(stage=stage, entry=entry),
            persist_result=True,
            result_serializer=SERIALIZER,
            **options,
        )

    return decorate
