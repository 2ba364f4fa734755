"""The member `column_mlp`: averaged MLPs on all that is known of a product whose columns have roles."""

from typing import TYPE_CHECKING

from pydantic import Field

from pricing.members.mlp.mlp_member import MLPMember
from pricing.members.mlp.mlp_settings import MLPSettings

if TYPE_CHECKING:
    import numpy as np

    from pricing.members.fold_rows import Rows

_LENGTH = 8.0
"""Length of an embedding as it is read: its 384 numbers then are 0.4, near those of standard scores, instead of 0.05."""


class ColumnMLPSettings(MLPSettings):
    """Averaged MLPs on terms, engineered numbers, price features and embeddings; trained only where columns have
    roles."""

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
    dropout: float = Field(0.3, ge=0, lt=1)
    """Dropout between the hidden layers."""


class ColumnMLPMember(MLPMember[ColumnMLPSettings]):
    """Networks that read the title and the categories as a sentence encoder does, each apart from the whole text.

    On the second marketplace they are the best single member; a shop without declared columns has no such parts.
    """

    name = "column_mlp"
    Settings = ColumnMLPSettings
    needs_roles = True
    seconds = 5.0

    def vectors(self, rows: "Rows") -> "np.ndarray":
        """Return the embeddings of the whole text and of its parts side by side, (n, d) float32."""
        import numpy as np

        features = rows.features
        if features.embedding is None:
            return super().vectors(rows)
        whole = [features.embedding]
        if features.parts is not None:
            whole.append(features.parts.reshape(len(rows), -1))
        return np.concatenate(whole, axis=1) * np.float32(_LENGTH)
