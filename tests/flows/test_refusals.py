"""What a command refuses, it refuses before any work: no server, no reading, no training."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows import cli
from pricing.errors import ConfigError, InputError

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def no_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No command may get as far as a server; inputs that were read would be reported as missing instead."""

    def refuse() -> None:
        raise AssertionError("work was begun")

    monkeypatch.setattr(cli, "local_server", refuse)
    monkeypatch.chdir(tmp_path)


def refused(*arguments: object) -> None:
    RUNNER.invoke(cli.app, [str(argument) for argument in arguments], catch_exceptions=False)


COMMANDS = {
    "run": ("run", "--train", "absent.csv"),
    "stage": ("stage", "gbdt", "--train", "absent.csv"),
    "submission": ("stage", "submission", "--train", "absent.csv"),
    "demo": ("demo",),
    "ensemble": ("ensemble", "--oof", "absent.csv", "--test-predictions", "absent.csv"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_that_is_a_file(tmp_path: Path, command: str) -> None:
    (tmp_path / "prices.csv").write_text("mine")
    with pytest.raises(InputError, match=r"prices\.csv is a file; expected a folder"):
        refused(*COMMANDS[command], "--output", "prices.csv")
    assert (tmp_path / "prices.csv").read_text() == "mine"


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "stage"])
def test_an_output_with_folders_of_the_users(tmp_path: Path, command: str) -> None:
    (tmp_path / "evaluation").mkdir()
    with pytest.raises(InputError, match="has a folder evaluation/"):
        refused(*COMMANDS[command], "--output", ".")


def test_prices_that_would_replace_a_folder() -> None:
    with pytest.raises(InputError, match="is a folder"):
        refused("score", "--run", "absent", "--catalogue", "absent.csv", "--output", ".")


@pytest.mark.parametrize("name", ["sample_id", "low_80"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_price_column_that_is_another_column(command: str, name: str) -> None:
    with pytest.raises(ConfigError, match=r"submission\.price_column"):
        refused(*COMMANDS[command], "--output", "out", "--price-column", name)
