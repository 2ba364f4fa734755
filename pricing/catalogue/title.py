"""A product's title and the labelled lines of its text: what grouping, features, encoders and the report share."""

import polars as pl

from pricing.catalogue.plain_text import plain_text

#: the line of a label, what it says captured
FIELD = r"(?im)^ ?(?:{}) ?: ?([^\n]*)"
#: the lines that state the amount
FIELDS = FIELD.format("Value|Unit")
#: the line that names the product
NAMED = r"(?im)^ ?Item Name ?: ?(\S[^\n]*)"
#: what a line of the others may begin with, and one of those beyond the first
LABEL = r"(?im)^ ?(?:Item Name|Bullet Point ?\d*|Product Description|Value|Unit) ?:"


def title_of(content: pl.Expr) -> pl.Expr:
    """Find the title in catalogue texts as they are delivered.

    Parameters
    ----------
    content : Expr
        catalog_content.

    Returns
    -------
    Expr
        The first ``Item Name:`` line that says something, in capitals or not, made plain, without its label; where
        there is none, the first line that says something and is neither Value nor Unit; "" where there is no text.

    Examples
    --------
    >>> texts = ["Bullet Point 1: hot\\nITEM NAME: Green Tea", "Value: 72.0\\nBullet Point 1: Jam&nbsp;Jar", None]
    >>> pl.DataFrame({"text": texts}).select(title_of(pl.col("text")))["text"].to_list()
    ['Green Tea', 'Jam Jar', '']
    """
    return title_line(plain_text(content))


def title_line(text: pl.Expr) -> pl.Expr:
    """Find the title in texts that `plain_text` has made; see `title_of`."""
    other = text.str.replace_all(FIELDS, "").str.replace_all(LABEL, "").str.extract(r"(\S[^\n]*)")
    return pl.coalesce(text.str.extract(NAMED), other, pl.lit("")).str.strip_chars()


def field_line(label: str, text: pl.Expr) -> pl.Expr:
    """Take what stands in the first line of a label (Value, Unit) of plain texts; null where there is no such line."""
    return text.str.extract(FIELD.format(label)).str.strip_chars()
