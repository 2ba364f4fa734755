"""How the machine is shared."""

import os
from typing import Literal, Self

from pydantic import Field, model_validator

from pricing.config.base import Section


class ResourcesConfig(Section):
    """How the machine is shared. Thread counts are in no cache key, and fixed a task."""

    cores: int | None = Field(None, ge=1)
    """Number of cores that the run may use; None takes what the machine has, at most 64. With 1 all lanes take turns in
    one process."""
    runner: Literal["processes", "local", "dask"] = "processes"
    """Where the steps run. ``processes``: Prefect, in processes of this machine; ``dask``: Prefect, on the workers of a
    Dask scheduler; ``local``: the local runner, which needs no Prefect."""
    dask_address: str | None = None
    """Address of the Dask scheduler, such as ``tcp://10.0.0.5:8786``; the runner ``dask`` needs it."""
    trees_share: float = Field(0.5, gt=0, lt=1)
    """Share of the cores that the GBDT branch gets while the neural branch runs."""
    encoder_folds_beside: int = Field(0, ge=0)
    """Folds of the encoder network that are trained on the GBDT branch's cores once it is done with them. With a GPU,
    which all folds would share, leave it at 0."""

    step_timeout: float | None = Field(None, gt=0)
    """Maximum number of seconds that a step may take; a step that takes longer is ended, and the run with it. None sets
    no limit."""

    def available(self) -> int:
        """Cores to use: those asked for, else those that this process may run on, at most 64."""
        here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return self.cores or min(here, 64)

    @model_validator(mode="after")
    def _dask_has_an_address(self) -> Self:
        if self.runner == "dask" and not self.dask_address:
            raise ValueError(
                "runner is dask, and dask_address is not set; set it to the scheduler's address, tcp://HOST:8786"
            )
        return self
