"""The processes that do the work: one a lane, each with its own cores, gone when the run is gone."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pricing.plan.channel import open_channel
from pricing.plan.parent import wait_for_end_of

__all__ = ["prepare_worker", "stop_workers", "without_main"]

GRACE_SECONDS = 20.0
"""What a training has for the step in hand and a checkpoint once its run was killed."""


def prepare_worker(parent: int, threads: int, weights: Path, channel: Connection) -> None:
    """Run once in a new process, before any numerical library is imported.

    Parameters
    ----------
    parent : int
        Process that started it; without it the worker ends.
    threads : int
        Cores of its lane; numerical libraries that read them from the environment get them there.
    weights : Path
        Folder that encoders from packages are joined in, unless the user has named one by PRICING_WEIGHTS.
    channel : Connection
        Where the process says what it is at, see `pricing.plan.channel`.
    """
    # Ctrl-C reaches every process of a terminal; the run's passes it on as SIGTERM, at which a training saves
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    open_channel(channel)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[variable] = str(threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ.setdefault("PRICING_WEIGHTS", str(weights))
    threading.Thread(target=_exit_with, args=(parent,), daemon=True, name="parent-watch").start()


@contextmanager
def without_main() -> Iterator[None]:
    """Processes started in the block do not run the caller's script again, as spawned ones do.

    Nothing that they work on is defined there, and a script without ``if __name__ == "__main__":`` would start another
    run in each of them.
    """
    main = sys.modules["__main__"]
    known: dict[str, Any] = {name: vars(main)[name] for name in ("__file__", "__spec__") if name in vars(main)}
    main.__spec__ = main.__file__ = None  # by these two a spawned process finds the script
    try:
        yield
    finally:
        del main.__file__
        vars(main).update(known)


def stop_workers() -> None:
    """SIGTERM to the lanes' processes: the end, but for a training, which first saves a checkpoint."""
    for worker in multiprocessing.active_children():
        worker.terminate()


def _exit_with(parent: int) -> None:
    # a worker whose parent was killed would go on training for nobody
    wait_for_end_of(parent)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)
