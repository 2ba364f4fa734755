"""The server's concurrency limit `gpu`: how many steps train on GPUs at once, over all runs and machines."""

from contextlib import AbstractContextManager, nullcontext

from prefect.concurrency.sync import concurrency

from pricing.plan.step import Step

LIMIT = "gpu"


def gpu_slot(step: Step) -> AbstractContextManager[None]:
    """Return a context in which the step may train: it waits for a slot of the limit if the step uses a GPU.

    Without a limit of that name nothing waits. A slot that cannot be renewed is lost without the training. That of a
    killed process is free after 300 s.
    """
    either = getattr(step.inputs.get("settings"), "device", "cpu") == "auto"
    if step.gpu or (either and _gpu_here()):
        return concurrency(LIMIT, raise_on_lease_renewal_failure=False)
    return nullcontext()


def _gpu_here() -> bool:
    import torch

    return torch.cuda.is_available()
