"""The member `sparse_mlp`: averaged sparse MLPs on TF-IDF terms and engineered numbers."""

from typing import ClassVar

from pricing.members.mlp.mlp_member import MLPMember
from pricing.members.mlp.mlp_settings import MLPSettings


class SparseMLPSettings(MLPSettings):
    """Averaged sparse MLPs on TF-IDF terms and engineered numbers."""


class SparseMLPMember(MLPMember[SparseMLPSettings]):
    """Networks that read no price features, so that they err differently from the other members."""

    name = "sparse_mlp"
    Settings = SparseMLPSettings
    reads = frozenset()
    seconds = 3.2
    moved: ClassVar = {"neural.sparse_mlp": ""}
