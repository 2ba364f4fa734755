"""References to a finished run's stage outputs."""

from pydantic import BaseModel, ConfigDict

from pricing.store.artifacts import Reference

__all__ = ["MODEL_FORMAT", "RunParts", "fold_name"]

MODEL_FORMAT = 2
"""Of a model folder, in its model.json; another one is laid out otherwise (1: bags of trees without bag.json)."""


class RunParts(BaseModel):
    """Which output of each stage belongs to a run; fold None is the refit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    catalogue: Reference
    folds: Reference
    features: Reference
    images: Reference | None
    encoded: Reference | None
    """Has the encoders that the networks were trained on; None without such a network."""
    ensemble: Reference
    price_features: dict[int | None, Reference]
    members: dict[str, dict[int | None, Reference]]
    searches: dict[str, Reference] = {}


def fold_name(fold: int | None) -> str:
    """Folder name of a fold; the refit has a name of its own."""
    return "refit" if fold is None else f"fold_{fold}"
