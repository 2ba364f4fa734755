"""The temporary server of a command that no server was named to."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from tasks.parent import wait_for_end_of

MARK = "PRICING_COMMAND"


@contextmanager
def local_server() -> Iterator[None]:
    """The server that the profile names, or one temporary server for this process and its workers.

    Left to itself, every worker process would start a temporary server of its own, some 10 s of CPU each.
    """
    # a small busy machine needs longer than 20 s to start it; nothing is reported anywhere
    defaults = {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120", "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
                "DO_NOT_TRACK": "1"}  # fmt: skip
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    from prefect.settings import PREFECT_API_URL, temporary_settings

    if PREFECT_API_URL.value():
        yield
        return
    from prefect.logging.handlers import APILogHandler
    from prefect.server.api.server import SubprocessASGIServer

    _end_together()
    server = SubprocessASGIServer()
    server.start(timeout=120)
    try:
        with temporary_settings({PREFECT_API_URL: server.api_url}):
            yield
    finally:
        APILogHandler().flush()  # what is still queued would find no server
        server.stop()


def _end_together() -> None:
    """Let all that this process starts from now on end with it, even if it is killed; Prefect's server would go on.

    The server's number is not known before it answers, and a kill may come earlier: what is started carries a mark.
    """
    os.environ[MARK] = uuid.uuid4().hex
    command = [sys.executable, "-m", "flows.server", str(os.getpid()), os.environ[MARK]]
    null = subprocess.DEVNULL  # an inherited pipe would stay open after the command
    subprocess.Popen(command, start_new_session=True, stdin=null, stdout=null, stderr=null)


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
