"""The server of a run: the one that is configured, or a temporary one of this process."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from pricing.plan.parent import wait_for_end_of

MARK = "PRICING_COMMAND"
VARIABLE = "PREFECT_API_URL"


@contextmanager
def local_server() -> Iterator[None]:
    """The server that Prefect's settings name, or one temporary server for this process and its workers.

    Left to itself, every worker process would start a temporary server of its own, some 10 s of CPU each.

    Raises
    ------
    RunError
        The server cannot be reached or started, or a proxy of the environment is none; says what to do.
    """
    from prefect.settings import PREFECT_API_URL

    from flows.reaching import check_proxies, check_server
    from flows.temporary_server import TemporaryServer

    check_proxies()
    if address := PREFECT_API_URL.value():
        check_server(address)
        yield
        return
    from prefect.logging.handlers import APILogHandler

    with _ending_together(), TemporaryServer() as server, _named(server.api_url):
        try:
            yield
        finally:
            APILogHandler().flush()  # what is still queued would find no server


@contextmanager
def _named(address: str) -> Iterator[None]:
    """Let every thread and child process use the server; a thread of Prefect's that does not know it starts another."""
    from prefect.context import refresh_global_settings_context
    from prefect.settings import PREFECT_API_URL, temporary_settings

    os.environ[VARIABLE] = address
    refresh_global_settings_context()  # what threads without a context of their own have
    try:
        with temporary_settings({PREFECT_API_URL: address}):
            yield
    finally:
        del os.environ[VARIABLE]
        refresh_global_settings_context()


@contextmanager
def _ending_together() -> Iterator[None]:
    """Let all that is started in the block end with this process, even if it is killed; the server would go on.

    The server's number is not known before it answers, and a kill may come earlier: what is started carries a mark.
    """
    os.environ[MARK] = uuid.uuid4().hex
    command = [sys.executable, "-m", "flows.server", str(os.getpid()), os.environ[MARK]]
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
