"""Looking at the store and at finished runs, without Prefect."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from pricing.artifacts import ArtifactStore, Reference, key_parts
from pricing.config import FoldsConfig
from pricing.errors import ArtifactError, InputError

RUNNER = CliRunner()


def fill(artifacts: Path, n_splits: int, slot: str = "") -> Reference:
    parts = key_parts("folds", "pricing.catalogue.stage", {"config": FoldsConfig(n_splits=n_splits)})
    store = ArtifactStore(artifacts / "store")
    return store.build("folds", slot, parts, lambda out: (out / "x").write_text(str(n_splits), encoding="utf-8"))


def pricing(*arguments: object) -> str:
    return RUNNER.invoke(app, [str(argument) for argument in arguments], catch_exceptions=False).stdout


def test_why_names_the_setting_that_changed(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    assert "made once" in pricing("why", "folds", "--artifacts", tmp_path)
    fill(tmp_path, 4)
    told = pricing("why", "folds", "--artifacts", tmp_path).splitlines()
    assert told[1:] == ["  inputs.config.n_splits: 3 -> 4"]


def test_why_of_a_stage_that_never_ran_names_those_that_did(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    with pytest.raises(InputError, match="there are folds"):
        pricing("why", "gbdt", "--artifacts", tmp_path)


def test_prune_keeps_what_a_run_uses(tmp_path: Path) -> None:
    kept, gone = fill(tmp_path, 3), fill(tmp_path, 4)
    (tmp_path / "run.json").write_text(json.dumps({"stages": [{"key": kept.key}]}), encoding="utf-8")
    half = tmp_path / "store" / ".partial" / "half"
    half.mkdir(parents=True)
    assert pricing("prune", "--artifacts", tmp_path, "--keep", tmp_path).startswith("2 outputs removed")
    store = ArtifactStore(tmp_path / "store")
    assert store.path(kept).exists()
    assert not store.path(gone).exists()
    assert not half.exists()


@pytest.mark.parametrize("arguments", [[], ["--keep", "no-such-run"]])
def test_prune_without_a_run_to_keep_removes_nothing(tmp_path: Path, arguments: list[str]) -> None:
    kept = fill(tmp_path, 3)
    with pytest.raises(InputError, match="nothing was removed"):
        pricing("prune", "--artifacts", tmp_path, *arguments)
    assert ArtifactStore(tmp_path / "store").path(kept).exists()
    assert pricing("prune", "--artifacts", tmp_path, "--all").startswith("1 outputs removed")


def test_prune_all_removes_checkpoints_and_prune_for_a_run_leaves_them(tmp_path: Path) -> None:
    kept = fill(tmp_path, 3)
    (tmp_path / "run.json").write_text(json.dumps({"stages": [{"key": kept.key}]}), encoding="utf-8")
    checkpoints, pictures = tmp_path / "work" / "checkpoints", tmp_path / "work" / "images"
    for folder in (checkpoints / "0123" / "text", pictures):
        folder.mkdir(parents=True)
        (folder / "x").write_bytes(bytes(3_000_000))
    assert pricing("prune", "--artifacts", tmp_path, "--keep", tmp_path) == "0 outputs removed, 0.0 MB\n"
    assert (checkpoints / "0123" / "text" / "x").exists()
    assert pricing("prune", "--artifacts", tmp_path, "--all") == "1 outputs removed, 3.0 MB\n"
    assert not checkpoints.exists()
    assert (pictures / "x").exists(), "pictures are fetched over a network, and no run's alone"


@pytest.mark.parametrize("command", [("verify",), ("prune", "--all"), ("why", "gbdt")])
def test_a_store_that_is_not_there_is_an_error(tmp_path: Path, command: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="there is no store"):
        pricing(*command, "--artifacts", tmp_path / "misspelt")


def test_a_stage_has_no_report(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"stage": "gbdt", "images": null}', encoding="utf-8")
    with pytest.raises(InputError, match="holds the stage gbdt alone"):
        pricing("report", "--run", tmp_path)


def test_verify_names_the_damaged_file(tmp_path: Path) -> None:
    reference = fill(tmp_path, 3)
    assert pricing("verify", "--artifacts", tmp_path) == "1 outputs, all whole\n"
    (ArtifactStore(tmp_path / "store").path(reference) / "x").write_text("4", encoding="utf-8")
    with pytest.raises(ArtifactError, match="1 damaged"):
        pricing("verify", "--artifacts", tmp_path)
