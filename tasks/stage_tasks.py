"""The stages of a run as Prefect tasks. What they do, and in which order, stands in pricing/plan."""

from typing import Any

from prefect import Task

from pricing.plan.channel import say
from pricing.plan.execute import Runtime, execute
from pricing.plan.step import Step
from pricing.store.stages import Stage
from tasks.caching import step_task
from tasks.gpu_slot import gpu_slot


@step_task
def catalogue(step: Step, runtime: Runtime) -> dict[str, Any]:
    """Read and check the catalogue files; find near-duplicates, assign hold-out and folds."""
    return execute(step, runtime, say)


@step_task
def download(step: Step, runtime: Runtime) -> dict[str, Any]:
    """Download one shard of the images, which is not cached, as the manifest knows what is there; list them."""
    return execute(step, runtime, say)


@step_task
def features(step: Step, runtime: Runtime) -> dict[str, Any]:
    """Build the features of all rows, and those that read prices, fitted inside the fold."""
    return execute(step, runtime, say)


@step_task
def training(step: Step, runtime: Runtime) -> dict[str, Any]:
    """Train one member on one fold, search its settings, or run its frozen encoders; what was killed is resumed."""
    with gpu_slot(step):
        return execute(step, runtime, say)


@step_task
def ensemble(step: Step, runtime: Runtime) -> dict[str, Any]:
    """Stack the members and calibrate; write prices, figures, plots and the model."""
    return execute(step, runtime, say)


TASKS: dict[Stage, Task[Any, Any]] = {
    Stage.CATALOGUE: catalogue, Stage.FOLDS: catalogue, Stage.DOWNLOAD: download, Stage.FEATURES: features,
    Stage.TUNE: training, Stage.GBDT: training, Stage.NEURAL: training, Stage.ENSEMBLE: ensemble,
    Stage.SUBMISSION: ensemble,
}  # fmt: skip
"""Tasks by the stage of their steps; a run of one bears the step's name."""
