"""What is written has the permissions that the umask gives: a service's user reads the model folder, or nobody does."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import save_file

from pricing.config.catalogue import FoldsConfig
from pricing.config.ensemble import SubmissionConfig
from pricing.members.torch_parts.tensors import save_tensors
from pricing.pretrained.saved_encoders import SavedEncoders
from pricing.run.output_folder import fill_output
from pricing.run.submission import write_submission
from pricing.sample.generate import generate_sample
from pricing.store.artifacts import ArtifactStore, key_parts
from pricing.store.permissions import apply_umask
from pricing.store.stages import Stage
from tests.members.networks.builders import write_image_encoder, write_text_encoder


@pytest.fixture(params=[0o022, 0o077, 0o002], ids=["022", "077", "002"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(root: Path) -> dict[str, set[int]]:
    """Permissions of all files and of all folders below a folder, itself included."""
    paths = [root, *root.rglob("*")]
    found = {kind: {stat.S_IMODE(path.stat().st_mode) for path in paths if getattr(path, kind)()}
             for kind in ("is_file", "is_dir")}  # fmt: skip
    assert len(paths) > 1
    return found


def expected(umask: int) -> dict[str, set[int]]:
    return {"is_file": {0o666 & ~umask}, "is_dir": {0o777 & ~umask}}


def private(folder: Path) -> None:
    """What some libraries leave: a file of safetensors and a renamed temporary folder, for their owner alone."""
    save_file({"a": np.zeros(2)}, folder / "a.safetensors")
    made = Path(tempfile.mkdtemp(dir=folder))
    (made / "b").write_text("b", encoding="utf-8")
    made.rename(folder / "b")
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600, 0o700}


def test_a_stage_output(tmp_path: Path, umask: int) -> None:
    store = ArtifactStore(tmp_path / "artifacts" / "store")
    parts = key_parts("folds", "pricing.catalogue.ingest", {"config": FoldsConfig()})
    store.build(Stage.FOLDS, "folds", "", parts, private)
    assert modes(tmp_path / "artifacts") == expected(umask)


def test_a_run_folder_filled_from_a_private_store(tmp_path: Path, umask: int) -> None:
    (tmp_path / "store").mkdir(mode=0o700)
    private(tmp_path / "store")
    with fill_output(tmp_path / "run") as new:
        shutil.copytree(tmp_path / "store", new / "model")
        (new / "run.json").write_text("{}", encoding="utf-8")
    assert modes(tmp_path / "run") == expected(umask)


def test_tensors_and_copies_of_encoders(tmp_path: Path, umask: int) -> None:
    text, image = write_text_encoder(tmp_path / "text"), write_image_encoder(tmp_path / "image")
    (tmp_path / "model").mkdir()
    save_tensors({"a": torch.zeros(2)}, tmp_path / "model" / "a.safetensors")
    SavedEncoders.save(str(text), str(image), tmp_path / "model" / "encoders")
    assert modes(tmp_path / "model") == expected(umask)


def test_a_sample_and_a_submission(tmp_path: Path, umask: int) -> None:
    generate_sample(tmp_path / "made" / "sample", rows=3, test_rows=2)
    write_submission(pl.Series(["a"]), np.array([1.0]), SubmissionConfig(), tmp_path / "made" / "submission.csv")
    assert modes(tmp_path / "made") == expected(umask)


def test_what_a_link_points_to_keeps_its_permissions(tmp_path: Path, umask: int) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x", encoding="utf-8")
    secret.chmod(0o640)
    (tmp_path / "folder").mkdir(mode=0o700)
    (tmp_path / "folder" / "link").symlink_to(secret)
    apply_umask(tmp_path / "folder")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o777 & ~umask
