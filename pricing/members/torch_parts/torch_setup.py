"""Puts torch into the state that a stage runs in."""

import logging
from typing import Literal

import torch

from pricing.errors import TrainingError

logger = logging.getLogger(__name__)


def prepare_torch(device: Literal["auto", "cpu", "cuda"], threads: int) -> torch.device:
    """Set the thread count and deterministic algorithms, and choose the device.

    Raises
    ------
    TrainingError
        "cuda" is asked for where there is none.
    """
    torch.set_num_threads(threads)
    found = torch.cuda.is_available()
    if device == "cuda" and not found:
        raise TrainingError("device is cuda, but torch sees no GPU; set it to auto or cpu")
    chosen = torch.device("cuda" if found and device != "cpu" else "cpu")
    # on a CPU it costs nothing; a GPU lacks some operators
    torch.use_deterministic_algorithms(chosen.type == "cpu")
    # else every new tensor is filled with NaN first, which is a twentieth of an encoder's time and changes no result
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    logger.debug("torch on %s with %d threads", chosen, threads)
    return chosen
