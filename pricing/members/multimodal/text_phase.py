"""The first of two phases: the text encoder is trained on the price alone, before anything is fused.

The recipe of the challenge's third place: an encoder that has to explain the price by itself learns more of it than
one that may lean on numbers and neighbours from its first step.
"""

from typing import Any

import torch
from torch import nn

from pricing.members.multimodal.encoders import TextTower
from pricing.members.multimodal.fusion import masked_mean
from pricing.members.multimodal.network import Batch


class TextPriceModel(nn.Module):
    """Log price from the mean token: ``bias + scale * linear(norm(mean of tokens))``.

    Parameters
    ----------
    text : TextTower
        Trained in place, and taken on by the network that fuses.
    bias, scale : float
        Where the output starts and its unit, in log price: the training rows' median and deviation.
    """

    bias: torch.Tensor
    scale: torch.Tensor

    def __init__(self, text: TextTower, bias: float, scale: float) -> None:
        super().__init__()
        self.text = text
        self.head = nn.Sequential(nn.LayerNorm(text.width), nn.Linear(text.width, 1))
        self.register_buffer("bias", torch.tensor(bias))
        self.register_buffer("scale", torch.tensor(scale))
        last: nn.Linear = self.head[-1]  # type: ignore[assignment]
        nn.init.normal_(last.weight, std=0.02)
        nn.init.zeros_(last.bias)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Log prices (B,) float32."""
        return self.answer(batch.tabular, self.vectors(batch.mask, None, *self.sequences(batch)))

    def sequences(self, batch: Batch) -> tuple[torch.Tensor, None]:
        """Hidden states of the tokens, (B, T, H)."""
        tokens: Any = batch.tokens
        mask: Any = batch.mask
        return self.text(tokens, mask), None

    def vectors(self, mask: Any, image_mask: None, text: torch.Tensor, image: None) -> list[torch.Tensor]:
        """The mean token, (B, H)."""
        return [masked_mean(text, mask)]

    def answer(self, tabular: torch.Tensor, vectors: list[torch.Tensor]) -> torch.Tensor:
        """Log prices (B,) float32 from what `vectors` gave; the features are not looked at."""
        return self.bias + self.scale * self.head(vectors[0]).squeeze(-1).float()
