"""`pricing serve` and the options that it checks before anything is read."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pricing.command.serve_command import app
from pricing.errors import ConfigError, InputError
from pricing.serve import listening
from pricing.serve.listening import bind
from pricing.serve.serve_settings import ServeSettings, parse_size, read_key


def test_the_options_become_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Path, str, int, ServeSettings]] = []
    monkeypatch.setattr(listening, "serve", lambda *given: asked.append(given))
    monkeypatch.setenv("PRICING_API_KEY", "k")
    given = ["--model", "m", "--port", "0", "--allow-host", "a.example", "--allow-host", "b.example", "--max-body",
             "1MiB", "--max-rows", "7", "--excel-safe"]  # fmt: skip
    done = CliRunner().invoke(app, given, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    folder, host, port, settings = asked[0]
    assert (folder, host, port) == (Path("m"), "127.0.0.1", 0), "loopback unless told otherwise"
    assert (settings.allow_hosts, settings.max_body, settings.max_rows) == (("a.example", "b.example"), 1_048_576, 7)
    assert (settings.excel_safe, settings.key) == (True, "k")
    assert "'k'" not in repr(settings), "the key stands in no log"


@pytest.mark.parametrize("text", ["", "ten", "0", "-1MB"])
def test_a_size_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--max-body .*: is no size; write a number of bytes"):
        parse_size(text)


def test_an_empty_key_would_open_the_service_by_mistake() -> None:
    assert read_key({}) is None
    with pytest.raises(ConfigError, match="PRICING_API_KEY is empty"):
        read_key({"PRICING_API_KEY": " "})


def test_a_port_that_is_taken_is_named() -> None:
    with bind("127.0.0.1", 0) as listener, pytest.raises(InputError, match="cannot be listened on"):
        bind("127.0.0.1", listener.getsockname()[1])
