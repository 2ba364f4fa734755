"""Parameter groups, learning rate schedule and numeric precision of the training loop."""

import re
from dataclasses import dataclass
from typing import Any, Literal

import torch
from timm.models import group_parameters
from torch import nn

from pricing.members.multimodal.settings import TrainingConfig
from pricing.pretrained.instructions import cpu_precision

_TEXT_LAYER = re.compile(r"^text\..*\.layer\.(\d+)\.")


@dataclass(frozen=True)
class Precision:
    """What products are computed in."""

    name: Literal["fp32", "bf16", "fp16"]
    device: str

    def autocast(self) -> torch.autocast:
        """Context for the forward pass."""
        kind = torch.float16 if self.name == "fp16" else torch.bfloat16
        return torch.autocast(self.device, dtype=kind, enabled=self.name != "fp32")

    def scaler(self) -> "torch.amp.GradScaler":
        """Gradient scaler; only fp16 needs one, else it does nothing."""
        return torch.amp.GradScaler(self.device, enabled=self.name == "fp16")


def choose_precision(wish: Literal["auto", "fp32", "bf16", "fp16"], device: torch.device) -> Precision:
    """Precision for a device, by what its instructions are, never by a timing.

    GPU: bf16 where it has it, else fp16 with a scaler. CPU: bf16 with avx512_bf16 or amx, which halves the time,
    else fp32 (fp16 on a CPU has no fast products, so a wish for it is answered by the same rule).
    """
    if wish in ("fp32", "bf16"):
        return Precision(wish, device.type)
    if device.type == "cuda":
        return Precision("bf16" if wish == "auto" and torch.cuda.is_bf16_supported() else "fp16", "cuda")
    return Precision(cpu_precision(), "cpu")


def rows_per_batch(wish: int, device: torch.device) -> int:
    """Return the number of rows that frozen parts and predictions compute at once: as wished on a GPU, one on a CPU.

    A row's last bits depend on the shape of its batch, so every batch has one shape, and on a CPU a product priced
    alone would pay for blank rows. One text at a time also stays in the cache: 14 ms of CPU per text in place of 21
    with 32 at a time.
    """
    return 1 if device.type == "cpu" else wish


def store_as_multiplied(module: nn.Module, precision: Precision) -> None:
    """Store linear layers in the precision of their products, to which autocast converts them for each batch."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear) and precision.name != "fp32":
            layer.to(torch.float16 if precision.name == "fp16" else torch.bfloat16)


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW with layer-wise rates: the encoders' upper layer at its peak, each layer below at ``layer_decay`` of
    that above.

    What lies before a text encoder's layers counts as one below the lowest; an image encoder's layers are timm's
    coarse groups: stem, then each stage or block, then the head's convolution or norm. Biases, norms and the linear
    skip (whose start is a fitted model) are not decayed. Each group keeps its peak rate under "peak".
    """
    layers = _text_layers(model) | _image_layers(model)
    top = {
        tower: max((n for name, n in layers.items() if name.startswith(tower)), default=0)
        for tower in ("text", "image")
    }
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        tower = name.split(".")[0]
        rate = config.learning_rate
        if tower in ("text", "image"):
            rate = config.encoder_learning_rate * config.layer_decay ** (top[tower] - layers[name])
        elif tower.startswith("skip"):
            rate = config.learning_rate * config.skip_rate
        decay = 0.0 if parameter.ndim < 2 or tower == "skip" else config.weight_decay
        groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [{"params": p, "lr": rate, "peak": rate, "weight_decay": decay} for (rate, decay), p in groups.items()],
        # 12 ms for 22.6 million parameters on two cores; foreach takes 50
        fused=True,
    )


def _text_layers(model: nn.Module) -> dict[str, int]:
    """Layer of each of the text encoder's parameters, from 0; -1 for those before the layers."""
    names = [name for name, _ in model.named_parameters() if name.startswith("text.")]
    return {name: int(match.group(1)) if (match := _TEXT_LAYER.match(name)) else -1 for name in names}


def _image_layers(model: nn.Module) -> dict[str, int]:
    """Layer of each of the image encoder's parameters, from 0; all in one where timm names no groups."""
    encoder: Any = getattr(getattr(model, "image", None), "encoder", None)
    if encoder is None:
        return {}
    groups: dict[str, int] = {}
    if hasattr(encoder, "group_matcher"):
        groups = group_parameters(encoder, encoder.group_matcher(coarse=True), reverse=True)
    return {f"image.encoder.{name}": groups.get(name, 0) for name, _ in encoder.named_parameters()}


def learning_rate_factor(step: int, total: int, warmup: float) -> float:
    """Share of the peak rate at optimiser step ``step`` (from 0) of ``total``: linear up, then linear down to 0.

    >>> [learning_rate_factor(step, 10, 0.2) for step in (0, 1, 2, 9)]
    [0.5, 1.0, 1.0, 0.125]
    """
    rising = round(total * warmup)
    if step < rising:
        return (step + 1) / rising
    return max(0.0, (total - step) / max(1, total - rising))
