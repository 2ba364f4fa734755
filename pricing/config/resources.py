"""How the machine is shared."""

import os
from typing import Literal

from pydantic import Field

from pricing.config.base import Section


class ResourcesConfig(Section):
    """How the machine is shared. Thread counts are in no cache key, and fixed a task."""

    cores: int | None = Field(None, ge=1)
    """Number of cores that the run may use; None takes what the machine has, at most 64. With 1 all lanes take turns in
    one process."""
    runner: Literal["processes", "local"] = "processes"
    """What runs the steps of a command: Prefect, or the local runner, which needs no Prefect."""
    trees_share: float = Field(0.5, gt=0, lt=1)
    """Share of the cores that the GBDT branch gets while the neural branch runs."""
    encoder_folds_beside: int = Field(0, ge=0)
    """Folds of the encoder network that are trained on the GBDT branch's cores once it is done with them. With a GPU,
    which all folds would share, leave it at 0."""

    def available(self) -> int:
        """Cores to use: those asked for, else those that this process may run on, at most 64."""
        here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return self.cores or min(here, 64)
