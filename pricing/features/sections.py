"""The parts of a catalogue text.

``catalog_content`` is lines: ``Item Name: ...``, ``Bullet Point 1: ...``, ``Product Description: ...``, ``Value: ...``,
``Unit: ...``; any of them may be missing, and a description may run over several lines. The text is made plain here,
once, so that every feature reads the same (`pricing.catalogue.plain_text`).
"""

from functools import cache

import polars as pl

from pricing.catalogue.kept_regexes import evaluate, keeping_regexes
from pricing.catalogue.plain_text import plain_text
from pricing.catalogue.title import FIELDS, field_line, title_line
from pricing.features.fields import read_values

#: nobody reads further, and a text of megabytes must not cost more than a long one
NAME_CHARACTERS = 2_000
FIELD_CHARACTERS = 200

_BULLET = r"(?m)^ ?Bullet Point ?\d* ?:[^\n]*"
_DESCRIPTION = r"(?ms)^ ?Product Description ?: ?(.*?)(?:^ ?(?:Value|Unit) ?:|\z)"


@keeping_regexes
def split_sections(frame: pl.DataFrame) -> pl.DataFrame:
    """Split catalogue texts into their parts.

    Parameters
    ----------
    frame : DataFrame
        n rows with a String column ``catalog_content``; nulls count as empty texts.

    Returns
    -------
    DataFrame
        n rows: ``text`` (the whole text, plain), ``prose`` (without the Value and Unit lines, whose labels are no words
        of the seller), ``item_name`` (the title, at most 2,000 characters), ``bullets`` (their texts, a line each),
        ``description``, ``bullet_count`` (UInt32), ``value`` (Float64, null where none, not finite or not positive),
        ``unit`` (String as written, null where none or "None"), ``value_written`` and ``unit_written`` (String, what
        the lines say; null where there are none). Missing parts are empty strings.
    """
    plain, lines, parts = _steps()
    split = evaluate(frame, plain).to_frame("text").select_seq(lines)
    values = read_values(split.select(value="value_written", unit="unit_written"))
    return split.select_seq(parts).hstack(values)


@cache
def _steps() -> tuple[pl.Expr, list[pl.Expr], list[pl.Expr]]:
    """The plain text, its lines by what they say, and the parts of these."""
    text = pl.col("text")
    plain = plain_text(pl.col("catalog_content").fill_null(""))
    lines = [
        text,
        title_line(text).str.slice(0, NAME_CHARACTERS).alias("item_name"),
        text.str.extract_all(_BULLET).alias("bullet_lines"),
        text.str.extract(_DESCRIPTION).str.strip_chars().fill_null("").alias("description"),
        field_line("Value", text).str.slice(0, FIELD_CHARACTERS).alias("value_written"),
        field_line("Unit", text).str.slice(0, FIELD_CHARACTERS).alias("unit_written"),
    ]
    parts = [
        text,
        text.str.replace_all(FIELDS, "").alias("prose"),
        pl.col("item_name"),
        pl.col("bullet_lines").list.join("\n").str.replace_all(r"(?m)^ ?Bullet Point ?\d* ?: ?", "").fill_null("")
        .alias("bullets"),
        pl.col("description"),
        pl.col("bullet_lines").list.len().alias("bullet_count"),
        pl.col("value_written", "unit_written"),
    ]  # fmt: skip
    return plain, lines, parts
