"""What the text encoder reads: Value, Unit and pack first, so that truncation keeps them."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import polars as pl

from pricing.catalogue.kept_regexes import evaluate, keeping_regexes
from pricing.catalogue.plain_text import plain_text
from pricing.catalogue.title import FIELD, LABEL, NAMED, field_line, title_line

# tokens that every window begins with: value, unit and pack take 5 to 12
_HEAD = 16

# "Pack of 6" says more than the "20 Count" before it, so the patterns are tried one after the other
_PACKS = (
    r"(?i)\b(?:pack|case|set|box|bundle)\s+of\s+(\d{1,4})\b",
    r"(?i)\b(\d{1,4})[\s-]*(?:pack|pk|packs)\b",
    r"(?i)\b(\d{1,4})[\s-]*(?:count|ct|pcs|pieces)\b",
)


@keeping_regexes
def compose_texts(contents: Sequence[str | None] | pl.Series) -> list[str]:
    """Rearrange catalogue texts, made plain: value, unit and pack, then the title, then the rest without labels.

    The title is that of `pricing.catalogue.title.title_of`.

    >>> compose_texts(["Item Name: Taco Sauce, 12 Ounce (Pack of 6)\\nValue: 72.0\\nUnit: Fl Oz\\n", None])
    ['72 Fl Oz, pack 6. Taco Sauce, 12 Ounce (Pack of 6)', '']
    """
    frame = pl.DataFrame({"text": contents}, schema={"text": pl.String})
    for step in _compositions():
        frame = frame.with_columns(**{name: evaluate(frame, made) for name, made in step.items()})
    return frame["text"].to_list()


@cache
def _compositions() -> tuple[dict[str, pl.Expr], ...]:
    """What is done with ``text``, step by step."""
    text, title, rest = pl.col("text"), pl.col("title"), pl.col("rest")
    value, unit = (field_line(label, text).fill_null("") for label in ("Value", "Unit"))
    amount = _joined([value.str.replace(r"\.0$", ""), unit], " ")
    pack = pl.coalesce(title.str.extract(pattern) for pattern in _PACKS)
    head = _joined([amount, pl.format("pack {}", pack).fill_null("")], ", ")
    # of the fields the first lines alone stand in the head, and the title's line is not repeated
    others = text.str.replace(FIELD.format("Value"), "").str.replace(FIELD.format("Unit"), "")
    others = others.str.replace(NAMED, "").str.replace_all(LABEL, "")
    unnamed = ~text.str.contains(NAMED)
    without_title = pl.when(unnamed).then(rest.str.replace(r"\S[^\n]*", "")).otherwise("rest")
    first = pl.when(head != "").then(pl.concat_str(head, pl.lit("."))).otherwise(pl.lit(""))
    return (
        {"text": plain_text(text.fill_null(""))},
        {"title": title_line(text), "rest": others},
        {"rest": without_title},
        {"head": first},
        {"text": _joined([pl.col("head"), title, rest.str.replace_all(r"\s+", " ").str.strip_chars()], " ")},
    )


def _joined(parts: list[pl.Expr], separator: str) -> pl.Expr:
    """The parts that are not empty."""
    return pl.concat_str((pl.when(part != "").then(part) for part in parts), separator=separator, ignore_nulls=True)


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
