"""Which settings a member trains with: its section of the configuration, and what a search found laid over it."""

from __future__ import annotations

import tomllib
from pathlib import Path

from OLD.GBDT import GBDTConfig, MemberConfig

from pricing.errors import ArtifactError, ConfigError
from pricing.members.trees.tree_model import LIBRARIES


def member_settings(config: GBDTConfig, member: str) -> MemberConfig:
    """The member's own section. Raises ConfigError for an unknown member."""
    if member not in LIBRARIES:
        raise ConfigError(f"gbdt: no member {member!r}; there are {', '.join(LIBRARIES)}")
    section: MemberConfig = getattr(config, member)
    return section


def with_tuned(settings: MemberConfig, member: str, tuned: Path | None) -> MemberConfig:
    """Lay a search's settings.toml over a member's section; raises ArtifactError where it does not fit."""
    if tuned is None:
        return settings
    path = tuned / "settings.toml"
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))["gbdt"][member]
        return type(settings).model_validate({**settings.model_dump(), **found})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path}: holds no settings for {type(settings).__name__} ({error}); search again"
        ) from None
