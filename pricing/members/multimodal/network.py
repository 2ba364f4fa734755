"""The multimodal network: text encoder, image encoder, tabular projection, fusion, regression head."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from pricing.members.multimodal.encoders import ImageTower, TextTower
from pricing.members.multimodal.fusion import CrossModalAttention, GatedFusion, masked_mean
from pricing.members.multimodal.settings import FusionConfig


@dataclass
class Batch:
    """One batch; B rows, T tokens, M rows with an image."""

    tokens: torch.Tensor | None
    """Ids (B, T) int64, or hidden states (B, T, H)."""
    mask: torch.Tensor | None
    """(B, T) bool, True where there is a token."""
    images: torch.Tensor | None
    """(M, 3, S, S) float, or patches (M, P, C): only the rows that have one, in row order."""
    image_mask: torch.Tensor | None
    """(B,) bool, with M True."""
    tabular: torch.Tensor
    """(B, F) float32, standardised, no NaN."""
    target: torch.Tensor | None
    """(B,) float32 log price; None without labels."""
    rows: torch.Tensor
    """(B,) int64, positions in the data set."""

    def to(self, device: torch.device, *, non_blocking: bool = True) -> "Batch":
        """The batch on another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """The batch in page-locked memory; the loader calls this where there is a GPU."""
        return self._each(torch.Tensor.pin_memory)

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Batch":
        return Batch(**{name: None if value is None else change(value) for name, value in vars(self).items()})  # type: ignore[arg-type]


