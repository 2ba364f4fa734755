"""The processes that do the work: one pool a branch, each with its own cores, gone when the run is gone."""

import logging
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

from prefect.logging.configuration import ensure_logging_setup
from prefect.task_runners import ProcessPoolTaskRunner

from tasks.channel import open_channel
from tasks.logs import shorten_expected_errors
from tasks.parent import wait_for_end_of

GRACE_SECONDS = 20.0
"""What a training has for the step in hand and a checkpoint once its run was killed."""


def branch_runner(threads: int, weights: Path, channel: Connection | None = None) -> ProcessPoolTaskRunner:
    """One process of its own for a branch, so that fifteen GBDT folds cannot starve the network.

    Parameters
    ----------
    threads : int
        Cores of this branch; numerical libraries that read it from the environment get it there.
    weights : Path
        Folder that encoders from packages are joined in, unless the user has named one by PRICING_WEIGHTS.
    channel : Connection, optional
        Where the process says what it is at, see `tasks.channel`.
    """
    # the library's lines go where Prefect's go; a new process reads this before `prepare_worker`
    os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "pricing")
    initargs = (os.getpid(), threads, weights, channel)
    return ProcessPoolTaskRunner(max_workers=1, initializer=prepare_worker, initargs=initargs)


def prepare_worker(parent: int, threads: int, weights: Path, channel: Connection | None = None) -> None:
    """Run once in a new process, before any numerical library is imported."""
    # Ctrl-C reaches every process of a terminal; the flow's passes it on as SIGTERM, at which a training saves
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if channel is not None:
        open_channel(channel)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[variable] = str(threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ.setdefault("PRICING_WEIGHTS", str(weights))
    ensure_logging_setup()
    shorten_expected_errors()
    # an extra logger is only handed Prefect's handlers: without a level of its own it would keep the root's, WARNING
    logging.getLogger("pricing").setLevel(logging.getLogger("prefect").getEffectiveLevel())
    threading.Thread(target=_exit_with, args=(parent,), daemon=True, name="parent-watch").start()


@contextmanager
def without_main() -> Iterator[None]:
    """Processes started in the block do not run the caller's script again, as spawned ones do.

    Nothing that they work on is defined there, and a script without ``if __name__ == "__main__":`` would start another
    run, with another server, in each of them.
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
    """SIGTERM to the pools' processes: the end, but for a training, which first saves a checkpoint."""
    for worker in multiprocessing.active_children():
        worker.terminate()


def _exit_with(parent: int) -> None:
    # a worker whose parent was killed would go on training for nobody
    wait_for_end_of(parent)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)
