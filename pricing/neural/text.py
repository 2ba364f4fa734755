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


def shape_batches(lengths: Sequence[int] | np.ndarray, batch_size: int, longest: int) -> list[tuple[int, np.ndarray]]:
    """Batches of texts whose padded length follows from each text alone.

    A row's activations depend in their last bits on the shape of the batch that it is computed in. With one shape for
    all texts of a length, and short batches filled up to ``batch_size``, they depend on the text alone, so that a new
    catalogue is priced as the run priced it.

    Parameters
    ----------
    lengths : sequence of int, shape (n,)
        Tokens of each text.
    batch_size : int
        Texts a batch.
    longest : int
        Tokens that a text is truncated to.

    Returns
    -------
    list of (int, ndarray)
        Padded length, a multiple of 8 or ``longest``, and positions, at most ``batch_size``; shortest first.
    """
    padded = np.minimum(-(-np.asarray(lengths) // 8) * 8, longest)
    batches = []
    for length in np.unique(padded):
        rows = np.flatnonzero(padded == length)
        batches += [(int(length), rows[start : start + batch_size]) for start in range(0, len(rows), batch_size)]
    return batches
