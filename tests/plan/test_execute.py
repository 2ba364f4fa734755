"""What a step's function is told, and what is kept of what it makes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pricing.config.paths import PathsConfig
from pricing.download.sources import ImageSource
from pricing.errors import DownloadError, TrainingError
from pricing.members.contract import Lane, MemberSettings
from pricing.plan.execute import Runtime, execute
from pricing.plan.local_runner import execute_here
from pricing.plan.step import Step
from pricing.store.artifacts import Reference
from pricing.store.stages import Stage

HERE = "tests.plan.test_execute"
told: dict[str, Any] = {}


def write(text: str, out: Path, threads: int, work: Path) -> None:
    told.update(threads=threads, work=work)
    (out / "text.txt").write_text(text, encoding="utf-8")


def read(text: Path, others: dict[str, list[Path]], out: Path, inputs_digest: str, resume: Path) -> None:
    told.update(text=text, others=others, digest=inputs_digest, resume=resume)
    (out / "copy.txt").write_text((text / "text.txt").read_text(encoding="utf-8"), encoding="utf-8")


def stopped(settings: MemberSettings, out: Path, resume: Path) -> None:
    told.update(resume=resume)
    raise TrainingError("stopped")


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(PathsConfig(artifacts=tmp_path), 3, ImageSource.web())


@pytest.fixture(autouse=True)
def _this_module_is_no_code_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pricing.store.keys.code_digests", lambda *entries: {})
    monkeypatch.setattr("pricing.store.keys.library_versions", lambda *entries: {})


def step(function: str, slot: str = "", **inputs: Any) -> Step:
    return Step(Stage.FOLDS, "folds", f"{HERE}:{function}", Lane.TREES, inputs, slot=slot)


def test_a_step_gets_folders_in_place_of_references_and_only_what_it_asks_for(runtime: Runtime) -> None:
    made = Reference.model_validate(execute(step("write", text="a"), runtime))
    assert (told["threads"], told["work"]) == (3, runtime.paths.work)
    execute(step("read", text=made, others={"fold_0": [made]}), runtime)
    assert told["text"] == runtime.store.path(made)
    assert told["others"] == {"fold_0": [told["text"]]}
    assert told["resume"].parent == runtime.paths.checkpoints


def test_the_digest_of_the_inputs_is_of_outputs_alone(runtime: Runtime) -> None:
    a, b = (Reference.model_validate(execute(step("write", text=text), runtime)) for text in "ab")
    digests = []
    for slot, text, others in (("", a, {}), ("other", a, {}), ("", b, {}), ("", a, {"x": [b]})):
        execute(step("read", slot, text=text, others=others), runtime)
        digests.append(told["digest"])
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_an_output_is_made_once(runtime: Runtime) -> None:
    first = execute(step("write", text="a"), runtime)
    told.clear()
    assert execute(step("write", text="a"), Runtime(runtime.paths, 1, ImageSource.web())) == first
    assert not told, "cores are in no key"


def test_checkpoints_belong_to_the_key_of_what_they_become(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version of a library makes another output, so it must not resume what the old one left unfinished."""
    folders = []
    for version in ("1", "1", "2"):
        versions = {"torch": version}
        monkeypatch.setattr("pricing.store.keys.library_versions", lambda *entries, found=versions: found)
        with pytest.raises(TrainingError, match="stopped"):
            execute(step("stopped", settings=MemberSettings()), runtime)
        folders.append(told["resume"])
    assert folders[0] == folders[1] != folders[2]


def failing_twice(out_file: Path, say: Any) -> dict[str, int]:
    tries = int(out_file.read_text(encoding="utf-8")) + 1
    out_file.write_text(str(tries), encoding="utf-8")
    if tries < 3:
        raise DownloadError("the host is away")
    return {"tries": tries}


def test_the_local_runner_tries_again_what_may_be_tried_again(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    counter = tmp_path / "tries"
    for retries, expected in ((0, None), (1, None), (2, {"tries": 3})):
        counter.write_text("0", encoding="utf-8")
        fetch = replace(step("failing_twice", out_file=counter), cached=False, retries=retries)
        if expected is None:
            with pytest.raises(DownloadError, match="away"):
                execute_here(fetch, runtime)
        else:
            assert execute_here(fetch, runtime) == expected
    assert pauses == [5.0, 5.0, 20.0]
