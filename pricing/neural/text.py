"""What the text encoder reads: Value, Unit and pack first, so that truncation keeps them."""

import re
from collections.abc import Sequence

import numpy as np

__all__ = ["compose_text"]

_FIELD = re.compile(r"^(Item Name|Value|Unit|Product Description|Bullet Point\s*\d*)\s*:\s*(.*)$", re.IGNORECASE)
# "Pack of 6" says more than the "20 Count" before it, so the patterns are tried one after the other
_PACKS = (
    re.compile(r"\b(?:pack|case|set|box|bundle)\s+of\s+(\d{1,4})\b", re.IGNORECASE),
    re.compile(r"\b(\d{1,4})[\s-]*(?:pack|pk|packs)\b", re.IGNORECASE),
    re.compile(r"\b(\d{1,4})[\s-]*(?:count|ct|pcs|pieces)\b", re.IGNORECASE),
)


def compose_text(content: str | None) -> str:
    """Rearrange one catalogue text.

    >>> compose_text("Item Name: Taco Sauce, 12 Ounce (Pack of 6)\\nValue: 72.0\\nUnit: Fl Oz\\n")
    '72 Fl Oz, pack 6. Taco Sauce, 12 Ounce (Pack of 6)'
    >>> compose_text(None)
    ''
    """
    fields: dict[str, str] = {}
    rest: list[str] = []
    for line in (content or "").splitlines():
        match = _FIELD.match(line.strip())
        if match is None:
            rest.append(line.strip())
            continue
        key, value = match.group(1).lower(), match.group(2).strip()
        if key in ("item name", "value", "unit") and key not in fields:
            fields[key] = value
        else:
            rest.append(value)
    name = fields.get("item name", "")
    pack = next((found for pattern in _PACKS if (found := pattern.search(name))), None)
    head = " ".join(part for part in (_number(fields.get("value", "")), fields.get("unit", "")) if part)
    if pack is not None:
        head = ", ".join(part for part in (head, f"pack {pack.group(1)}") if part)
    return " ".join(part for part in (f"{head}." if head else "", name, *rest) if part)


def _number(text: str) -> str:
    return text[:-2] if text.endswith(".0") else text


def bucket_batches(lengths: Sequence[int] | np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Positions sorted by length and cut into batches: the order in which predictions are made, shortest first."""
    order = np.argsort(np.asarray(lengths), kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
