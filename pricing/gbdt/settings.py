"""Which settings a member trains with: its section of the configuration, and what a search found laid over it."""

from __future__ import annotations

import json
from pathlib import Path

from pricing.config.gbdt import GBDTConfig, MemberConfig
from pricing.errors import ArtifactError, ConfigError
from pricing.gbdt.model import LIBRARIES


def member_settings(config: GBDTConfig, member: str) -> MemberConfig:
    """The member's own section. Raises ConfigError for an unknown member."""
    if member not in LIBRARIES:
        raise ConfigError(f"gbdt: no member {member!r}; there are {', '.join(LIBRARIES)}")
    section: MemberConfig = getattr(config, member)
    return section


def with_tuned(settings: MemberConfig, params: Path | None) -> MemberConfig:
    """Lay the settings of a search's params.json over a section; raises ArtifactError where they do not fit it."""
    if params is None:
        return settings
    path = params / "params.json" if params.is_dir() else params
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["params"]
        return type(settings).model_validate({**settings.model_dump(), **found})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path}: holds no settings for {type(settings).__name__} ({error}); search again"
        ) from None
