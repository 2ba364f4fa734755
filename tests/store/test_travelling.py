"""Checkpoints travel to the machine that resumes a training, and are gone with its end."""

import time
from pathlib import Path

import pytest

from pricing.store.remote import Remote
from pricing.store.travelling import travelling


def write(folder: Path, step: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"step-{step}.safetensors").write_text(str(step), encoding="utf-8")
    (folder / f"step-{step}.json").write_text("{}", encoding="utf-8")


def test_another_machine_resumes_what_one_has_left(tmp_path: Path) -> None:
    remote, one, two = Remote(f"file://{tmp_path / 'storage'}"), tmp_path / "one" / "KEY", tmp_path / "two" / "KEY"
    write(one, 1)
    with pytest.raises(SystemExit), travelling(one, remote, 60):
        raise SystemExit
    with travelling(two, remote, 60):
        assert {path.name for path in two.iterdir()} == {"step-1.json", "step-1.safetensors"}
    assert remote.sizes("work") == {}


def test_a_training_that_is_killed_has_left_the_last_ones(tmp_path: Path) -> None:
    """Uploaded every so often; older ones that the training has cleaned away go there, too."""
    remote, folder = Remote(f"file://{tmp_path / 'storage'}"), tmp_path / "one" / "KEY"
    write(folder, 1)
    with travelling(folder, remote, 0.0002):
        while not remote.sizes("work"):
            time.sleep(0.01)
        (folder / "step-1.json").unlink()
        (folder / "step-1.safetensors").unlink()
        write(folder, 2)
        while sorted(remote.sizes("work")) != ["work/KEY/step-2.json", "work/KEY/step-2.safetensors"]:
            time.sleep(0.01)
