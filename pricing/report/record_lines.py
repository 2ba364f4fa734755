"""A run's records as lines of words and values: settings, versions, what is known of the catalogue."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pricing.report.plot_style import in_words

_QUANTILES = {"q000": "lowest", "q050": "median", "q100": "highest", "mean": "mean"}


def nested_lines(tree: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Return a nested record as lines of full key and value."""
    if isinstance(tree, Mapping) and tree:
        inner = [nested_lines(value, f"{prefix}.{key}" if prefix else str(key)) for key, value in tree.items()]
        return [line for lines in inner for line in lines]
    if isinstance(tree, (list, tuple)):
        shown = ", ".join(str(item) for item in tree[:12]) + (" …" if len(tree) > 12 else "")
        return [(prefix, shown or "none")] if prefix else []
    if isinstance(tree, float) and np.isfinite(tree):
        return [(prefix, f"{tree:.6g}")]
    return [(prefix, str(tree))] if prefix else []


def catalogue_lines(summary: Mapping[str, Any], words: Mapping[str, str]) -> dict[str, list[tuple[Any, ...]]]:
    """Return what is known of a catalogue, in words.

    Parameters
    ----------
    summary : mapping
        The catalogue's record in run.json; any part may be missing.
    words : mapping of str to str
        What a count is called.

    Returns
    -------
    dict
        ``counts``: (words, of train, of test) for each count that is not 0; ``prices``: (words, price);
        ``other``: (words, value) of whatever else is known.
    """
    parts = [part if isinstance(part, Mapping) else {} for part in (summary.get("train"), summary.get("test"))]
    keys = [key for key in dict.fromkeys([*words, *parts[0], *parts[1]]) if any(_is_count(p.get(key)) for p in parts)]
    shown = [[f"{part[key]:,}" if _is_count(part.get(key)) else "" for part in parts] for key in keys]
    counts = [(words.get(key, in_words(key)), *cells) for key, cells in zip(keys, shown, strict=True)
              if key == "rows" or any(part.get(key) for part in parts)]  # fmt: skip
    prices = summary.get("price") or {}
    ordered = sorted(prices, key=lambda key: (key == "mean", key))
    quantiles = [
        (_QUANTILES.get(key, f"{key[1:].lstrip('0')} % cost less than"), float(prices[key])) for key in ordered
    ]
    # ids in both are a finding where there are any
    other = {key: value for key, value in summary.items() if key not in ("train", "test", "price", "ids_in_both")}
    lines = [(words.get(key, in_words(key.replace(".", ", "))), value) for key, value in nested_lines(other)]
    return {"counts": counts, "prices": quantiles, "other": lines}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
