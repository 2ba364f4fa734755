"""Encoders of published sizes with random weights, for figures that do not depend on what the weights know."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pricing.pretrained import vision_ops  # isort: skip  # before timm and transformers

import timm
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers import DebertaV2Config, DebertaV2Model, PreTrainedTokenizerFast

from pricing.members.multimodal.encoders import ImageTower, TextTower
from pricing.members.multimodal.network import OptimizedMultimodalModel
from pricing.members.multimodal.settings import MultimodalSettings
from pricing.members.multimodal.towers import enable_checkpointing

assert vision_ops is not None


def deberta_v3_small() -> Any:
    """microsoft/deberta-v3-small: 6 layers of 768, 141 million parameters, 98 of them embeddings."""
    return DebertaV2Model(
        DebertaV2Config(
            vocab_size=128_100, hidden_size=768, num_hidden_layers=6, num_attention_heads=12, intermediate_size=3072,
            relative_attention=True, position_buckets=256, norm_rel_ebd="layer_norm", share_att_key=True,
            pos_att_type=["p2c", "c2p"], position_biased_input=False, type_vocab_size=0, max_relative_positions=-1,
        )
    )  # fmt: skip


def efficientnet_b2() -> Any:
    """timm's efficientnet_b2 without its classifier."""
    encoder: nn.Module = timm.create_model("efficientnet_b2", pretrained=False, num_classes=0)
    return encoder


def write_deberta_v3_small(folder: Path, texts: Iterable[str]) -> Path:
    """A folder as ``save_pretrained`` writes it; its tokenizer is learnt from the texts, at most 32,000 word pieces."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=32_000, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)  # fmt: skip
    deberta_v3_small().save_pretrained(folder)
    return folder


def full_network(config: MultimodalSettings, width: int) -> OptimizedMultimodalModel:
    """The `full` preset's network, or a variant's, over ``width`` numeric columns."""
    text, image = deberta_v3_small(), efficientnet_b2() if config.image.enabled else None
    if config.text.gradient_checkpointing:
        enable_checkpointing(text)
    images = None if image is None else ImageTower(image, image.num_features, config.image.frozen)
    return OptimizedMultimodalModel(TextTower(text, 768, upper=False), images, width, config.fusion)
