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
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from pricing.plan.channel import open_channel
from pricing.plan.parent import wait_for_end_of

__all__ = [
    "end_worker", "interrupts_held", "prepare_worker", "second_interrupt_ends", "silence_tracker", "stop_workers",
    "wake_on_interrupt",
    "without_main",
]  # fmt: skip

GRACE_SECONDS = 20.0
"""What a training has for the step in hand and a checkpoint once its run was killed."""
STOP_SECONDS = 8.0
"""The same after Ctrl-C."""


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
    """SIGTERM to the lanes' processes: the end, but for a training, which first saves a checkpoint.

    Those that do not end within 8 s are killed: somebody waits for the terminal.
    """
    workers = multiprocessing.active_children()
    for worker in workers:
        worker.terminate()
    until = time.monotonic() + STOP_SECONDS
    for worker in workers:
        worker.join(max(0.0, until - time.monotonic()))
    for worker in workers:
        worker.kill()


def end_worker(worker: BaseProcess) -> None:
    """SIGTERM to one process, and SIGKILL to what has not ended 20 s later."""
    worker.terminate()
    killing = threading.Timer(GRACE_SECONDS, worker.kill)
    killing.daemon = True
    killing.start()


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Keep Ctrl-C from the processes that are started in the block, and from this one until its end.

    A new process inherits what is held back. It would otherwise be interrupted before `prepare_worker`, in the middle
    of Python's start, with a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def second_interrupt_ends() -> Iterator[None]:
    """Let a Ctrl-C in the block end this process and its workers at once: it is the second one.

    The store's lock goes with the process, and so does a temporary server (`pricing.plan.parent`).
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        for worker in multiprocessing.active_children():
            worker.kill()
        os._exit(130)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def wake_on_interrupt() -> None:
    """Let Ctrl-C wake a main thread that waits; polars' handler lets it wait on (SA_RESTART, polars issue 21739)."""
    if hasattr(signal, "siginterrupt"):
        signal.siginterrupt(signal.SIGINT, True)


def silence_tracker() -> None:
    """Let Python's tracker of semaphores remove in silence what a process leaves that was ended.

    It would warn after the run's last line. It takes the options for warnings of the process that starts it.
    """
    option = "ignore:resource_tracker:UserWarning"
    if option not in sys.warnoptions:
        sys.warnoptions.append(option)


def _exit_with(parent: int) -> None:
    # a worker whose parent was killed would go on training for nobody
    wait_for_end_of(parent)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)
