"""Processes that must not outlive the one that started them. Imports little, because a watcher has to be cheap."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

MARK = "PRICING_COMMAND"


def wait_for_end_of(parent: int) -> None:
    """Return when the process that started this one has ended, killed ones and zombies included."""
    # an orphan gets another parent at once; there is no portable event for it
    while os.getppid() == parent:
        time.sleep(0.5)


@contextmanager
def ending_together() -> Iterator[None]:
    """Let all that is started in the block end with this process, even if it is killed; the server would go on.

    The server's number is not known before it answers, and a kill may come earlier: what is started carries a mark.
    """
    os.environ[MARK] = uuid.uuid4().hex
    command = [sys.executable, "-m", "pricing.plan.parent", str(os.getpid()), os.environ[MARK]]
    null = subprocess.DEVNULL  # an inherited pipe would stay open after the command
    watcher = subprocess.Popen(command, start_new_session=True, stdin=null, stdout=null, stderr=null)
    try:
        yield
    finally:
        del os.environ[MARK]  # what a notebook starts later is its own
        watcher.terminate()
        watcher.wait()


def watch(parent: int, mark: str) -> None:
    """Wait until the process that started this one has ended, then end what carries its mark."""
    wait_for_end_of(parent)
    time.sleep(1)  # what was being started at that moment carries the mark by now
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                process.terminate()


if __name__ == "__main__":
    watch(int(sys.argv[1]), sys.argv[2])
