"""The parts of a catalogue text.

``catalog_content`` is lines: ``Item Name: ...``, ``Bullet Point 1: ...``, ``Product Description: ...``, ``Value: ...``,
``Unit: ...``; any of them may be missing, and a description may run over several lines.
"""

import polars as pl

from pricing.title import title_of

__all__ = ["split_sections"]

#: nobody reads further, and a text of megabytes must not cost more than a long one
NAME_CHARACTERS = 2_000

_BULLET = r"(?m)^[ \t]*Bullet Point[ \t]*\d*[ \t]*:[^\n]*"
_DESCRIPTION = r"(?ms)^[ \t]*Product Description[ \t]*:[ \t]*(.*?)(?:^[ \t]*(?:Value|Unit)[ \t]*:|\z)"


def _line(label: str, content: pl.Expr) -> pl.Expr:
    return content.str.extract(rf"(?m)^[ \t]*{label}[ \t]*:[ \t]*([^\r\n]*)").str.strip_chars()


def split_sections(frame: pl.DataFrame, column: str = "catalog_content") -> pl.DataFrame:
    """Split catalogue texts into their parts.

    Parameters
    ----------
    frame : DataFrame
        n rows with a String column ``column``; nulls count as empty texts.
    column : str
        Name of that column.

    Returns
    -------
    DataFrame
        n rows: ``text`` (the whole text), ``prose`` (without the Value and Unit lines, whose labels are no words of
        the seller), ``item_name`` (the title, at most 2,000 characters), ``bullets`` (their texts, a line each),
        ``description``, ``bullet_count`` (UInt32), ``value`` (Float64, null where none, not finite or not positive),
        ``unit`` (String as written, null where none or "None"). Missing parts are empty strings.
    """
    content = frame.select(pl.col(column).fill_null("").alias("text"))
    text = pl.col("text")
    parts = content.select(
        "text",
        title_of(text).str.slice(0, NAME_CHARACTERS).alias("item_name"),
        text.str.extract_all(_BULLET).alias("bullet_lines"),
        text.str.extract(_DESCRIPTION).str.strip_chars().fill_null("").alias("description"),
        _line("Value", text).alias("value"),
        _line("Unit", text).alias("unit"),
    )
    number = pl.col("value").cast(pl.Float64, strict=False)
    known_unit = ~pl.col("unit").str.to_lowercase().is_in(["", "none", "nan", "null", "n/a"])
    return parts.select(
        "text",
        text.str.replace_all(r"(?m)^[ \t]*(?:Value|Unit)[ \t]*:[^\n]*", "").alias("prose"),
        "item_name",
        pl.col("bullet_lines")
        .list.join("\n")
        .str.replace_all(r"(?m)^[ \t]*Bullet Point[ \t]*\d*[ \t]*:[ \t]*", "")
        .fill_null("")
        .alias("bullets"),
        "description",
        pl.col("bullet_lines").list.len().alias("bullet_count"),
        pl.when(number.is_finite() & (number > 0)).then(number).alias("value"),
        pl.when(known_unit).then("unit").alias("unit"),
    )
