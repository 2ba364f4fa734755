"""Which server a run uses, and what it says when there is none that it can use."""

import http.server
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_SERVER_DATABASE_CONNECTION_URL,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    Profile,
    temporary_settings,
)  # fmt: skip

import flows
from flows import reaching
from flows.pricing_flow import pricing_flow
from flows.server import local_server
from flows.temporary_server import TemporaryServer
from pricing.errors import RunError
from pricing.sample.generate import generate_sample
from tests.conftest import ROOT

CLOSED = "http://127.0.0.1:9"
"""Nothing listens there."""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, None),
        ({"NO_PROXY": "a.example"}, "a.example"),
        ({"HTTP_PROXY": CLOSED}, "127.0.0.1,localhost,::1"),
        ({"all_proxy": CLOSED, "NO_PROXY": "a.example, localhost"}, "a.example,localhost,127.0.0.1,::1"),
        ({"https_proxy": CLOSED, "no_proxy": "a.example"}, "a.example,127.0.0.1,localhost,::1"),
        ({"HTTP_PROXY": CLOSED, "no_proxy": "*"}, "*"),
    ],
)
def test_loopback_is_asked_without_a_proxy(
    before: dict[str, str], after: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name in ("NO_PROXY", "no_proxy"):  # known to be restored afterwards
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    flows._prepare_environment()
    effective = os.environ.get("no_proxy", os.environ.get("NO_PROXY"))
    assert effective == after
    if after and before.keys() - {"NO_PROXY", "no_proxy"} and after != "*":
        assert os.environ["NO_PROXY"] == os.environ["no_proxy"]


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "127.0.0.1:9", ""])
def test_a_proxy_of_any_usual_kind_may_stand_in_the_environment(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """httpx makes a client for each of them, also where every server that is asked is on loopback."""
    monkeypatch.setenv("ALL_PROXY", proxy)
    reaching.check_proxies()


@pytest.mark.parametrize(
    "proxy", ["socks9://u:secret@127.0.0.1:9", "http://u:secret@[::1", "http://u:secret@host:port"]
)
def test_a_proxy_that_is_none_is_one_line_without_its_password(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(RunError, match=r"HTTPS_PROXY.*correct the variable or remove it") as raised:
        reaching.check_proxies()
    assert "secret" not in str(raised.value)


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers everything with the server's code and text."""

    def do_GET(self) -> None:
        code, text = self.server.answer  # type: ignore[attr-defined]
        self.send_response(code)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def answering(code: int, text: bytes) -> Iterator[str]:
    """A server that is none of Prefect's; its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.answer = (code, text)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def refusal(address: str) -> str:
    """The line that a run with this PREFECT_API_URL ends with, after a few seconds at most."""
    started = time.monotonic()
    with temporary_settings({PREFECT_API_URL: address}), pytest.raises(RunError) as error, local_server():
        raise AssertionError("reached")
    assert time.monotonic() - started < 20
    line = str(error.value)
    assert "\n" not in line
    assert "PREFECT_API_URL" in line or "profile" in line or "prefect.toml" in line
    return line


@pytest.mark.parametrize(
    ("address", "told"),
    [
        (f"{CLOSED}/api", "cannot be reached"),
        ("https://127.0.0.1:9/api", "cannot be reached"),
        ("http://no-such-host.invalid:4200/api", "cannot be reached"),
        ("127.0.0.1:4200/api", "another protocol"),
        ("ftp://127.0.0.1/api", "another protocol"),
    ],
)
def test_a_server_that_is_not_there_is_one_line(address: str, told: str) -> None:
    line = refusal(address)
    assert address in line
    assert told in line
    assert "make server" in line


@pytest.mark.parametrize(
    ("code", "text", "told"),
    [
        (200, b"<html>a shop</html>", "not as a Prefect API does; the address ends in /api"),
        (200, b'{"a": 1}', "not as a Prefect API does"),
        (404, b"", "404"),
        (500, b"oops", "500"),
        (503, b"busy", "503"),
        (401, b'{"exception_message": "Unauthorized"}', "PREFECT_API_AUTH_STRING"),
        (403, b"", "does not let this process in"),
    ],
)
def test_a_server_that_is_none_of_prefects_is_one_line(code: int, text: bytes, told: str) -> None:
    with answering(code, text) as address:
        assert told in refusal(f"{address}/api")


def test_http_and_https_mixed_up() -> None:
    with answering(200, b"3") as address:
        assert "http or https?" in refusal(address.replace("http:", "https:") + "/api")


def test_a_server_that_speaks_tls_is_asked_in_plain() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def shake_hands() -> None:
            connection, _ = listener.accept()
            with connection, pytest.raises(ssl.SSLError):
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=shake_hands)
        thread.start()
        line = refusal(f"http://127.0.0.1:{listener.getsockname()[1]}/api")
        thread.join()
    assert "is it http or https?" in line or "cannot be reached" in line


def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaching, "SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert "did not answer" in refusal(f"http://127.0.0.1:{listener.getsockname()[1]}/api")


def test_the_password_in_an_address_is_not_shown() -> None:
    line = refusal("http://me:secret@127.0.0.1:9/api")
    assert "secret" not in line
    assert "127.0.0.1:9" in line


def test_the_address_of_a_profile_is_said_to_be_the_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.context import use_profile

    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    mine = Profile(name="mine", settings={PREFECT_API_URL: f"{CLOSED}/api"})
    with (
        use_profile(mine, include_current_context=False),
        pytest.raises(RunError, match="profile 'mine'"),
        local_server(),
    ):
        raise AssertionError("reached")


def test_the_temporary_server_is_given_the_time_that_was_set(tmp_path: Path) -> None:
    """Its start took 129 s behind a proxy, and the documented variable did nothing."""
    started = time.monotonic()
    settings = {PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: 1, PREFECT_HOME: tmp_path}
    server = TemporaryServer()
    with (
        temporary_settings(settings),
        pytest.raises(RunError, match="within 1 s; set PREFECT_SERVER_EPHEMERAL"),
        server,
    ):
        raise AssertionError("nothing answers so soon")
    assert time.monotonic() - started < 10
    assert server.process is not None
    assert server.process.poll() is not None


def test_a_temporary_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    absent = f"sqlite+aiosqlite:///{tmp_path / 'absent' / 'prefect.db'}"
    settings = {PREFECT_SERVER_DATABASE_CONNECTION_URL: absent, PREFECT_HOME: tmp_path}
    with temporary_settings(settings), pytest.raises(RunError, match="unable to open database file"), TemporaryServer():
        raise AssertionError("it started")


def test_a_run_that_loses_its_server_says_so(prefect_server: str) -> None:
    @pricing_flow("losing")
    def lose() -> None:
        raise httpx.ConnectError("[Errno 111] Connection refused")

    with pytest.raises(RunError, match=f"{prefect_server}: cannot be reached .* what is finished is kept, run again"):
        lose()


def test_the_command_says_it_in_one_line_behind_a_proxy(tmp_path: Path) -> None:
    train = generate_sample(tmp_path / "sample", rows=60, test_rows=20, images=False).train
    environment = os.environ | {"PREFECT_API_URL": f"{CLOSED}/api", "HTTP_PROXY": CLOSED, "ALL_PROXY": CLOSED}
    command = [sys.executable, "-m", "flows.cli", "run", "--train", str(train), "--output", str(tmp_path / "out"),
               "--artifacts", str(tmp_path / "artifacts")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"pricing: Prefect server {CLOSED}/api, from the environment variable PREFECT_API_URL"
    )
    assert len(done.stderr.splitlines()) == 1
