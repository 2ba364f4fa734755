"""Text statistics: how long, how shouted, how structured a catalogue text is.

Counts are of Unicode code points; a word is a run of characters that are not Unicode White_Space.
"""

from functools import cache

import polars as pl

from pricing.catalogue.kept_regexes import keeping_regexes
from pricing.features.schema import make_columns

NUMERIC = (
    "text_characters", "text_words", "text_lines", "text_word_length", "text_digits_share", "text_upper_share",
    "text_punctuation", "text_exclamations", "text_non_ascii", "text_html_tags", "text_numbers", "text_bullets",
    "text_bullet_characters", "text_description_characters", "text_name_characters", "text_name_words",
    "text_name_numbers", "text_name_upper_share", "text_name_commas", "text_name_unique_share",
)  # fmt: skip
COLUMNS = make_columns("text", NUMERIC)


def _count(column: str, pattern: str) -> pl.Expr:
    return pl.col(column).str.count_matches(pattern)


def _share(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    return pl.when(whole > 0).then(part / whole).otherwise(0.0)


@keeping_regexes
def text_statistics(sections: pl.DataFrame) -> pl.DataFrame:
    """Statistics of n texts.

    Parameters
    ----------
    sections : DataFrame
        n rows as `split_sections` gives them.

    Returns
    -------
    DataFrame
        n rows, columns `NUMERIC` (Float64, never null): counts, and shares in 0..1. ``upper_share`` is of the letters
        that have a case; an empty text has 0 everywhere.
    """
    return sections.select_seq(_statistics())


@cache
def _statistics() -> list[pl.Expr]:
    characters, words = pl.col("text").str.len_chars(), _count("text", r"\S+")
    name_words = _count("item_name", r"\S+")
    non_space = _count("text", r"\S")
    cased, upper = _count("text", r"[\p{Lu}\p{Ll}]"), _count("text", r"\p{Lu}")
    unique = pl.col("item_name").str.to_lowercase().str.extract_all(r"\S+").list.n_unique()
    columns = {
        "text_characters": characters,
        "text_words": words,
        "text_lines": _count("text", "\n") + (characters > 0).cast(pl.UInt32),
        "text_word_length": _share(non_space, words),
        "text_digits_share": _share(_count("text", r"\d"), characters),
        "text_upper_share": _share(upper, cased),
        "text_punctuation": _count("text", r"[[:punct:]]"),
        "text_exclamations": _count("text", "!"),
        "text_non_ascii": _count("text", r"[^\x00-\x7f]"),
        "text_html_tags": _count("text", r"<[^<>]{1,100}>"),
        "text_numbers": _count("text", r"\d+(?:[.,]\d+)*"),
        "text_bullets": pl.col("bullet_count"),
        "text_bullet_characters": pl.col("bullets").str.len_chars(),
        "text_description_characters": pl.col("description").str.len_chars(),
        "text_name_characters": pl.col("item_name").str.len_chars(),
        "text_name_words": name_words,
        "text_name_numbers": _count("item_name", r"\d+(?:[.,]\d+)*"),
        "text_name_upper_share": _share(_count("item_name", r"\p{Lu}"), _count("item_name", r"[\p{Lu}\p{Ll}]")),
        "text_name_commas": _count("item_name", ","),
        "text_name_unique_share": _share(unique, name_words),
    }
    return [expression.cast(pl.Float64).fill_null(0.0).alias(name) for name, expression in columns.items()]
