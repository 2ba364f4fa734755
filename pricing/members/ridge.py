"""The member `ridge`: the ridge regression of the price features, as a base model of its own."""

from pathlib import Path
from typing import TYPE_CHECKING, Self

from pricing.features.schema import one_with_role
from pricing.members.contract import Contributions, Member, MemberSettings
from pricing.store.stages import Stage

if TYPE_CHECKING:
    import numpy as np

    from pricing.members.fold_rows import FoldRows, Rows


class RidgeSettings(MemberSettings):
    """Ridge regression on TF-IDF terms and numbers; ``features.price.ridge_*`` are its settings."""


class Ridge(Member[RidgeSettings]):
    """Reads its prediction off the price features, which fit `pricing.features.price_ridge` inside the fold."""

    name = "ridge"
    Settings = RidgeSettings
    stage = Stage.FEATURES

    def fit(self, rows: "FoldRows", *, rounds: int | None = None, resume: Path | None = None) -> Self:
        """Learn nothing: the price features did."""
        return self

    def predict(self, rows: "Rows") -> "np.ndarray":
        """Log prices, ndarray of shape (n,), float64."""
        return rows.ridge

    def contributions(self, rows: "Rows") -> Contributions:
        """Return the ridge's column as all of the log price; `pricing.explain.ridge_terms` opens it."""
        import numpy as np

        name = one_with_role(rows.price_columns, "ridge")
        values = np.column_stack([rows.ridge, np.zeros(len(rows))])
        return Contributions((name or "ridge",), values, rows.ridge, centred=False)

    def save(self, folder: Path) -> None:
        """Write nothing: the ridge is saved with the price features."""

    @classmethod
    def load(cls, folder: Path, *, encoders: Path | None = None, threads: int = 1) -> Self:
        """Return the member; see `save`."""
        return cls(RidgeSettings(), threads=threads)
