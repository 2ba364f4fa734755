"""Looking at the store and at finished runs, without Prefect."""

import json
from pathlib import Path

import pytest
import typer
from filelock import FileLock, Timeout
from typer.testing import CliRunner

from flows.cli import app
from pricing.config.base import Section
from pricing.config.catalogue import FoldsConfig, ImagesConfig
from pricing.configuration import load_config
from pricing.download.sources import ImageSource
from pricing.errors import ArtifactError, InputError
from pricing.members.lightgbm import LightGBMSettings
from pricing.plan.dag import make_plan
from pricing.store.artifacts import ArtifactStore, Reference, key_parts
from pricing.store.stages import Stage
from pricing.store.why import setting_label

RUNNER = CliRunner()


def fill(artifacts: Path, n_splits: int, slot: str = "") -> Reference:
    parts = key_parts("folds", "pricing.catalogue.ingest", {"config": FoldsConfig(n_splits=n_splits)})
    store = ArtifactStore(artifacts / "store")

    def make(out: Path) -> None:
        (out / "x").write_text(str(n_splits), encoding="utf-8")

    return store.build(Stage.FOLDS, "folds", slot, parts, make)


def pricing(*arguments: object) -> str:
    return RUNNER.invoke(app, [str(argument) for argument in arguments], catch_exceptions=False).stdout


