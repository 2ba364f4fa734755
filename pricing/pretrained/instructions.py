"""What the processor has instructions for."""

import torch

__all__ = ["fast_bfloat16"]


def fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 by itself (avx512_bf16 or amx): it halves an encoder's time.

    Without these instructions torch converts each number there and back, and takes more than 50 times as long as in
    float32 (docs/LOG.md). Decided by what the processor has, never by a timing.
    """
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
