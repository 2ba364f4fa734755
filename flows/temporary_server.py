"""A Prefect server for the length of one run."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

import httpx
import prefect
from prefect.settings import get_current_settings

from pricing.errors import RunError

VARIABLE = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"
STARTUP_SECONDS = 300
"""Unless the variable says otherwise. Prefect's own 20 are too short: a new home took 150 on two very busy cores."""
STOP_SECONDS = 5.0
# leases in memory would end with the server, and what they hold in its database would not
LEASES = {"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem"}


class TemporaryServer:
    """Prefect's server in a process of its own, on a free port of loopback, without the UI.

    Prefect has one too (``SubprocessASGIServer``). It does not notice a server that ended at once, and waits on.
    """

    def __init__(self) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def api_url(self) -> str:
        """Address of the API."""
        return f"http://127.0.0.1:{self.port}/api"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._log.close()

    def _start(self) -> None:
        settings = get_current_settings()
        ephemeral = settings.server.ephemeral
        given = "startup_timeout_seconds" in ephemeral.model_fields_set
        seconds = ephemeral.startup_timeout_seconds if given else STARTUP_SECONDS
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "--app-dir", str(prefect.__module_path__.parent), "--factory",
             "prefect.server.api.server:create_app", "--host", "127.0.0.1", "--port", str(self.port),
             "--log-level", "error", "--lifespan", "on"],
            env={**LEASES, **os.environ, "PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1",
                 "PREFECT__SERVER_FINAL": "1", **settings.to_environment_variables(exclude_unset=True)},
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
            start_new_session=True,  # Ctrl-C in a terminal would end it before the run has told it how it ended
        )  # fmt: skip
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RunError(
                    f"the temporary Prefect server ended with {self.process.returncode}: {self._said()}; "
                    "mend that, or name a running server with PREFECT_API_URL"
                )
            with suppress(httpx.TransportError):
                if httpx.get(f"{self.api_url}/health", timeout=2, trust_env=False).is_success:
                    return
            time.sleep(0.1)  # a health check is the only sign that a server gives
        raise RunError(
            f"the temporary Prefect server on {self.api_url} did not answer within {seconds} s; set {VARIABLE} higher, "
            "or name a running server with PREFECT_API_URL"
        )

    def _said(self) -> str:
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().decode("utf-8", "replace").split("\n") if line.strip()]
        errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)]
        return (errors or lines or ["it said nothing"])[-1]
