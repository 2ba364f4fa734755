"""The processes that do the work: one pool a branch, each with its own cores, gone when the run is gone."""

import os
import threading

from prefect.task_runners import ProcessPoolTaskRunner

from tasks.parent import wait_for_end_of


def branch_runner(threads: int) -> ProcessPoolTaskRunner:
    """One process of its own for a branch, so that fifteen GBDT folds cannot starve the network.

    Parameters
    ----------
    threads : int
        Cores of this branch; numerical libraries that read it from the environment get it there.
    """
    return ProcessPoolTaskRunner(max_workers=1, initializer=prepare_worker, initargs=(os.getpid(), threads))


def prepare_worker(parent: int, threads: int) -> None:
    """Run once in a new process, before any numerical library is imported."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[variable] = str(threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    threading.Thread(target=_exit_with, args=(parent,), daemon=True, name="parent-watch").start()


def _exit_with(parent: int) -> None:
    # a worker whose parent was killed would go on training for nobody
    wait_for_end_of(parent)
    os._exit(1)
