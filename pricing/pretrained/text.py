"""What the text encoder reads: Value, Unit and pack first, so that truncation keeps them."""

import re
from collections.abc import Sequence

import numpy as np

__all__ = ["compose_text", "shape_batches", "text_windows"]

_HEAD = 16  # tokens that every window begins with: value, unit and pack take 5 to 12

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
    rest = [line for line in rest if line]
    name = fields["item name"] if "item name" in fields else rest.pop(0) if rest else ""
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


def text_windows(ids: np.ndarray, max_length: int, windows: int, before: int, after: int) -> list[np.ndarray]:
    """Cut a text that is longer than the encoder reads into windows.

    The first is the text truncated. Each further one begins with the same first 16 tokens, in which value, unit and
    pack stand, and goes on where the one before ended; the last one ends where the text ends.

    Parameters
    ----------
    ids : (T,) ints
        Whole text, its special tokens included.
    max_length : int
        Tokens a window, special tokens included.
    windows : int
        Most windows.
    before, after : int
        Special tokens at the beginning and at the end.

    Returns
    -------
    list of (<= max_length,) ints
        At least one.

    Examples
    --------
    >>> [w.tolist() for w in text_windows(np.array([1, 10, 11, 12, 13, 14, 15, 16, 2]), 6, 3, 1, 1)]
    [[1, 10, 11, 12, 13, 2], [1, 10, 14, 15, 16, 2]]
    """
    if len(ids) <= max_length:
        return [ids]
    first, content, last = ids[:before], ids[before : len(ids) - after], ids[len(ids) - after :]
    room = max_length - before - after
    head = min(_HEAD, room // 4)
    found, end = [np.concatenate([first, content[:room], last])], room
    while end < len(content) and len(found) < windows:
        begin = min(end, max(head, len(content) - (room - head)))
        end = begin + room - head
        found.append(np.concatenate([first, content[:head], content[begin:end], last]))
    return found
