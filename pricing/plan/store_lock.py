"""One run at a time on one store: two would train the same networks twice and share the machine's memory."""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pricing.config.paths import PathsConfig
from pricing.store.artifacts import write_json

__all__ = ["StoreLock", "holder_of"]

WAIT_SECONDS = 2.0
"""Seconds between two looks at a store that another run works on. Short, so that Ctrl-C is noticed while waiting."""


class StoreLock:
    """The store's lock file. It keeps runs of one machine apart; the kernel frees it with the process.

    Parameters
    ----------
    paths : PathsConfig
        Folders.
    log : callable
        Takes a format and its values: what is waited for.
    run : str
        Name of this run, for those that wait.
    """

    def __init__(self, paths: PathsConfig, log: Callable[..., object], run: str) -> None:
        self.place, self.log, self.run = paths.address or paths.local.absolute(), log, run
        self.record = paths.work / "run.json"
        self._said = False

    @contextmanager
    def held(self) -> Iterator["StoreLock"]:
        """Wait until no other run of this machine works on the store, and keep others waiting until the block ends."""
        self.record.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.record.with_suffix(".lock"))
        while True:
            try:
                lock.acquire(timeout=0)
                break
            except Timeout:
                self.wait()
        try:
            yield self
        finally:
            lock.release()

    @contextmanager
    def told(self, **more: str) -> Iterator[None]:
        """Say in the record who works on the store until the block ends; what is given is kept there too."""
        write_json(self.record, {"host": socket.gethostname(), "pid": os.getpid(), "since": time.time(),
                                 "run": self.run, **more})  # fmt: skip
        try:
            yield
        finally:
            self.record.unlink(missing_ok=True)

    def wait(self) -> None:
        """Say once what is waited for, and wait."""
        if not self._said:
            holder = holder_of(self.record)
            since = time.strftime("%H:%M", time.localtime(holder["since"])) if holder else "now"
            who = f"run {holder['run']} (process {holder['pid']} on {holder['host']})" if holder else "another run"
            self.log("waits for %s, which works on %s since %s", who, self.place, since)
            self._said = True
        time.sleep(WAIT_SECONDS)


def holder_of(record: Path) -> dict[str, Any]:
    """Return what a record says; empty where there is none."""
    with suppress(OSError, ValueError, TypeError):
        return dict(json.loads(record.read_text(encoding="utf-8")))
    return {}
