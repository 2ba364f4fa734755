"""How text tokens and image patches meet: attention both ways over the sequences, or gates over their means."""

import torch
from torch import nn


def masked_mean(tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the unmasked tokens: (B, T, D), (B, T) bool -> (B, D); zero where a row has none."""
    weights = mask.unsqueeze(-1).to(tokens.dtype)  # (B, T, 1)
    return (tokens * weights).sum(1) / weights.sum(1).clamp(min=1)


class CrossModalAttention(nn.Module):
    """Every token looks at all patches, and every patch at all tokens; residual, pre-norm.

    Both sides are sequences on purpose: over a single key a softmax is always 1, and the "attention" attends to
    nothing.

    Parameters
    ----------
    hidden : int
        D, width of both sequences.
    heads : int
        Attention heads; must divide D.
    dropout : float
        On the attention weights.
    """

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm_text, self.norm_image = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.text_to_image = nn.MultiheadAttention(hidden, heads, dropout=dropout, batch_first=True)
        self.image_to_text = nn.MultiheadAttention(hidden, heads, dropout=dropout, batch_first=True)

    def forward(
        self, text: torch.Tensor, text_mask: torch.Tensor, image: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Attend both ways.

        Parameters
        ----------
        text : (B, T, D)
            Tokens; at least one per row is unmasked.
        text_mask : (B, T) bool
            True where there is a token.
        image : (B, P, D)
            Patches (learnt missing embeddings where there is no image).

        Returns
        -------
        text : (B, T, D)
        image : (B, P, D)
        """
        t, i = self.norm_text(text), self.norm_image(image)
        from_image, _ = self.text_to_image(t, i, i, need_weights=False)  # (B, T, D)
        from_text, _ = self.image_to_text(i, t, t, key_padding_mask=~text_mask, need_weights=False)  # (B, P, D)
        return text + from_image, image + from_text


class GatedFusion(nn.Module):
    """A gate a channel, read from all modalities, weighs each one's vector (after Arevalo et al. 2017, GMU).

    Parameters
    ----------
    hidden : int
        D, width of each modality's vector.
    modalities : int
        K.
    """

    def __init__(self, hidden: int, modalities: int) -> None:
        super().__init__()
        self.gate = nn.Linear(hidden * modalities, hidden * modalities)
        self.value = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(modalities))

    def forward(self, vectors: list[torch.Tensor]) -> torch.Tensor:
        """K vectors (B, D) -> (B, D)."""
        stacked = torch.stack([torch.tanh(v(x)) for v, x in zip(self.value, vectors, strict=True)], dim=1)  # (B, K, D)
        gates = self.gate(torch.cat(vectors, dim=-1)).view_as(stacked).softmax(dim=1)  # sums to 1 over modalities
        return (gates * stacked).sum(1)
