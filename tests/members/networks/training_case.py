"""A small training that may kill itself."""

import os
import signal
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from pricing.members.multimodal import checkpoint
from pricing.members.multimodal.settings import CheckpointConfig, TrainingConfig
from pricing.members.multimodal.training import TrainingResult, train_neural_network
from pricing.members.torch_parts.tensors import trained_state
from tests.members.networks.builders import toy_dataset, toy_model


class PowerCut(BaseException):
    """Comes out of nowhere."""


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """The same names and bits."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def settings(**changes: Any) -> TrainingConfig:
    """3 epochs of 4 steps, dropout and modality dropout drawing random numbers all along."""
    base: dict[str, Any] = {
        "epochs": 3, "batch_size": 4, "accumulation": 2, "ema_decay": 0.9, "precision": "fp32", "patience": 3,
    }  # fmt: skip
    return TrainingConfig(**base | changes)


def train(
    work: Path, *, rows: tuple[int, int] = (30, 12), device: torch.device | None = None, **changes: Any
) -> tuple[Any, TrainingResult]:
    """Train, with a checkpoint after every step; ``rows`` to learn from and to validate on."""
    torch.set_num_threads(1)
    model = toy_model(dropout=0.2, modality_dropout=0.3)
    every = CheckpointConfig(minutes=1e-9, kind=changes.pop("kind", "quick"))
    data = toy_dataset(rows[0], training=True), toy_dataset(rows[1], seed=1)
    return model, train_neural_network(model, *data, settings(**changes), every, work, seed=5, device=device)


def main(work: str, out: str, when: str) -> None:
    """Train until killed or done, and write the final weights to ``out``.

    ``when`` is the step at which the process kills itself with SIGKILL: ``7`` after the checkpoint of step 7, ``7w``
    between its two files, ``none`` never.
    """
    step, inside = (-1, False) if when == "none" else (int(when.removesuffix("w")), when.endswith("w"))
    write = checkpoint._write

    def deadly(path: Path, data: bytes) -> None:
        write(path, data)
        if path.stem == f"step-{step:09d}" and path.suffix == (".safetensors" if inside else ".json"):
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoint._write = deadly
    model, _ = train(Path(work))
    save_file({name: tensor.contiguous() for name, tensor in trained_state(model).items()}, out)
