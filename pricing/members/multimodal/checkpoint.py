"""Checkpoints of a training: atomic, checksummed, the last k and the best kept.

A checkpoint is two files: ``NAME.safetensors`` with all tensors (random generators' states among them, as bytes) and
``NAME.json`` with everything else and the SHA-256 of both. The JSON is written last and renamed into place, so a
checkpoint without a valid one does not exist. Nothing is pickled.
"""

import hashlib
import json
import os
import random
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import load as load_bytes
from safetensors.torch import save as save_bytes

from pricing.errors import ArtifactError
from pricing.members.torch_parts.tensors import pack, unpack

Kind = Literal["quick", "full", "minimal"]
KINDS: dict[Kind, tuple[str, ...] | None] = {
    "minimal": ("model",),  # for prediction
    # continues exactly, in the folder that also holds the best weights
    "quick": ("model", "optimizer", "scaler", "ema", "rng", "position"),
    # everything given, the best weights among it: can be moved elsewhere
    "full": None,
}


class CheckpointManager:
    """Saves and loads checkpoints in one folder.

    Parameters
    ----------
    folder : Path
        Made if missing. Belongs to one training.
    keep : int
        Latest checkpoints kept; the best is kept beside them always.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder, self.keep = folder, keep
        folder.mkdir(parents=True, exist_ok=True)
        for scratch in folder.glob("*.part"):  # left by a killed run
            # another process that trains along may have been first
            scratch.unlink(missing_ok=True)

    def save_checkpoint(
        self,
        state: Mapping[str, Any],
        step: int,
        *,
        kind: Kind = "full",
        metric: float | None = None,
        best: bool = False,
    ) -> Path:
        """Write a checkpoint atomically, then delete old ones.

        Parameters
        ----------
        state : mapping
            Nested dictionaries and lists of tensors and plain values; top-level keys as in ``KINDS``.
        step : int
            Optimiser steps done; orders the checkpoints.
        kind : {"quick", "full", "minimal"}
            Which top-level keys are written.
        metric : float, optional
            Validation SMAPE in percent, recorded.
        best : bool
            Write it as the best, which replaces the best before and is never cleaned away.

        Returns
        -------
        Path
            Of the JSON file.
        """
        keys = KINDS[kind]
        chosen = {key: value for key, value in state.items() if keys is None or key in keys}
        tensors: dict[str, torch.Tensor] = {}
        tree = pack(chosen, tensors)
        data = save_bytes(tensors)
        record = {
            "kind": kind,
            "metric": metric,
            "sha256": hashlib.sha256(data).hexdigest(),
            "step": step,
            "tree": tree,
        }
        record["checksum"] = _checksum(record)
        name = f"best-{step:09d}" if best else f"step-{step:09d}"
        _write(self.folder / f"{name}.safetensors", data)
        _write(self.folder / f"{name}.json", json.dumps(record, sort_keys=True).encode())
        self._clean_up("best-" if best else "step-", 1 if best else self.keep)
        return self.folder / f"{name}.json"

    def load_checkpoint(self, path: Path) -> dict[str, Any]:
        """Read one checkpoint: the state, and ``step``, ``kind``, ``metric``.

        Raises
        ------
        ArtifactError
            A file is missing, damaged, poisoned or does not have the recorded hash.
        """
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            expected = record.pop("checksum")
            if _checksum(record) != expected:
                raise ValueError(f"checksum of the JSON differs from {expected}")
            data = path.with_suffix(".safetensors").read_bytes()
            found = hashlib.sha256(data).hexdigest()
            if found != record["sha256"]:
                raise ValueError(f"SHA-256 of the tensors is {found}, expected {record['sha256']}")
            state = unpack(record["tree"], load_bytes(data))
        except Exception as error:  # a damaged file may fail anywhere in two parsers; all of it means the same
            raise ArtifactError(f"{path}: checkpoint cannot be used ({type(error).__name__}: {error})") from None
        return state | {"step": record["step"], "kind": record["kind"], "metric": record["metric"]}

    def get_latest_checkpoint(self) -> dict[str, Any] | None:
        """The newest checkpoint that is whole; warns about damaged ones on the way back; None if there is none."""
        return self._newest("step-", "going back to the checkpoint before")

    def get_best_checkpoint(self) -> dict[str, Any] | None:
        """The best one; None if there is none or it is damaged (with a warning)."""
        return self._newest("best-", "the best checkpoint is lost")

    def _newest(self, prefix: str, consequence: str) -> dict[str, Any] | None:
        for path in sorted(self.folder.glob(f"{prefix}*.json"), reverse=True):
            try:
                return self.load_checkpoint(path)
            except ArtifactError as error:
                warnings.warn(f"{error}; {consequence}", RuntimeWarning, stacklevel=3)
                # else it would take a place of those that are kept, being newer than what is written next
                path.unlink(missing_ok=True)
                path.with_suffix(".safetensors").unlink(missing_ok=True)
        return None

    def clear(self) -> None:
        """Delete all checkpoints."""
        for pattern in ("step-*", "best-*", "*.part"):
            for path in self.folder.glob(pattern):
                path.unlink()

    def _clean_up(self, prefix: str, keep: int) -> None:
        for old in sorted(self.folder.glob(f"{prefix}*.json"), reverse=True)[keep:]:
            # first the JSON: without it the rest is no checkpoint
            old.unlink()
        names = {path.stem for path in self.folder.glob(f"{prefix}*.json")}
        for tensors in self.folder.glob(f"{prefix}*.safetensors"):
            if tensors.stem not in names:
                tensors.unlink()


def rng_state() -> dict[str, Any]:
    """States of the random generators of Python, NumPy and torch, as tensors and plain values."""
    version, internal, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    words = np.asarray(keys).astype(np.int64)
    state: dict[str, Any] = {
        "python": [version, torch.tensor(internal, dtype=torch.int64), gauss],
        "numpy": [str(kind), torch.from_numpy(words), int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = list(torch.cuda.get_rng_state_all())
    return state


def set_rng_state(state: Mapping[str, Any]) -> None:
    """Put back what `rng_state` took."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal.tolist()), gauss))
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])


def _checksum(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _write(path: Path, data: bytes) -> None:
    scratch = path.with_name(path.name + ".part")
    with scratch.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
