"""What the processor has instructions for."""

from typing import Literal

import torch


def cpu_precision() -> Literal["fp32", "bf16"]:
    """bf16 where this processor multiplies bfloat16 by itself (avx512_bf16 or amx), which halves an encoder's time.

    Without these instructions torch converts each number there and back: a product took 170 times as long as in float32
    (docs/LOG.md). Decided by what the processor has, never by a timing.
    """
    return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "fp32"
