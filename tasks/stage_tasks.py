"""The steps of a run as Prefect tasks, by the step's name. What they do, and in which order, stands in pricing/plan."""

from typing import Any

from prefect import Task

from pricing.plan.channel import say
from pricing.plan.execute import Runtime, execute
from pricing.plan.step import Step
from tasks.caching import step_task

__all__ = ["TASKS"]

Made = dict[str, Any]


@step_task
def catalogue(step: Step, runtime: Runtime) -> Made:
    """Read and check the catalogue files."""
    return execute(step, runtime, say)


@step_task
def folds(step: Step, runtime: Runtime) -> Made:
    """Find near-duplicate groups, assign hold-out and folds."""
    return execute(step, runtime, say)


@step_task
def fetch(step: Step, runtime: Runtime) -> Made:
    """Download one shard of the images; not cached, because the manifest knows what is there."""
    return execute(step, runtime, say)


@step_task
def images(step: Step, runtime: Runtime) -> Made:
    """List the images that are there."""
    return execute(step, runtime, say)


@step_task
def features(step: Step, runtime: Runtime) -> Made:
    """Build the features that read no price."""
    return execute(step, runtime, say)


@step_task
def price_features(step: Step, runtime: Runtime) -> Made:
    """Build the features that read prices, fitted inside the fold."""
    return execute(step, runtime, say)


@step_task
def tune(step: Step, runtime: Runtime) -> Made:
    """Search one member's settings; the study is kept, and a larger budget resumes it."""
    return execute(step, runtime, say)


@step_task
def settings(step: Step, runtime: Runtime) -> Made:
    """Take a search's choice without its history: a longer search that chooses the same trains nothing again."""
    return execute(step, runtime, say)


@step_task
def encode(step: Step, runtime: Runtime) -> Made:
    """Run the frozen parts of the encoders once over all texts and images."""
    return execute(step, runtime, say)


@step_task
def gbdt(step: Step, runtime: Runtime) -> Made:
    """Train one member of the gradient-boosting branch on one fold."""
    return execute(step, runtime, say)


@step_task
def neural(step: Step, runtime: Runtime) -> Made:
    """Train one member of the neural branch on one fold; a killed training is resumed."""
    return execute(step, runtime, say)


@step_task
def ensemble(step: Step, runtime: Runtime) -> Made:
    """Stack the members, calibrate, compute the figures."""
    return execute(step, runtime, say)


@step_task
def outputs(step: Step, runtime: Runtime) -> Made:
    """Write prices, figures, plots and the model."""
    return execute(step, runtime, say)


TASKS: dict[str, Task[Any, Any]] = {
    task.name: task
    for task in (
        catalogue, folds, fetch, images, features, price_features, tune, settings, encode, gbdt, neural, ensemble,
        outputs,
    )
}  # fmt: skip
"""Tasks by the name of their step."""
