"""How much memory a training step takes, without the memory: the step is run on tensors that have shapes and no data.

The calculation. torch's ``FakeTensorMode`` runs every operator of the real model, forward, backward and optimiser, on
shapes alone; `LiveBytes` adds up the bytes of all storages that live at each moment and keeps the largest sum. So the
peak holds: float32 weights; their gradients, Adam's two moments and the moving average (4 bytes each a trained
parameter); the 16-bit copies that autocast makes of the weights; the activations that the backward pass waits for,
which under gradient checkpointing are each layer's input and one layer's inside; and the buffers of the operator that
runs at the peak. It does not hold: the allocator's rounding and fragmentation, the libraries' workspaces, the CUDA
context. `OVERHEAD` stands for these.
"""

import weakref
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pricing.members.multimodal.ema import ModelEMA
from pricing.members.multimodal.losses import make_loss
from pricing.members.multimodal.network import Batch
from pricing.members.multimodal.optimisation import make_optimizer
from pricing.members.multimodal.settings import TrainingConfig

__all__ = ["GIB", "OVERHEAD", "LiveBytes", "step_bytes", "toy_batch", "training_step"]

GIB = 2**30
OVERHEAD = 1.0 * GIB  # CUDA context (0.5 GB on recent drivers), cuDNN and cuBLAS workspaces, rounding


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of tensors while it is on: now, and at the highest."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: dict[int, weakref.ref[Any]] = {}

    def add(self, tensor: torch.Tensor) -> None:
        """Count a tensor's storage, once, until it is freed."""
        storage = tensor.untyped_storage()
        key = id(storage)  # torch keeps the storage's object as long as the storage
        if key in self._seen:
            return
        size = storage.nbytes()

        def freed(_: object) -> None:
            del self._seen[key]
            self.now -= size

        self._seen[key] = weakref.ref(storage, freed)
        self.now += size
        self.peak = max(self.peak, self.now)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator and count what it made."""
        del types
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.add(leaf)
        return result


def toy_batch(rows: int, tokens: int, side: int, width: int) -> Batch:
    """A batch of the largest shape: every text of full length, an image in every row."""
    return Batch(
        tokens=torch.ones(rows, tokens, dtype=torch.int64),
        mask=torch.ones(rows, tokens, dtype=torch.bool),
        images=torch.zeros(rows, 3, side, side),
        image_mask=torch.ones(rows, dtype=torch.bool),
        tabular=torch.zeros(rows, width),
        target=torch.zeros(rows),
        rows=torch.arange(rows),
    )


def training_step(model: nn.Module, batch: Batch, config: TrainingConfig, dtype: torch.dtype | None) -> None:
    """Two optimiser steps as `train_neural_network` takes them: Adam's moments exist from the first one's end."""
    optimizer = make_optimizer(model, config)
    ema = ModelEMA(model, config.ema_decay) if config.ema_decay else None
    loss = make_loss(config.loss)
    model.train()
    for _ in range(2):
        with torch.autocast(batch.tabular.device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
            prediction = model(batch)
        loss(prediction, batch.target).backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if ema:
            ema.update(model)


def step_bytes(build: Any, config: TrainingConfig, *, dtype: torch.dtype | None, **shape: int) -> int:
    """Peak bytes of tensors in a training step.

    Parameters
    ----------
    build : callable
        Makes the model, on the CPU; called where tensors have no data.
    config : TrainingConfig
        Optimiser, loss, moving average.
    dtype : torch.dtype or None
        Of autocast; None for float32.
    **shape
        rows, tokens, side (pixels) and width (tabular columns), as for `toy_batch`.

    Returns
    -------
    int
        Bytes, without `OVERHEAD`.
    """
    with FakeTensorMode():
        model = build()
        batch = toy_batch(**shape)
        live = LiveBytes()
        for tensor in (*model.parameters(), *model.buffers()):
            live.add(tensor)
        with live:
            training_step(model, batch, config, dtype)
    return live.peak
