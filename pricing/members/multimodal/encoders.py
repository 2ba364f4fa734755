"""A text encoder cut into a frozen lower and a trained upper part, and an image encoder that gives patches."""

import copy
import inspect
from typing import Any, Literal

import pricing.pretrained.vision_ops  # noqa: F401  # isort: skip  # before timm and transformers

import torch
from timm.models import group_parameters
from torch import nn
from transformers.modeling_outputs import BaseModelOutput

from pricing.errors import WeightsError


class _HiddenStates(nn.Module):
    """Stands where an encoder's embeddings stood, and hands the given hidden states through."""

    def forward(self, *, inputs_embeds: torch.Tensor, **_: Any) -> torch.Tensor:
        return inputs_embeds


class _EmbeddingsAlone(nn.Module):
    """The lower part where every layer is trained: some encoders fail without any layer."""

    def __init__(self, embeddings: nn.Module) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.masked = "mask" in inspect.signature(embeddings.forward).parameters  # DeBERTa zeroes padding here

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> BaseModelOutput:
        more = {"mask": attention_mask} if self.masked else {}
        return BaseModelOutput(last_hidden_state=self.embeddings(input_ids=input_ids, **more))


class TextTower(nn.Module):
    """Hidden states of the tokens from a Hugging Face encoder, whole or its upper part.

    Parameters
    ----------
    encoder : nn.Module or None
        What ``AutoModel`` gives, or the upper part of it; None hands the hidden states through (all layers frozen).
    width : int
        Width of the hidden states.
    upper : bool
        The encoder is an upper part and takes hidden states in place of token ids.
    """

    def __init__(self, encoder: nn.Module | None, width: int, *, upper: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.width = width
        self.upper = upper

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Ids (B, T) or hidden states of the lower part (B, T, H), mask (B, T) bool -> hidden states (B, T, H)."""
        if tokens.is_floating_point():
            # kept as bfloat16; what follows may be computed in float32
            tokens = tokens.float()
        if self.encoder is None:
            return tokens
        inputs = {"inputs_embeds" if self.upper else "input_ids": tokens}
        return self.encoder(**inputs, attention_mask=mask.long()).last_hidden_state


def split_text_encoder(encoder: nn.Module, trainable_layers: int) -> tuple[nn.Module, nn.Module | None]:
    """Cut an encoder below its upper ``trainable_layers``.

    The lower part is the encoder without its upper layers; the upper part is the encoder with its embeddings
    replaced by the lower part's output. Works for every architecture that keeps its blocks in ``encoder.layer``
    (BERT, MPNet, RoBERTa, DeBERTa ...). What the layers share (relative position embeddings) lies in both parts,
    frozen.

    Returns
    -------
    lower : nn.Module
        Frozen, in evaluation mode; token ids in, hidden states out.
    upper : nn.Module or None
        The layers to train; None when there are none.

    Raises
    ------
    WeightsError
        The architecture keeps its layers elsewhere, or has fewer.
    """
    layers = getattr(getattr(encoder, "encoder", None), "layer", None)
    if not isinstance(layers, nn.ModuleList) or not hasattr(encoder, "embeddings"):
        raise WeightsError(
            f"{type(encoder).__name__} has no encoder.layer to cut; set members.multimodal.text.trainable_layers to "
            "none"
        )
    if trainable_layers > len(layers):
        raise WeightsError(
            f"members.multimodal.text.trainable_layers is {trainable_layers}, the encoder has {len(layers)} layers"
        )
    cut = len(layers) - trainable_layers
    encoder_module: Any = encoder
    if hasattr(encoder_module, "pooler"):
        # token states are what is read; the pooler would be computed for nothing
        encoder_module.pooler = None
    upper: Any = None
    if trainable_layers:
        encoder_module.encoder.layer = nn.ModuleList(layers[cut:])
        embeddings, encoder_module.embeddings = encoder_module.embeddings, _HiddenStates()
        upper = copy.deepcopy(encoder_module)
        encoder_module.embeddings = embeddings
        for name, parameter in upper.named_parameters():
            parameter.requires_grad_(".layer." in f".{name}")
    encoder_module.encoder.layer = nn.ModuleList(layers[:cut])
    lower = encoder if cut else _EmbeddingsAlone(encoder_module.embeddings)
    return lower.eval().requires_grad_(False), upper


class ImageTower(nn.Module):
    """Patches from a timm encoder, whole or as activations computed before.

    Parameters
    ----------
    encoder : nn.Module or None
        What ``timm.create_model(..., num_classes=0)`` gives; None hands patches through (all of it frozen).
    width : int
        Channels of a patch.
    frozen : {"all", "early", "none"}
        What is not trained: ``early`` freezes the stem and the first half of the blocks (of the stages, where an
        encoder has stages). Batch norms keep their pretrained statistics in every case, since micro-batches are small.

    Raises
    ------
    WeightsError
        timm does not tell the encoder's early parts from its late ones.
    """

    def __init__(self, encoder: nn.Module | None, width: int, frozen: Literal["all", "early", "none"] = "all") -> None:
        super().__init__()
        self.encoder = encoder
        self.width = width
        self.frozen = frozen
        if encoder is not None:
            encoder.requires_grad_(frozen != "all")
            if frozen == "early":
                _freeze_early(encoder)

    def train(self, mode: bool = True) -> "ImageTower":
        """Training mode for all but the batch norms."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (M, 3, S, S) or patches (M, P, C) -> patches (M, P, C)."""
        if self.encoder is None:
            return images.float()
        return image_patches(self.encoder, images)


def _freeze_early(encoder: Any) -> None:
    if not hasattr(encoder, "group_matcher"):
        raise WeightsError(
            f"{type(encoder).__name__} names no groups of layers to freeze the early ones of; set "
            "members.multimodal.image.frozen to all or none"
        )
    # 0 the stem (position embeddings among it), then each stage or block, the last with the norm before the head or
    # that norm alone
    group = group_parameters(encoder, encoder.group_matcher(coarse=True), reverse=True)
    half = max(group.values()) // 2
    for name, parameter in encoder.named_parameters():
        if group[name] <= half:
            parameter.requires_grad_(False)


def fit_to_side(encoder: Any, side: int) -> tuple[int, int]:
    """Fit a timm encoder to images of ``side`` pixels, and see that it takes them; patches and channels it gives.

    Transformers made for one size get their position embeddings resampled to the other.

    Raises
    ------
    WeightsError
        It does not take images of this side.
    """
    try:
        if hasattr(encoder, "set_input_size"):
            encoder.set_input_size(img_size=(side, side))
        with torch.inference_mode():
            _, patches, channels = image_patches(encoder, torch.zeros(1, 3, side, side)).shape
    except WeightsError:
        raise
    except Exception as error:  # encoders refuse a size in many ways
        usual = getattr(encoder, "pretrained_cfg", {}).get("input_size", ("?",))[-1]
        raise WeightsError(
            f"{type(encoder).__name__} does not take images of members.multimodal.image.side = {side} pixels "
            f"({type(error).__name__}: {error}); it was trained with {usual}"
        ) from None
    return patches, channels


def image_patches(encoder: Any, images: torch.Tensor) -> torch.Tensor:
    """Images (M, 3, S, S) -> patches (M, P, C) of a timm encoder, whose feature map is (M, C, H, W), (M, H, W, C) or
    tokens (M, P, C).

    Raises
    ------
    WeightsError
        It gives something else.
    """
    features = encoder.forward_features(images)
    if features.ndim == 4:
        last = getattr(encoder, "output_fmt", "NCHW") == "NHWC"  # Swin and its like
        features = features.flatten(1, 2) if last else features.flatten(2).transpose(1, 2)
    if features.ndim != 3 or features.shape[2] != encoder.num_features:
        raise WeightsError(
            f"{type(encoder).__name__} gives features of shape {tuple(features.shape)}, from which no patches of its "
            f"{encoder.num_features} channels can be told; choose another members.multimodal.image.name"
        )
    return features
