"""Feature names in the words of somebody who did not make them."""

import re
import tomllib
from importlib import resources

PAGE_WORDS: dict[str, dict[str, str]] = tomllib.loads(
    (resources.files("pricing.report") / "templates" / "words.toml").read_text(encoding="utf-8")
)
"""What the page says of plots, counts and features; the file's comments say of which."""
_COMPARED = re.compile(f"price_({'|'.join(PAGE_WORDS['comparisons'])})_(.+)")


def feature_words(name: str) -> str:
    """What a feature is, in plain words; empty where nothing is known of it."""
    if compared := _COMPARED.fullmatch(name):
        space, summary = compared.groups()
        return f"{_first('summaries', summary)} (compared {PAGE_WORDS['comparisons'][space]})"
    return _first("features", name)


def _first(table: str, name: str) -> str:
    return next((words for beginning, words in PAGE_WORDS[table].items() if name.startswith(beginning)), "")
