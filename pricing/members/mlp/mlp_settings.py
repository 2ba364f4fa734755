"""Settings that the members made of averaged MLPs share."""

from pydantic import Field

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
    weight_decay: float = Field(1e-2, ge=0)
    """Weight decay of AdamW."""
    dense: bool = True
    """Whether the engineered numbers (all but the SVD) are read beside the TF-IDF terms."""
