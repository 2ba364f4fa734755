"""What the columns of features are: the one schema that features, members, kernel, report and documents read.

The columns' words stand in schema.toml: that file counts as code of this module in cache keys.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Literal

NUMBER: Literal["number"] = "number"
CATEGORY: Literal["category"] = "category"

WORDS: dict[str, dict[str, str]] = tomllib.loads(
    (resources.files("pricing.features") / "schema.toml").read_text(encoding="utf-8")
)
"""By family the words of its columns, and what those of names that depend on data are made of."""


@dataclass(frozen=True)
class Column:
    """One column of a table of features.

    Attributes
    ----------
    name : str
        Name in the table.
    kind : {"number", "category"}
        Float32, a missing value NaN; or String, a missing value the empty string.
    family : str
        What made it: quantity, text, keywords, words, brand, sub_brand, declared, svd; of price features ridge, means,
        comparables.
    role : str
        What it says, where others need to know: ``log_amount``, ``brand``, ``category`` ...; empty for most.
    words : str
        What it is, in the words of somebody who did not make it.
    values : str
        What a category's values are called, as in "products of the same brand"; empty where nothing is said of them.
    """

    name: str
    kind: Literal["number", "category"]
    family: str
    role: str = ""
    words: str = ""
    values: str = ""


def make_columns(
    family: str, numbers: Iterable[str], categories: Iterable[str] = (), *, roles: Mapping[str, str] | None = None,
    words: Mapping[str, str] | None = None, values: Mapping[str, str] | None = None,
) -> tuple[Column, ...]:  # fmt: skip
    """Return the columns of one family, numbers first, with what is said of them by name.

    Parameters
    ----------
    family : str
        As `Column.family`.
    numbers, categories : iterables of str
        Names.
    roles, words, values : mappings of str to str, optional
        Name to role, words and what the values are called. Words are by default those of the family in `WORDS`.
    """
    kinds: list[tuple[str, Literal["number", "category"]]] = [(name, NUMBER) for name in numbers]
    kinds += [(name, CATEGORY) for name in categories]
    said = WORDS.get(family, {}) if words is None else words
    return tuple(
        Column(name, kind, family, (roles or {}).get(name, ""), said.get(name, ""), (values or {}).get(name, ""))
        for name, kind in kinds
    )


def log_words(words: str) -> str:
    """Return the words of a column that is the logarithm of the one with these words."""
    return WORDS["log"]["log"].format(words=words)


def term_name(column: int) -> str:
    """Return what models that read single columns of the sparse matrix call one of them."""
    return f"tfidf_{column}"


def with_role(columns: Iterable[Column], *roles: str) -> list[str]:
    """Return the names of the columns that have one of the roles, in the columns' order."""
    return [column.name for column in columns if column.role in roles]


def one_with_role(columns: Iterable[Column], role: str) -> str | None:
    """Return the name of the first column with a role, None where there is none."""
    return next(iter(with_role(columns, role)), None)
