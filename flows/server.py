"""The temporary server of a command that no server was named to."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from tasks.parent import wait_for_end_of


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

    server = SubprocessASGIServer()
    server.start(timeout=120)
    if server.server_process is not None:
        _end_together(server.server_process.pid)
    try:
        with temporary_settings({PREFECT_API_URL: server.api_url}):
            yield
    finally:
        APILogHandler().flush()  # what is still queued would find no server
        server.stop()


def _end_together(server: int) -> None:
    """Let the server end with this process even if it is killed; Prefect's own would go on for ever."""
    command = [sys.executable, "-m", "flows.server", str(os.getpid()), str(server)]
    null = subprocess.DEVNULL  # an inherited pipe would stay open after the command
    subprocess.Popen(command, start_new_session=True, stdin=null, stdout=null, stderr=null)


def watch(parent: int, server: int) -> None:
    """Wait until the process that started this one has ended, then end another."""
    with suppress(psutil.NoSuchProcess):
        serving = psutil.Process(server)  # knows it from a later process of the same number
        wait_for_end_of(parent)
        serving.terminate()


if __name__ == "__main__":
    watch(int(sys.argv[1]), int(sys.argv[2]))
