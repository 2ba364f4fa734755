"""One own task decorator: what is cached, under which key, and what a cached result is worth.

Prefect's policies do not fit: DEFAULT holds the run's id, INPUTS no task identity, TASK_SOURCE nothing that the
function calls, and a Path counts as a string. Here the key is the artifact store's own (inputs by content, the step's
settings, seed, library code and versions), and the result a small JSON reference into the store.

Before Prefect looks for a record, the policy removes one that it may not serve: its output is missing or damaged, or it
was not written by this program (a record names the serializer that reads it, so a foreign one could run code).
What stays unprotected: an output that is damaged after the look and before its use.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import Task
from prefect.cache_policies import CachePolicy
from prefect.context import TaskRunContext
from prefect.serializers import JSONSerializer

from pricing.plan.execute import Runtime, step_key
from pricing.plan.local_runner import RETRY_SECONDS
from pricing.plan.step import Step
from pricing.store.artifacts import Reference

SERIALIZER = JSONSerializer(object_decoder=None)


@dataclass
class StepPolicy(CachePolicy):
    """Keys a step's task by what makes its output.

    Attributes
    ----------
    found : Reference or None
        The output, where the run has just found it whole: large ones are not hashed again.
    """

    found: Reference | None = None

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """Key of the record; removes a record that must not be served."""
        step, runtime = inputs["step"], inputs["runtime"]
        key = step_key(step, runtime)
        record = runtime.paths.records / f"{step.stage}-{key}"
        if record.exists() and not _servable(record, self.found or runtime.store.find(step.stage, key)):
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


def _run_name(parameters: dict[str, Any]) -> str:  # Prefect asks for the parameters by this name
    return str(parameters["step"].label)


def step_task(function: Callable[[Step, Runtime], dict[str, Any]]) -> Task[Any, Any]:
    """Make a Prefect task of a function that does a step; a run of it is named by the step's label."""
    return Task(function, task_run_name=_run_name)  # type: ignore[arg-type]


def placed(task: Task[Any, Any], step: Step, runtime: Runtime, found: Reference | None) -> Task[Any, Any]:
    """Return a task under a step's name: cached in this store's records, or tried again after a pause.

    Parameters
    ----------
    found : Reference or None
        The step's output, where the store has it.
    """
    if not step.cached:  # with jitter, so that shards do not come back together
        return task.with_options(
            name=step.name, retries=step.retries, retry_delay_seconds=list(RETRY_SECONDS), retry_jitter_factor=0.5
        )  # fmt: skip
    runtime.paths.records.mkdir(parents=True, exist_ok=True)
    return task.with_options(
        name=step.name, cache_policy=StepPolicy(found=found), persist_result=True, result_serializer=SERIALIZER,
        result_storage=runtime.paths.records,
    )  # fmt: skip
