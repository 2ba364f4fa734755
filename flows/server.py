"""The server of a run: the one that is configured, or a temporary one of this process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pricing.plan.parent import ending_together

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

    with ending_together(), TemporaryServer() as server, _named(server.api_url):
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
