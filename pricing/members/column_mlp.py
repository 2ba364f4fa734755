"""The member `column_mlp`: averaged MLPs on the numbers and the embeddings of products whose columns have roles."""

from typing import Literal

from pydantic import Field

from pricing.members.mlp.mlp_member import MLPMember
from pricing.members.mlp.mlp_settings import MLPSettings


class ColumnMLPSettings(MLPSettings):
    """Averaged MLPs on engineered numbers, price features and embeddings; trained only where columns have roles."""

    enabled: bool = False
    """Whether the member is trained where columns have roles."""
    hidden: tuple[int, ...] = (192, 64)
    """Widths of the hidden layers."""
    epochs: int = Field(5, ge=1)
    """Number of passes over the training rows; the batch size doubles with each."""
    batch_size: int = Field(64, ge=8)
    """Number of rows per batch in the first epoch."""
    huber_delta: float = Field(0.25, gt=0)
    """Residual, in log price, above which the Huber loss grows linearly."""
    seeds: int = Field(8, ge=1)
    """Number of networks that are averaged, one per random seed."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Dropout between the hidden layers."""
    output_dropout: float = Field(0.3, ge=0, lt=1)
    """Dropout before the output layer."""
    activation: Literal["relu", "gelu"] = "gelu"
    """Function of the hidden layers."""
    terms: bool = False
    """Whether the TF-IDF terms are read."""
    embeddings: bool = True
    """Whether the embeddings of the text and of its parts are read, where the features have them."""


class ColumnMLPMember(MLPMember[ColumnMLPSettings]):
    """Networks that read title, categories and texts by a sentence encoder, each apart from the others.

    On the second marketplace they are the best single member. Without roles there are no such parts.
    """

    name = "column_mlp"
    Settings = ColumnMLPSettings
    needs_roles = True
    seconds = 2.0
