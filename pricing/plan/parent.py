"""Processes that must not outlive the one that started them. Imports nothing, because a watcher has to be cheap."""

import os
import time


def wait_for_end_of(parent: int) -> None:
    """Return when the process that started this one has ended, killed ones and zombies included."""
    # an orphan gets another parent at once; there is no portable event for it
    while os.getppid() == parent:
        time.sleep(0.5)
