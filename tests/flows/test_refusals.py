"""What a command refuses, it refuses before any work: no server, no reading, no training."""

import errno
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows import cli
from pricing.command import options
from pricing.configuration import load_config
from pricing.download.sources import ImageSource
from pricing.errors import ConfigError, InputError, PricingError

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def no_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No command may get as far as a server; inputs that were read would be reported as missing instead."""

    for module in ("flows.pipeline", "flows.prefect_runner"):
        monkeypatch.setitem(sys.modules, module, None)  # importing it fails
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


def test_artifacts_that_are_a_file(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("mine")
    for command in ("run", "stage", "demo"):
        with pytest.raises(InputError, match=r"--artifacts store: .*is a file"):
            refused(*COMMANDS[command], "--output", "out", "--artifacts", "store")


def test_artifacts_may_be_set_in_a_preset_too() -> None:
    for overrides, expected in (
        (options.build_overrides(["paths.artifacts=elsewhere"]), "elsewhere"),
        (options.build_overrides(None, Path("2024"), price_column="5"), "2024"),
    ):
        assert load_config("demo", overrides).paths.artifacts == Path(expected)


@pytest.mark.parametrize(
    ("images", "mirror", "told"),
    [("images", None, "images"), (None, "http://m:1/x", "http://m:1/x"), (None, None, None)],
)
def test_images_are_one_text(images: str | None, mirror: str | None, told: str | None) -> None:
    assert options.images_text(images and Path(images), mirror) == told


def test_a_text_for_images_is_a_folder_or_a_mirror(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for folder in (tmp_path / "images", "images", str(tmp_path / "images")):
        assert ImageSource.of(folder) == ImageSource.folder(tmp_path / "images")
    assert ImageSource.of("https://mirror.example/a") == ImageSource.mirror("https://mirror.example/a")
    assert ImageSource.of(None) == ImageSource.web()
    for text, error in (("ftp://host", "expected http"), ("http://", "expected http"), ("absent", "no such folder")):
        with pytest.raises(ConfigError, match=error):
            ImageSource.of(text)


@pytest.mark.parametrize("mirror", ["images", "mirror.example", "ftp://host"])
def test_a_mirror_without_its_scheme_is_no_folder(tmp_path: Path, mirror: str) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(ConfigError, match="image mirror"):
        refused(*COMMANDS["run"], "--output", "out", "--image-mirror", mirror)


def test_a_run_with_a_preset_file_is_read_where_that_file_is_not(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text("[folds]\nn_splits = 4\n", encoding="utf-8")
    config = load_config("mine.toml").model_dump(mode="json")
    mine.unlink()
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    record = {"format": 5, "members": {}, "price_features": [], "decimals": 2}
    (tmp_path / "model.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(InputError, match=r"absent\.csv"):  # the configuration was read, and the catalogue is next
        refused("score", "--run", ".", "--catalogue", "absent.csv", "--output", "prices.csv")
    (tmp_path / "run.json").write_text(json.dumps({"config": config}), encoding="utf-8")
    with pytest.raises(PricingError) as error:
        refused("report", "--run", ".")
    assert "is no run folder" not in str(error.value)


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "store/x")

    monkeypatch.setattr(cli, "app", full)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        "pricing: store/x: No space left on device; what is finished is kept, run again\n"
    )


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


COLUMNS = 'id = "sku"\ntitle = "name"\namount = {"net.weight" = "%s"}\n'


@pytest.mark.parametrize("command", ["run", "stage", "submission"])
def test_roles_that_cannot_be(tmp_path: Path, command: str) -> None:
    (tmp_path / "good.toml").write_text(COLUMNS % "kg")
    (tmp_path / "bad.toml").write_text(COLUMNS % "stones")
    for file, said in (("good", "absent.csv: there is no such file"), ("bad", "known"), ("absent", "cannot be read")):
        with pytest.raises(InputError, match=said):
            refused(*COMMANDS[command], "--output", "out", "--columns", f"{file}.toml")


def test_the_option_wins_over_settings_role_by_role(tmp_path: Path) -> None:
    (tmp_path / "columns.toml").write_text(COLUMNS % "kg")
    settings = ['catalogue.columns.id="asin"', 'catalogue.columns.amount={"a.b"="g"}']
    roles = load_config("demo", options.build_overrides(settings, columns=Path("columns.toml"))).catalogue.roles
    assert (roles.id, roles.title, roles.amount) == ("sku", "name", {"a.b": "g", "net.weight": "kg"})


@pytest.mark.parametrize("command", ["run", "stage", "submission"])
def test_a_missing_catalogue(command: str) -> None:
    with pytest.raises(InputError, match=r"absent\.csv: there is no such file"):
        refused(*COMMANDS[command], "--output", "out")
