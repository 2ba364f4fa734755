"""Settings that the members made of averaged MLPs share."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pricing.members.contract import MemberSettings


class MLPSettings(MemberSettings):
    """Averaged MLPs."""

    hidden: tuple[int, ...] = (192, 64, 64)
    """Widths of the hidden layers."""
    epochs: int = Field(3, ge=1)
    """Number of passes over the training rows; the batch size doubles with each."""
    batch_size: int = Field(256, ge=8)
    """Number of rows per batch in the first epoch."""
    learning_rate: float = Field(3e-3, gt=0)
    """Learning rate of AdamW."""
    huber_delta: float = Field(0.5, gt=0)
    """Residual, in log price, above which the Huber loss grows linearly."""
    seeds: int = Field(2, ge=1)
    """Number of networks that are averaged, one per random seed."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout between the hidden layers."""
    output_dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout before the output layer."""
    activation: Literal["relu", "gelu"] = "relu"
    """Function of the hidden layers."""
    weight_decay: float = Field(1e-2, ge=0)
    """Weight decay of AdamW."""
    terms: bool = True
    """Whether the TF-IDF terms are read."""
    dense: bool = True
    """Whether the engineered numbers (all but the SVD) are read."""
    embeddings: bool = False
    """Whether the embeddings of the text and of its parts are read, where the features have them."""

    @model_validator(mode="after")
    def _something_is_read(self) -> Self:
        if not (self.terms or self.dense):
            raise ValueError("terms and dense are both off, and there is nothing to learn from; switch one on")
        return self
