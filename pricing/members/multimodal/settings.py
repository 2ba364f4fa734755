"""Settings of the member `multimodal`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pricing.config.base import Section
from pricing.members.contract import MemberSettings


class TextEncoderConfig(Section):
    """The text encoder."""

    enabled: bool = True
    """Use the text at all."""
    name: str = "microsoft/deberta-v3-small"
    """A local folder, an installed weight package (all-MiniLM-L6-v2, all-mpnet-base-v2) or a hub model."""
    max_length: int = Field(256, ge=8, le=2048)
    """Tokens a text is truncated to."""
    windows: int = Field(1, ge=1)
    """Windows of max_length tokens that a prediction averages where a text is longer; training reads the first."""
    trainable_layers: int | None = Field(None, ge=0)
    """Upper layers that are trained; the layers below run once and are kept. None trains all of them."""
    gradient_checkpointing: bool = False
    """Trade time for memory."""


class ImageEncoderConfig(Section):
    """The picture encoder."""

    enabled: bool = True
    """Use pictures at all."""
    name: str = "efficientnet_b2"
    """A local folder, an installed weight package (tf_efficientnet_lite0) or a timm model."""
    side: int = Field(260, ge=16, le=1024)
    """Input side, in pixels."""
    frozen: Literal["all", "early", "none"] = "early"
    """Blocks that are not trained; with all of them frozen the activations are computed once and kept."""


class LoraConfig(Section):
    """Low-rank adaptation of the text encoder's attention layers."""

    enabled: bool = False
    """Use LoRA instead of training whole layers."""
    r: int = Field(16, ge=1)
    """Rank."""
    alpha: int = Field(32, ge=1)
    """Scale."""
    dropout: float = Field(0.05, ge=0, lt=1)
    """Dropout on the adapter's input."""


class FusionConfig(Section):
    """How the modalities meet."""

    kind: Literal["cross_attention", "gated"] = "cross_attention"
    """Bidirectional cross-modal attention, or gates."""
    hidden: int = Field(256, ge=8)
    """Width of the fused representation."""
    heads: int = Field(4, ge=1)
    """Attention heads."""
    start: Literal["ridge", "median"] = "ridge"
    """Where the linear skip starts: at the leak-free ridge prediction, or at the median price."""
    svd: bool = True
    """Read the svd_* columns; the text encoder reads the words themselves."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout in fusion and head."""
    modality_dropout: float = Field(0.1, ge=0, lt=1)
    """Chance that the text or the picture of a row with both is replaced by its learnt missing embedding in
    training."""


class TrainingConfig(Section):
    """Optimisation."""

    loss: Literal["huber_smape", "focal_smape", "l1", "smooth_l1"] = "smooth_l1"
    """Loss on log price."""
    epochs: int = Field(4, ge=1)
    """Most passes over the training rows."""
    text_epochs: int = Field(0, ge=0)
    """Passes of a first phase that trains the text encoder on the price alone; 0 for none."""
    second_phase_rate: float = Field(1.0, ge=0)
    """Factor on encoder_learning_rate in the phase that fuses, after a first one."""
    batch_size: int = Field(32, ge=1)
    """Rows a micro-batch of each process."""
    accumulation: int = Field(4, ge=1)
    """Micro-batches an optimiser step."""
    learning_rate: float = Field(1e-3, gt=0)
    """Peak rate of the fusion, projection and head."""
    encoder_learning_rate: float = Field(5e-5, gt=0)
    """Peak rate of the encoders' upper layer; lower layers decay from it."""
    skip_rate: float = Field(0.1, ge=0)
    """Factor on learning_rate for the linear skip; see fusion.start."""
    layer_decay: float = Field(0.9, gt=0, le=1)
    """Factor on the rate, a layer downwards."""
    weight_decay: float = Field(0.01, ge=0)
    """AdamW's decay."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps with a rising rate."""
    clip_norm: float = Field(1.0, gt=0)
    """Largest gradient norm."""
    ema_decay: float = Field(0.999, ge=0, lt=1)
    """Decay of the moving average of the weights; 0 switches it off."""
    patience: int = Field(2, ge=1)
    """Epochs without gain before stopping."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto takes what the processor has instructions for; never chosen by timing."""
    tta: int = Field(1, ge=1)
    """Views a prediction averages."""


class CheckpointConfig(Section):
    """Checkpoints of the training loop."""

    minutes: float = Field(30.0, gt=0)
    """Minutes between checkpoints inside an epoch."""
    keep: int = Field(2, ge=1)
    """Latest checkpoints kept beside the best."""
    kind: Literal["quick", "full"] = "quick"
    """Both continue exactly; quick in its own folder, full carries the best weights too and can be moved."""


class MultimodalSettings(MemberSettings):
    """The network on text, images and features."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks are trained."""
    workers: int = Field(0, ge=0)
    """Processes that decode pictures where their activations are not kept."""
    processes: int = Field(1, ge=1)
    """Processes that train one encoder network together, a GPU each."""
    encode_batch: int = Field(32, ge=1)
    """Rows a batch of the frozen parts, which run once."""
    refit: bool = False
    """Train the network once more on all labelled rows when holdout.refit is on."""
    text: TextEncoderConfig = TextEncoderConfig()
    """Text encoder."""
    image: ImageEncoderConfig = ImageEncoderConfig()
    """Picture encoder."""
    lora: LoraConfig = LoraConfig()
    """LoRA."""
    fusion: FusionConfig = FusionConfig()
    """Fusion."""
    training: TrainingConfig = TrainingConfig()
    """Training loop."""
    checkpoint: CheckpointConfig = CheckpointConfig()
    """Checkpoints."""

    @model_validator(mode="after")
    def _first_phase_has_something_to_train(self) -> Self:
        if self.training.text_epochs and (not self.text.enabled or self.text.trainable_layers == 0):
            raise ValueError(
                "training.text_epochs asks for a phase that trains the text encoder, but text.enabled is off or "
                "text.trainable_layers is 0"
            )
        return self
