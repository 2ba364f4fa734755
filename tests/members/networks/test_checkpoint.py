"""Checkpoints: what they hold, which are kept, and what happens to damaged ones."""

import json
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.errors import ArtifactError
from pricing.members.multimodal.checkpoint import CheckpointManager, rng_state, set_rng_state

LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False), st.text(max_size=5),
    st.builds(
        lambda kind, shape, seed: torch.from_numpy(np.asarray(np.random.default_rng(seed).normal(size=shape) *
        50)).to(kind), st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64,
        torch.uint8, torch.bool]), st.lists(st.integers(0, 3), max_size=3), st.integers(0, 99),
    ),
)  # fmt: skip
KEYS = st.one_of(st.text("ab/.", max_size=4), st.integers(0, 5))
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.dictionaries(KEYS, inner, max_size=3), st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple)
    ),
    max_leaves=8,
)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all())
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return type(a) is type(b) and a == b


@settings(max_examples=40)
@given(
    state=st.dictionaries(st.sampled_from(["model", "optimizer", "position", "best"]), TREES),
    step=st.integers(0, 10**9),
)
def test_property_11_checkpoint_completeness(
    tmp_path_factory: pytest.TempPathFactory, state: dict[str, Any], step: int
) -> None:
    """Property 11: Checkpoint completeness. Whatever state is saved comes back equal: values, types, keys and order."""
    manager = CheckpointManager(tmp_path_factory.mktemp("state"))
    loaded = manager.load_checkpoint(manager.save_checkpoint(state, step, metric=1.5))
    assert (loaded.pop("step"), loaded.pop("kind"), loaded.pop("metric")) == (step, "full", 1.5)
    # tensors under equal paths ("a" -> 1 and "1") must not be confused either
    assert same(state, loaded)


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("minimal", {"model"}),
        ("quick", {"model", "optimizer", "scaler", "ema", "rng", "position"}),
        ("full", {"model", "optimizer", "scaler", "ema", "rng", "position", "best", "note"}),
    ],
)
def test_kinds(tmp_path: Path, kind: Any, keys: set[str]) -> None:
    state = dict.fromkeys(("model", "optimizer", "scaler", "ema", "rng", "position", "best", "note"), 1)
    loaded = CheckpointManager(tmp_path).load_checkpoint(
        CheckpointManager(tmp_path).save_checkpoint(state, 3, kind=kind)
    )
    assert set(loaded) - {"step", "kind", "metric"} == keys


@settings(max_examples=25)
@given(
    keep=st.integers(1, 4),
    saves=st.lists(st.tuples(st.integers(1, 40), st.booleans()), min_size=1, max_size=12, unique_by=lambda s: s[0]),
)
def test_property_13_checkpoint_cleanup_policy(
    tmp_path_factory: pytest.TempPathFactory, keep: int, saves: list[tuple[int, bool]]
) -> None:
    """Property 13: Checkpoint cleanup policy. The last k checkpoints and the best are there, and no other file."""
    folder = tmp_path_factory.mktemp("kept")
    manager = CheckpointManager(folder, keep)
    best = None
    for step, improved in sorted(saves):
        manager.save_checkpoint({"model": {"w": torch.tensor([step])}}, step)
        if improved:
            best = step
            manager.save_checkpoint({"model": {"w": torch.tensor([step])}}, step, kind="minimal", best=True)
    names = [f"step-{step:09d}" for step, _ in sorted(saves)[-keep:]] + ([f"best-{best:09d}"] if best else [])
    assert {path.name for path in folder.iterdir()} == {f"{n}.{end}" for n in names for end in ("json", "safetensors")}
    latest, kept = manager.get_latest_checkpoint(), manager.get_best_checkpoint()
    assert latest is not None
    assert latest["step"] == max(saves)[0]
    assert best is None or (kept is not None and kept["step"] == best)


@pytest.mark.parametrize("file", ["json", "safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "deleted", "empty"])
def test_a_damaged_newest_falls_back_with_a_warning(tmp_path: Path, file: str, damage: str) -> None:
    manager = CheckpointManager(tmp_path)
    for step in (1, 2):
        newest = manager.save_checkpoint({"model": {"w": torch.arange(50.0) * step}}, step).with_suffix(f".{file}")
    data = newest.read_bytes()
    if damage == "deleted":
        newest.unlink()
    else:
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        newest.write_bytes({"truncated": data[:-3], "flipped": flipped, "empty": b""}[damage])
    if damage == "deleted" and file == "json":
        loaded = manager.get_latest_checkpoint()  # never committed, so nothing to warn about
    else:
        with pytest.warns(RuntimeWarning, match="going back"):
            loaded = manager.get_latest_checkpoint()
    assert loaded is not None
    assert loaded["step"] == 1
    assert torch.equal(loaded["model"]["w"], torch.arange(50.0))
    manager.keep = 1  # what is saved next, at a step below the damaged one's, is not thrown away for it
    newest = manager.save_checkpoint({"model": {}}, 1)
    assert {path.stem for path in tmp_path.iterdir()} == {newest.stem}


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_a_poisoned_checkpoint_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    """The attacker even writes the right hash: no loader may unpickle in the first place."""
    import hashlib

    manager, mark = CheckpointManager(tmp_path / "c"), tmp_path / "ran"
    path = manager.save_checkpoint({"model": {"w": torch.ones(2)}}, 1)
    poison = pickle.dumps(Bomb(mark))
    path.with_suffix(".safetensors").write_bytes(poison)
    record = json.loads(path.read_text())
    del record["checksum"]
    record["sha256"] = hashlib.sha256(poison).hexdigest()
    record["checksum"] = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(record, sort_keys=True))
    with pytest.raises(ArtifactError, match="cannot be used"):
        manager.load_checkpoint(path)
    assert not mark.exists()


def test_leftovers_of_a_killed_save_are_swept(tmp_path: Path) -> None:
    (tmp_path / "step-000000009.safetensors.part").write_bytes(b"half")
    (tmp_path / "step-000000009.safetensors").write_bytes(b"whole, but its json was never written")
    manager = CheckpointManager(tmp_path)
    assert manager.get_latest_checkpoint() is None
    manager.save_checkpoint({"model": 1}, 10)
    assert {path.stem for path in tmp_path.iterdir()} == {"step-000000010"}


def test_objects_are_refused_when_saving(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="/model/x"):
        CheckpointManager(tmp_path).save_checkpoint({"model": {"x": object()}}, 1)


def test_random_states_come_back(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path)
    np.random.default_rng()
    random.gauss(0, 1)  # leaves a second normal in Python's cache
    path = manager.save_checkpoint({"rng": rng_state()}, 1)
    draws = [(random.gauss(0, 1), random.random(), np.random.normal(), float(torch.rand(1)))]  # noqa: NPY002
    set_rng_state(manager.load_checkpoint(path)["rng"])
    draws.append((random.gauss(0, 1), random.random(), np.random.normal(), float(torch.rand(1))))  # noqa: NPY002
    assert draws[0] == draws[1]
