"""Settings of the member `multimodal`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pricing.config.base import Section
from pricing.members.contract import MemberSettings


class TextEncoderConfig(Section):
    """The text encoder."""

    enabled: bool = True
    """Whether the text is read."""
    name: str = "microsoft/deberta-v3-small"
    """A local folder, an installed weight package (all-MiniLM-L6-v2, all-mpnet-base-v2) or a hub model."""
    max_length: int = Field(256, ge=8, le=2048)
    """Maximum number of tokens per text; longer ones are truncated."""
    windows: int = Field(1, ge=1)
    """Maximum number of windows of max_length tokens per longer text that a prediction averages. Training reads the
    first."""
    trainable_layers: int | None = Field(None, ge=0)
    """Number of upper layers that are trained; what the layers below give is computed once. None trains all layers."""
    gradient_checkpointing: bool = False
    """Whether activations are computed again in the backward pass, which takes less memory and more time."""


class ImageEncoderConfig(Section):
    """The image encoder."""

    enabled: bool = True
    """Whether images are read."""
    name: str = "efficientnet_b2"
    """A local folder, an installed weight package (tf_efficientnet_lite0) or a timm model."""
    side: int = Field(260, ge=16, le=1024)
    """Side of the images that the encoder sees, in pixels."""
    frozen: Literal["all", "early", "none"] = "early"
    """Blocks that are not trained. With ``all`` of them, what the encoder gives is computed once."""

    @property
    def keeps_patches(self) -> bool:
        """Whether all of the encoder is frozen, so that the patches that it gives are computed once and kept."""
        return self.enabled and self.frozen == "all"


class LoraConfig(Section):
    """Low-rank adaptation of the text encoder's attention layers."""

    enabled: bool = False
    """Whether LoRA adapters are trained in place of whole layers."""
    r: int = Field(16, ge=1)
    """Rank of an adapter."""
    alpha: int = Field(32, ge=1)
    """Factor on an adapter's output, times its rank."""
    dropout: float = Field(0.05, ge=0, lt=1)
    """Dropout on the adapter's input."""


class FusionConfig(Section):
    """How text, image and features are fused."""

    kind: Literal["cross_attention", "gated"] = "cross_attention"
    """Attention between text and image in both directions, or gates over their means."""
    hidden: int = Field(256, ge=8)
    """Width of the fused representation."""
    heads: int = Field(4, ge=1)
    """Attention heads."""
    start: Literal["ridge", "median"] = "ridge"
    """Where the linear part starts: at the ridge's prediction, or at the median price."""
    svd: bool = True
    """Whether the ``svd_*`` columns are read; the text encoder reads the words themselves."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout in fusion and head."""
    modality_dropout: float = Field(0.1, ge=0, lt=1)
    """Probability that the text or the image of a training row with both is replaced by a learnt embedding."""


class TrainingConfig(Section):
    """The training loop."""

    loss: Literal["huber_smape", "focal_smape", "l1", "smooth_l1"] = "smooth_l1"
    """Loss on the log price."""
    epochs: int = Field(4, ge=1)
    """Maximum number of passes over the training rows."""
    text_epochs: int = Field(0, ge=0)
    """Number of passes of a first phase, which trains the text encoder alone; 0 for no such phase."""
    second_phase_rate: float = Field(1.0, ge=0)
    """Factor on encoder_learning_rate in the phase after a first one."""
    batch_size: int = Field(32, ge=1)
    """Number of rows per micro-batch and process."""
    accumulation: int = Field(4, ge=1)
    """Number of micro-batches per optimiser step."""
    learning_rate: float = Field(1e-3, gt=0)
    """Peak learning rate of all but the encoders."""
    encoder_learning_rate: float = Field(5e-5, gt=0)
    """Peak learning rate of the encoders' uppermost layer."""
    skip_rate: float = Field(0.1, ge=0)
    """Factor on learning_rate for the linear part; see fusion.start."""
    layer_decay: float = Field(0.9, gt=0, le=1)
    """Factor on the learning rate per layer downwards."""
    weight_decay: float = Field(0.01, ge=0)
    """Weight decay of AdamW."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    clip_norm: float = Field(1.0, gt=0)
    """Maximum norm of the gradient."""
    ema_decay: float = Field(0.999, ge=0, lt=1)
    """Decay of the moving average of the weights; 0 for no average."""
    patience: int = Field(2, ge=1)
    """Number of epochs without a better validation SMAPE after which training stops."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Number format of products; ``auto`` takes what the processor has instructions for."""
    tta: int = Field(1, ge=1)
    """Number of views per image that a prediction averages, where images are decoded for it."""


class CheckpointConfig(Section):
    """Checkpoints, from which a killed training continues."""

    minutes: float = Field(30.0, gt=0)
    """Minimum number of minutes between checkpoints inside an epoch."""
    keep: int = Field(2, ge=1)
    """Number of latest checkpoints that are kept beside the best one."""
    kind: Literal["quick", "full"] = "quick"
    """Both continue exactly; ``full`` holds the best weights too, so that its folder can be moved."""


class MultimodalSettings(MemberSettings):
    """Network on text, image and features."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the network is trained; ``auto`` takes a GPU where there is one."""
    workers: int = Field(0, ge=0)
    """Number of processes that decode images; 0 decodes them in the training process. Unused with image.frozen at
    ``all``."""
    processes: int = Field(1, ge=1)
    """Number of processes that train one network together, with one GPU each."""
    encode_batch: int = Field(32, ge=1)
    """Number of rows per batch of the encoders' frozen parts."""
    refit: bool = False
    """Whether the network is trained once more on all labelled rows where holdout.refit is on."""
    text: TextEncoderConfig = TextEncoderConfig()
    """The text encoder."""
    image: ImageEncoderConfig = ImageEncoderConfig()
    """The image encoder."""
    lora: LoraConfig = LoraConfig()
    """LoRA on the text encoder."""
    fusion: FusionConfig = FusionConfig()
    """How text, image and features are fused."""
    training: TrainingConfig = TrainingConfig()
    """The training loop."""
    checkpoint: CheckpointConfig = CheckpointConfig()
    """Checkpoints, from which a killed training continues."""

    @model_validator(mode="after")
    def _first_phase_has_something_to_train(self) -> Self:
        if self.training.text_epochs and (not self.text.enabled or self.text.trainable_layers == 0):
            raise ValueError(
                "training.text_epochs asks for a phase that trains the text encoder, but text.enabled is off or "
                "text.trainable_layers is 0"
            )
        return self
