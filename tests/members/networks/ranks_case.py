"""A small training by several processes, and what its ranks do to themselves."""

import os
import signal
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from pricing.members.multimodal.ranks import Ranks
from pricing.members.multimodal.settings import CheckpointConfig
from pricing.members.multimodal.training import _Run, train_neural_network
from pricing.members.torch_parts.tensors import trained_state
from tests.members.networks.builders import toy_dataset, toy_model
from tests.members.networks.training_case import settings


def train(device: torch.device, work: Path, out: Path, rows: int, changes: dict[str, Any], terminate_at: int) -> None:
    """Train without dropout and write the weights; a process tells itself to stop after a step, if asked to."""
    step = _Run.optimizer_step

    def deadly(self: _Run, loss: float) -> None:
        step(self, loss)
        if self.step == terminate_at and Ranks().rank == Ranks().size - 1:
            os.kill(os.getpid(), signal.SIGTERM)

    _Run.optimizer_step = deadly  # type: ignore[method-assign]
    model = toy_model(dropout=changes.pop("dropout", 0.0), modality_dropout=0.0)
    data = toy_dataset(rows, training=True), toy_dataset(13, seed=1)
    every = CheckpointConfig(minutes=1e9)
    try:
        result = train_neural_network(model, *data, settings(**changes), every, work, seed=5, device=device)
    finally:
        _Run.optimizer_step = step  # type: ignore[method-assign]
    state = trained_state(model) | {"losses": torch.tensor([curve["value"] for curve in result.curves])}
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, out / f"rank-{Ranks().rank}")


def fail(device: torch.device, rank: int) -> None:
    """One process fails while the other waits for it."""
    del device
    if Ranks().rank == rank:
        raise ValueError("no such row")
    Ranks().wait()
