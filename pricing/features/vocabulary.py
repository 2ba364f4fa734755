"""Lists of words, which stand in vocabulary.toml: that file counts as code of this module in cache keys."""

import tomllib
from importlib import resources
from typing import Any

VOCABULARY: dict[str, Any] = tomllib.loads(
    (resources.files("pricing.features") / "vocabulary.toml").read_text(encoding="utf-8")
)
"""As the file has it: ``flavours``, ``forms``, and by name ``languages``, ``claims`` and ``spellings`` of units."""
