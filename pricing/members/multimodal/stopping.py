"""What ends a training from outside: SIGTERM as a wish that the loop can see, a device that is full as an error."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from pricing.errors import TrainingError


@contextmanager
def on_sigterm(act: Callable[[], None]) -> Iterator[None]:
    """Call ``act`` in place of what SIGTERM does; only a main thread can be asked."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: act())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def full_memory_is_an_error(device: torch.device, rows: int) -> Iterator[None]:
    """A device without memory for a step of so many rows ends in a TrainingError that names the ways out."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"{device} has not enough memory for steps of {rows} rows; under members.multimodal, halve "
            "training.batch_size and double training.accumulation, which learns the same, set "
            "text.gradient_checkpointing, or lower text.max_length or image.side"
        ) from error