class OptimizedMultimodalModel(nn.Module):
    """Predicts log price from what there is of text, image and numbers.

    ``log price = skip(tabular) + scale * head(fused)``. The linear skip starts as the out-of-fold ridge prediction or
    as the median (``start``; see `initialise_output`) and the head at zero, so that training learns what is left.

    Parameters
    ----------
    text : TextTower or None
        None switches the text off.
    image : ImageTower or None
        None switches images off.
    tabular_features : int
        F, at least 1.
    config : FusionConfig
        Width, heads, dropout, modality dropout, kind of fusion.
    """

    def __init__(
        self, text: TextTower | None, image: ImageTower | None, tabular_features: int, config: FusionConfig
    ) -> None:
        super().__init__()
        d = config.hidden
        self.config = config
        self.text, self.image = text, image
        if text is not None:
            self.text_projection = nn.Sequential(nn.LayerNorm(text.width), nn.Linear(text.width, d))
            self.missing_text = nn.Parameter(torch.zeros(d))
        if image is not None:
            self.image_projection = nn.Sequential(nn.LayerNorm(image.width), nn.Linear(image.width, d))
            self.missing_image = nn.Parameter(torch.zeros(d))
        self.tabular_projection = nn.Sequential(
            nn.Linear(tabular_features, d), nn.LayerNorm(d), nn.GELU(), nn.Dropout(config.dropout)
        )
        both = text is not None and image is not None
        self.cross = (
            CrossModalAttention(d, config.heads, config.dropout) if both and config.kind == "cross_attention" else None
        )
        modalities = 1 + (text is not None) + (image is not None)
        self.gated = GatedFusion(d, modalities) if config.kind == "gated" else None
        fused = d if config.kind == "gated" else d * modalities
        self.head = nn.Sequential(
            nn.LayerNorm(fused), nn.Linear(fused, d), nn.GELU(), nn.Dropout(config.dropout),
            nn.Linear(d, d // 2), nn.GELU(), nn.Dropout(config.dropout),
            nn.Linear(d // 2, 1),
        )  # fmt: skip
        self.skip = nn.Linear(tabular_features, 1)
        self.register_buffer("scale", torch.ones(()))
        last: nn.Linear = self.head[-1]  # type: ignore[assignment]
        nn.init.normal_(last.weight, std=0.02)
        nn.init.zeros_(last.bias)
        nn.init.zeros_(self.skip.weight)
        nn.init.zeros_(self.skip.bias)

    @torch.no_grad()
    def initialise_output(self, weight: torch.Tensor, bias: float, scale: float) -> None:
        """Start the skip at given weights (F,) and bias, in log price, and the head's unit at ``scale`` log price."""
        self.skip.weight.copy_(weight.view(1, -1))
        self.skip.bias.fill_(bias)
        self.scale.fill_(scale)  # type: ignore[operator]

    def forward(self, batch: Batch) -> torch.Tensor:
        """Log prices (B,) float32."""
        projected = self.tabular_projection(batch.tabular)  # first: dropout draws in this order
        return self._fuse(
            batch.tabular, [projected, *self.vectors(batch.mask, batch.image_mask, *self.sequences(batch))]
        )

    def sequences(self, batch: Batch) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """What the towers make of tokens (B, T, D) and of patches (B, P, D); None without such a tower."""
        return self._text(batch), self._image(batch)

    def vectors(
        self, mask: torch.Tensor | None, image_mask: torch.Tensor | None, text: torch.Tensor | None,
        image: torch.Tensor | None,
    ) -> list[torch.Tensor]:  # fmt: skip
        """Let what `sequences` gave attend to one another; means, (B, D) each. The masks are those of the batch."""
        if text is not None and image is not None:
            text, image = self._drop_modalities(text, image, image_mask)
            if self.cross is not None:
                assert mask is not None
                text, image = self.cross(text, mask, image)
        found = [] if text is None or mask is None else [masked_mean(text, mask)]
        return found if image is None else [*found, image.mean(1)]

    def answer(self, tabular: torch.Tensor, vectors: list[torch.Tensor]) -> torch.Tensor:
        """Log prices (B,) float32 from standardised features (B, F) and what `vectors` gave."""
        return self._fuse(tabular, [self.tabular_projection(tabular), *vectors])

    def _fuse(self, tabular: torch.Tensor, vectors: list[torch.Tensor]) -> torch.Tensor:
        fused = self.gated(vectors) if self.gated is not None else torch.cat(vectors, dim=-1)  # (B, D) or (B, K*D)
        residual = self.head(fused).squeeze(-1).float()  # (B,)
        # bf16 has 3 digits, too few for a log price of 3.4
        with torch.autocast(tabular.device.type, enabled=False):
            return self.skip(tabular.float()).squeeze(-1) + self.scale * residual

    def count_parameters(self) -> int:
        """All parameters held by the model (frozen layers whose activations were kept are not in it)."""
        return sum(p.numel() for p in self.parameters())

    def count_trainable_parameters(self) -> int:
        """Parameters that training changes."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def _text(self, batch: Batch) -> torch.Tensor | None:
        if self.text is None or batch.tokens is None or batch.mask is None:
            return None
        return self.text_projection(self.text(batch.tokens, batch.mask))  # (B, T, H) -> (B, T, D)

    def _image(self, batch: Batch) -> torch.Tensor | None:
        mask = batch.image_mask
        if self.image is None or mask is None:
            return None
        if batch.images is None or not len(batch.images):
            # (B, 1, D): a batch without any image
            return self.missing_image.expand(len(mask), 1, -1)
        patches = self.image_projection(self.image(batch.images))  # (M, P, C) -> (M, P, D)
        # blank images fill up a batch of prediction; to count in training would wait for a GPU
        if not self.training:
            patches = patches[: int(mask.sum())]
        if len(patches) == len(mask):  # all rows have one
            return patches
        full = self.missing_image.to(patches.dtype).expand(len(mask), patches.shape[1], -1)  # (B, P, D)
        where = mask.nonzero().squeeze(-1)  # (M,)
        return full.index_copy(0, where, patches)

    def _drop_modalities(
        self, text: torch.Tensor, image: torch.Tensor, has_image: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """In training, replace the whole text or the image of a row that has an image (never both) by its learnt
        missing embedding; a row without an image (``has_image`` (B,) False) keeps its text, which is all it has."""
        chance = self.config.modality_dropout
        if not self.training or chance == 0 or has_image is None:
            return text, image
        # (B,): [0, p/2) loses the text, [p/2, p) the image
        draw = torch.rand(len(text), device=text.device)
        no_text = ((draw < chance / 2) & has_image).view(-1, 1, 1)
        no_image = ((draw >= chance / 2) & (draw < chance)).view(-1, 1, 1)
        text = torch.where(no_text, self.missing_text.to(text.dtype), text)
        return text, torch.where(no_image, self.missing_image.to(image.dtype), image)
