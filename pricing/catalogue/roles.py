"""From a file's own columns to the catalogue's: names, types, and the text that is composed of several columns."""

import polars as pl

from pricing.catalogue.plain_text import TAG
from pricing.config.columns import ColumnsConfig

GROUP, TIME = "group_key", "time"
"""Columns of the stored catalogue for the roles group and time."""


def role_name(role: str, column: str) -> str:
    """Return the name of a declared column in the catalogue; no other column is called so, whatever a shop's is."""
    return f"{role}:{column}"


def raw_columns(roles: ColumnsConfig, labelled: bool) -> dict[str, str]:
    """Return the columns that are read: name by role to name in the file."""
    return {
        role_name(role, column): column
        for role, columns in roles.roles().items()
        for column in columns
        if labelled or role != "price"
    }


def declared_types(roles: ColumnsConfig) -> dict[str, pl.DataType]:
    """Return the catalogue's columns beside id, text, image link and price, with their types.

    Categories are String ("" where missing), numbers Float64, amounts String as written ("" where missing).
    """
    types = {"category": pl.String(), "number": pl.Float64(), "amount": pl.String()}
    found = {
        role_name(role, column): dtype for role, dtype in types.items() for column in roles.roles()[role]
    }  # fmt: skip
    return found | ({GROUP: pl.String()} if roles.group else {}) | ({TIME: pl.Datetime()} if roles.time else {})


def composed_text(roles: ColumnsConfig) -> pl.Expr:
    """Compose ``catalog_content`` of the raw columns (String, null where missing).

    One text without a title stays as it is; else the title, then the categories, then the texts become lines as the
    challenge's texts have them. A line break or a tag within a column becomes a blank, so that no line of a description
    is taken for a title or an amount. "" where all are empty.
    """
    texts = [pl.col(role_name("text", column)).fill_null("") for column in roles.text]
    categories = [
        _line(f"Bullet Point {place}", pl.col(role_name("category", column)))
        for place, column in enumerate(roles.category, start=1)
    ]
    if roles.title is None and len(texts) == 1:
        return _lines([_written(texts[0]), *categories]) if categories else texts[0]
    title = [_line("Item Name", pl.col(role_name("title", roles.title)))] if roles.title else []
    prose = [_line("Product Description", pl.concat_str(texts, separator=" "))] if texts else []
    return _lines([*title, *categories, *prose])


def _plain(text: pl.Expr) -> pl.Expr:
    return text.fill_null("").str.replace_all(TAG, " ").str.replace_all(r"\s{2,}|[^\S ]", " ").str.strip_chars()


def _line(label: str, text: pl.Expr) -> pl.Expr:
    """A labelled line; null where the text is empty."""
    return pl.format(f"{label}: {{}}", _written(_plain(text)))


def _lines(parts: list[pl.Expr]) -> pl.Expr:
    """Lines below each other, without those that are null."""
    return pl.concat_str(*parts, separator="\n", ignore_nulls=True)


def _written(text: pl.Expr) -> pl.Expr:
    """Texts with null for "": a condition would work the text out twice."""
    return text.map_batches(lambda values: values.set(values == "", None), pl.String, is_elementwise=True)
