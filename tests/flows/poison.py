"""What a poisoned record would run, were it read: it leaves a file behind."""

from pathlib import Path
from typing import Any


class Potion:
    """Unpickling it writes a file."""

    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return _leave, (self.marker,)


def _leave(marker: str) -> None:
    Path(marker).write_text("drunk", encoding="utf-8")


def drink(content: dict[str, Any]) -> dict[str, Any]:
    """As a JSON object decoder."""
    if "marker" in content:
        _leave(content["marker"])
    return content
