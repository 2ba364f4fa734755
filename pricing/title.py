"""A product's title: what groups near-duplicates, what features read, and what the report shows."""

import polars as pl

__all__ = ["title_of"]


def title_of(content: pl.Expr) -> pl.Expr:
    """Find the title in catalogue texts.

    Parameters
    ----------
    content : Expr
        catalog_content.

    Returns
    -------
    Expr
        The first ``Item Name:`` line, in capitals or not, without its label; where there is none, the first line that
        is not blank; "" where there is no text.

    Examples
    --------
    >>> texts = pl.DataFrame({"text": ["Bullet Point 1: hot\\nITEM NAME: Green Tea", " Just a line \\nmore", None]})
    >>> texts.select(title_of(pl.col("text")))["text"].to_list()
    ['Green Tea', 'Just a line', '']
    """
    named = content.str.extract(r"(?im)^\s*Item Name[ \t]*:[ \t]*([^\r\n]*)")
    first = content.str.extract(r"([^\s][^\r\n]*)")
    return pl.coalesce(named, first, pl.lit("")).str.strip_chars()