def test_why_names_the_setting_that_changed(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    assert "made once" in pricing("why", "folds", "--artifacts", tmp_path)
    fill(tmp_path, 4)
    told = pricing("why", "folds", "--artifacts", tmp_path).splitlines()
    assert told[1:] == ["  setting folds.n_splits: 3 -> 4"]


def test_why_follows_an_input_to_the_file_the_code_and_the_library_that_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trees ran again since their features are others, and those since the catalogue is read from another file."""
    store = ArtifactStore(tmp_path / "store")
    code, versions = (
        {"pricing.members.lightgbm": "a1", "pricing.metrics.smape": "b1"},
        {"lightgbm": "4.5.0", "python": "3.11"},
    )
    monkeypatch.setattr("pricing.store.keys.code_digests", lambda *entries: dict(code))
    monkeypatch.setattr("pricing.store.keys.library_versions", lambda *entries: dict(versions))

    def build(stage: str, slot: str, sources: dict[str, str] | None = None, **inputs: object) -> Reference:
        parts = key_parts(stage, "any", inputs)
        text = json.dumps(parts)

        def make(out: Path) -> None:
            (out / "x").write_text(text, encoding="utf-8")

        return store.build(Stage(stage), stage, slot, parts, make, sources=sources)

    def run(train: Path, test: Path | None, leaves: int, members: list[str]) -> None:
        sources = {"train": str(train)} | ({"test": str(test)} if test else {})
        catalogue = build("catalogue", "", sources, train=train, test=test)
        features = build("features", "", catalogue=catalogue, seed=0)
        settings = LightGBMSettings(num_leaves=leaves)
        models = {
            name: [build("gbdt", f"{name}-0", features=features, settings=settings, member=name)] for name in members
        }
        build("ensemble", "", members=models, floor=None)

    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    for path in (old, new):
        path.write_text(path.name, encoding="utf-8")
    run(old, None, 31, ["lightgbm"])
    code |= {"pricing.members.lightgbm": "a2", "pricing.members.trees.target": "c1"}
    versions |= {"lightgbm": "4.6.0"}
    run(new, old, 4, ["lightgbm", "xgboost"])
    shared = [
        "code changed: pricing.members.lightgbm",
        "code added: pricing.members.trees.target",
        "library lightgbm: 4.5.0 -> 4.6.0",
    ]
    catalogue = ["another output of catalogue", f"  test file: none -> {old}", f"  another train file: {old} -> {new}"]
    told = {}
    for stage in ("ensemble", "gbdt", "catalogue"):
        header, *lines = pricing("why", stage, "--artifacts", tmp_path).splitlines()
        assert (": made 20" in header) == (stage != "gbdt")  # xgboost is new
        told[stage] = [line.removeprefix("  ") for line in lines]
    assert told["catalogue"] == [*(line.removeprefix("  ") for line in catalogue[1:]), *shared]
    assert told["gbdt"] == []
    why = ["another output of features", *(f"  {line}" for line in catalogue), *(f"    {line}" for line in shared)]
    assert told["ensemble"] == [
        "another output of gbdt lightgbm-0", *(f"  {line}" for line in why),
        "  setting members.lightgbm.num_leaves: 31 -> 4", "gbdt xgboost-0: not read before",
    ]  # fmt: skip

    new.write_text("more rows", encoding="utf-8")
    run(new, old, 4, ["lightgbm", "xgboost"])
    assert pricing("why", "gbdt", "--artifacts", tmp_path).splitlines()[1:] == [
        "  another output of features", "    another output of catalogue", f"      train file: {new} has other content",
    ]  # fmt: skip


def test_why_tells_of_every_step_of_a_stage(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "store")
    for name in ("features", "price_features"):
        parts = key_parts(name, "pricing.catalogue.ingest", {})
        store.build(Stage.FEATURES, name, "", parts, lambda out: (out / "x").write_text("", encoding="utf-8"))
    told = pricing("why", "features", "--artifacts", tmp_path).splitlines()
    assert [line.partition(":")[0] for line in told] == ["features", "price_features"]


def test_why_says_what_became_of_the_images(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "store")
    for state, present, failed in (("a" * 64, 3, {"http_404": 1}), ("b" * 64, 4, {})):
        fetched = {"requested": 4, "present": present, "failed": failed, "state": state}
        parts = key_parts(
            "images", "pricing.metrics.smape", {"fetched": fetched, "origin": "web", "config": ImagesConfig()}
        )
        store.build(Stage.DOWNLOAD, "images", "", parts, lambda out: (out / "x").write_text("", encoding="utf-8"))
    assert pricing("why", "download", "--artifacts", tmp_path).splitlines()[1:] == [
        "  images that failed with http_404: 1 -> none", "  images that are there: 3 -> 4",
        "  images' contents: others than before",
    ]  # fmt: skip


def test_every_setting_that_why_names_is_one(tmp_path: Path) -> None:
    """Otherwise a person sets what does not exist."""
    config = load_config("cpu", ["tuning.trials=1"])
    for step in make_plan(config, Path("train.csv"), None, ImageSource.web(), links=1).steps:
        for name, value in step.inputs.items():
            if isinstance(value, Section):
                section = config
                for part in setting_label(step.name, step.slot, name).removeprefix("setting ").split("."):
                    section = getattr(section, part)
                # a section that is not set is None, such as the roles of the columns
                assert isinstance(section, Section | None), (step.label, name)


def test_why_of_a_stage_that_never_ran_names_those_that_did(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    with pytest.raises(InputError, match="there are folds"):
        pricing("why", "gbdt", "--artifacts", tmp_path)


def test_prune_keeps_what_a_run_uses(tmp_path: Path) -> None:
    kept, gone = fill(tmp_path, 3), fill(tmp_path, 4)
    records = tmp_path / "records"
    records.mkdir()
    for name in (f"folds-{kept.key}", f"folds-{gone.key}", f"price_features-{gone.key}", "notes.txt"):
        (records / name).write_text("{}", encoding="utf-8")
    (tmp_path / "run.json").write_text(json.dumps({"stages": [{"key": kept.key}]}), encoding="utf-8")
    half = tmp_path / "store" / ".partial" / "half"
    half.mkdir(parents=True)
    assert pricing("prune", "--artifacts", tmp_path, "--keep", tmp_path).startswith("2 outputs removed")
    store = ArtifactStore(tmp_path / "store")
    assert store.path(kept).exists()
    assert not store.path(gone).exists()
    assert not half.exists()
    assert sorted(path.name for path in records.iterdir()) == [f"folds-{kept.key}", "notes.txt"]


def test_prune_sweeps_locks_but_those_that_a_run_holds(tmp_path: Path) -> None:
    """A lock taken while its file is removed is taken again on a new one: two runs never make one output."""
    fill(tmp_path, 3)
    locks = tmp_path / "store" / ".locks"
    with FileLock(locks / "gbdt-0123.lock"):
        pricing("prune", "--artifacts", tmp_path, "--all")
        assert [path.name for path in locks.iterdir()] == ["gbdt-0123.lock"]
        with pytest.raises(Timeout), FileLock(locks / "gbdt-0123.lock", timeout=0, is_singleton=False):
            pass
    pricing("prune", "--artifacts", tmp_path, "--all")
    assert list(locks.iterdir()) == []
    assert fill(tmp_path, 3).slot == ""  # and the store makes new ones


@pytest.mark.parametrize("arguments", [[], ["--keep", "no-such-run"], ["--keep", ".", "--all"]])
def test_prune_without_a_run_to_keep_removes_nothing(tmp_path: Path, arguments: list[str]) -> None:
    kept = fill(tmp_path, 3)
    with pytest.raises(InputError, match="nothing was removed"):
        pricing("prune", "--artifacts", tmp_path, *arguments)
    assert ArtifactStore(tmp_path / "store").path(kept).exists()
    assert pricing("prune", "--artifacts", tmp_path, "--all").startswith("1 outputs removed")


def test_prune_all_removes_checkpoints_and_prune_for_a_run_leaves_them(tmp_path: Path) -> None:
    kept = fill(tmp_path, 3)
    (tmp_path / "run.json").write_text(json.dumps({"stages": [{"key": kept.key}]}), encoding="utf-8")
    checkpoints, images = tmp_path / "work" / "checkpoints", tmp_path / "work" / "images"
    for folder in (checkpoints / "0123" / "text", images):
        folder.mkdir(parents=True)
        (folder / "x").write_bytes(bytes(3_000_000))
    assert pricing("prune", "--artifacts", tmp_path, "--keep", tmp_path) == "0 outputs removed, 0.0 MB\n"
    assert (checkpoints / "0123" / "text" / "x").exists()
    assert pricing("prune", "--artifacts", tmp_path, "--all") == "1 outputs removed, 3.0 MB\n"
    assert not checkpoints.exists()
    assert (images / "x").exists(), "images are fetched over a network, and no run's alone"


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


def test_every_argument_and_option_says_what_it_is() -> None:
    """`--oof <path> [required]` tells nothing; and no command offers what it does not make."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    silent = [f"{name} {one.name}" for name, command in commands.items() for one in command.params if not one.help]
    assert not silent
    helps = {name: {one.name: one.help for one in command.params} for name, command in commands.items()}
    assert "report" in helps["run"]["output"]
    for name in ("stage", "ensemble", "score"):
        assert "report" not in helps[name]["output"]
    assert all(command.help for command in commands.values())
