"""The store serves whole outputs under keys that mean what made them."""

import ast
import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pricing.config.catalogue import FoldsConfig
from pricing.configuration import PricingConfig
from pricing.store import codehash
from pricing.store.artifacts import ArtifactStore, Reference, key_of, key_parts
from pricing.store.stages import Stage

ENTRY = "pricing.catalogue.ingest"
LIBRARIES = "lightgbm", "xgboost", "catboost"


def build(store: ArtifactStore, text: str = "a", calls: list[str] | None = None) -> Reference:
    def make(out: Path) -> None:
        (out / "value.txt").write_text(text, encoding="utf-8")
        if calls is not None:
            calls.append(text)

    return store.build(Stage.FOLDS, "folds", "", key_parts("folds", ENTRY, {"text": text}), make)


def test_an_output_is_made_once(tmp_path: Path) -> None:
    store, calls = ArtifactStore(tmp_path), []
    first = build(store, calls=calls)
    assert build(store, calls=calls) == first
    assert calls == ["a"]
    assert (store.path(first) / "value.txt").read_text(encoding="utf-8") == "a"


def test_of_two_runs_at_once_the_first_to_finish_stays(tmp_path: Path) -> None:
    """Once the second one's output took its place, and the first went on with a digest that nothing had."""
    store, parts = ArtifactStore(tmp_path), key_parts("folds", ENTRY, {})
    first: list[Reference] = []

    def overtaken(out: Path) -> None:
        def theirs(folder: Path) -> None:
            (folder / "value.txt").write_text("theirs", encoding="utf-8")

        first.append(store.build(Stage.FOLDS, "folds", "", parts, theirs, together=True))
        (out / "value.txt").write_text("mine", encoding="utf-8")

    second = store.build(Stage.FOLDS, "folds", "", parts, overtaken, together=True)
    assert second == first[0] == store.find("folds", second.key)
    assert (store.path(second) / "value.txt").read_text(encoding="utf-8") == "theirs"
    assert not list((tmp_path / ".partial").iterdir())


def test_prune_leaves_what_several_runs_are_at(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)

    def make(out: Path) -> None:
        (tmp_path / ".partial" / "folds-0123-abandoned").mkdir()
        assert store.prune(set())[0] == 1
        (out / "value.txt").write_text("a", encoding="utf-8")

    made = store.build(Stage.FOLDS, "folds", "", key_parts("folds", ENTRY, {}), make, together=True)
    assert (store.path(made) / "value.txt").exists()


def test_a_run_waits_for_another_that_makes_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two trainings in one folder of checkpoints would end each other; and pruning leaves the one at work alone."""
    store, parts = ArtifactStore(tmp_path), key_parts("folds", ENTRY, {"text": "a"})
    at_work, waiting, go_on = threading.Event(), threading.Event(), threading.Event()
    monkeypatch.setattr(logging.getLogger("pricing.store.artifacts"), "info", lambda *_: waiting.set())
    calls: list[str] = []

    def slow(out: Path) -> None:
        at_work.set()
        assert go_on.wait(60)
        (out / "value.txt").write_text("a", encoding="utf-8")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(store.build, Stage.FOLDS, "folds", "", parts, slow)
        assert at_work.wait(60)
        assert store.prune(set()) == (0, 0)
        second = pool.submit(build, store, calls=calls)
        assert waiting.wait(60)
        go_on.set()
        assert first.result(60) == second.result(60)
    assert calls == []


@pytest.mark.parametrize("harm", ["delete", "truncate", "same_size", "record"])
def test_a_damaged_output_is_rebuilt(tmp_path: Path, harm: str) -> None:
    store, calls = ArtifactStore(tmp_path), []
    reference = build(store, "hello", calls)
    value = store.path(reference) / "value.txt"
    if harm == "delete":
        value.unlink()
    elif harm == "record":
        (store.path(reference) / "artifact.json").write_text("{", encoding="utf-8")
    else:
        value.write_text("h" if harm == "truncate" else "jello", encoding="utf-8")
    assert store.find("folds", reference.key) is None
    assert store.verify()
    assert build(store, "hello", calls).digest == reference.digest
    assert calls == ["hello", "hello"]
    assert not store.verify()


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)

    def make(out: Path) -> None:
        (out / "half").write_text("x", encoding="utf-8")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        store.build(Stage.FOLDS, "folds", "", key_parts("folds", ENTRY, {}), make)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_a_file_counts_by_content_and_a_reference_by_digest(tmp_path: Path) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text("x", encoding="utf-8")
    two.write_text("x", encoding="utf-8")

    def key(path: Path) -> str:
        return key_of(key_parts("catalogue", ENTRY, {"train": path}))

    before = key(one)
    assert before == key(two)
    one.write_text("y", encoding="utf-8")
    assert key(one) != before
    reference = build(ArtifactStore(tmp_path / "store"))
    later = reference.model_copy(update={"started": 1.0, "ended": 2.0, "threads": 9})
    assert key_of(key_parts("s", ENTRY, {"r": reference})) == key_of(key_parts("s", ENTRY, {"r": later}))


def test_a_setting_changes_the_key() -> None:
    keys = {key_of(key_parts("folds", ENTRY, {"config": FoldsConfig(n_splits=n)})) for n in (2, 3, 4)}
    assert len(keys) == 3


def test_the_key_is_the_same_in_every_process() -> None:
    code = ("from pricing.store.artifacts import key_of, key_parts; from pricing.configuration import PricingConfig;"
            f"print(key_of(key_parts('x', '{ENTRY}', {{'config': PricingConfig()}})))")  # fmt: skip
    here = key_of(key_parts("x", ENTRY, {"config": PricingConfig()}))
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        there = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        assert there.stdout.strip() == here


def test_comments_and_docstrings_are_not_code() -> None:
    def digest(source: str) -> str:
        tree = ast.parse(source)
        codehash._strip_docstrings(tree)
        return ast.dump(tree)

    plain = digest("def f(x):\n    return x + 1\n")
    assert digest('def f(x):\n    """Doc."""\n    # why\n    return (x + 1)\n') == plain
    assert digest("def f(x):\n    return x + 2\n") != plain


def test_a_list_of_words_is_part_of_the_module_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codehash, "PACKAGE_ROOT", tmp_path)
    (tmp_path / "words.py").write_text("A = 1\n", encoding="utf-8")

    def digest(words: str) -> str:
        (tmp_path / "words.toml").write_text(words, encoding="utf-8")
        return codehash._module.__wrapped__("pricing.words")[0]

    assert digest('a = ["b"]') == digest('a = ["b"]') != digest('a = ["c"]')


def test_a_step_knows_the_code_behind_it() -> None:
    entries = "pricing.members.train_fold", "pricing.members.lightgbm"
    code = codehash.code_digests(*entries)
    assert {*entries, "pricing.members.trees.objectives", "pricing.features.load"} <= set(code)
    assert not {
        name for name in code if name.startswith(("pricing.members.multimodal", "pricing.config.", "pricing.errors"))
    }
    assert "torch" not in codehash.library_versions(*entries)


@pytest.mark.parametrize("run", ["pricing.members.train_fold", "pricing.members.tuning.tune"])
@pytest.mark.parametrize("member", LIBRARIES)
def test_training_and_search_know_the_library_of_their_member_alone(run: str, member: str) -> None:
    """The search once found its trainers by name, which no digest sees: another LightGBM was served old settings."""
    entries = run, f"pricing.members.{member}"
    for library in LIBRARIES:
        mine = library == member
        assert (f"pricing.members.{library}" in codehash.code_digests(*entries)) is mine
        assert (library in codehash.library_versions(*entries)) is mine
