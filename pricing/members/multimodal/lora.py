"""Low-rank adaptation of the text encoder's attention layers (Hu et al. 2021), by peft."""

import warnings
from typing import Any

import pricing.pretrained.vision_ops  # noqa: F401  # isort: skip  # before transformers, which peft imports

from peft import LoraConfig as PeftLoraConfig
from peft import PeftModel, get_peft_model
from torch import nn

from pricing.errors import WeightsError
from pricing.members.multimodal.settings import LoraConfig

# attention projections as BERT, DeBERTa and MPNet name them
_TARGETS = (
    "query", "key", "value", "query_proj", "key_proj", "value_proj", "q", "k", "v", "q_proj", "k_proj", "v_proj",
)  # fmt: skip


def setup_lora(encoder: nn.Module, config: LoraConfig) -> tuple[PeftModel, float]:
    """Freeze an encoder and put rank-r adapters on its attention's linear layers.

    Returns
    -------
    model : PeftModel
        Takes and gives what the encoder did; before training its output is the encoder's.
    share : float
        Share of the parameters that is trained, 0 to 1.

    Raises
    ------
    WeightsError
        No attention layer is known in this architecture.
    """
    linear = {name.rsplit(".", 1)[-1] for name, module in encoder.named_modules() if isinstance(module, nn.Linear)}
    found = sorted(linear & set(_TARGETS))
    if not found:
        raise WeightsError(f"{type(encoder).__name__}: no attention layer is called one of {', '.join(_TARGETS)}")
    adapters = PeftLoraConfig(r=config.r, lora_alpha=config.alpha, lora_dropout=config.dropout, target_modules=found)
    with warnings.catch_warnings():
        # peft warns about what it will not save; it saves nothing here
        warnings.simplefilter("ignore")
        encoder_module: Any = encoder
        model = get_peft_model(encoder_module, adapters)
    total = sum(p.numel() for p in model.parameters())
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return model, trainable / total
