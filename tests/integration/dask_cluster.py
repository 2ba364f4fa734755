"""A Dask scheduler and its workers as processes of their own, on loopback."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.conftest import ROOT


@contextmanager
def start_scheduler(folder: Path) -> Iterator[str]:
    """A scheduler on a free port; yields its address, and ends it with the block."""
    known = folder / "scheduler.json"
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(known)]
    with _started(["distributed.cli.dask_scheduler", *options], folder, {}) as process:
        while not known.exists():
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)  # another process's file
        yield str(json.loads(known.read_text(encoding="utf-8"))["address"])


@contextmanager
def start_worker(
    address: str, folder: Path, resources: str, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker with one thread, in a working folder of its own; it and its nanny end with the block.

    Parameters
    ----------
    address : str
        Of the scheduler.
    folder : Path
        Working folder, made if it is missing; its file ``log`` has what the worker printed.
    resources : str
        As Dask takes them: "trees=1", "networks=1 gpu=1".
    environment : mapping, optional
        Further variables.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--nthreads", "1", "--no-dashboard", "--local-directory", str(folder), "--resources", resources]
    with _started(["distributed.cli.dask_worker", address, *options], folder, environment or {}) as process:
        yield process


@contextmanager
def _started(command: list[str], folder: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    variables = os.environ | {"PYTHONPATH": str(ROOT), "DO_NOT_TRACK": "1"} | dict(environment)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=folder, env=variables, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):  # a test has killed it
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
