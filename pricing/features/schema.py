"""What the columns of features are: the one schema that features, members, kernel, report and documents read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

NUMBER: Literal["number"] = "number"
CATEGORY: Literal["category"] = "category"


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
    """

    name: str
    kind: Literal["number", "category"]
    family: str
    role: str = ""
    words: str = ""


def make_columns(
    family: str, numbers: Iterable[str], categories: Iterable[str] = (), *, roles: Mapping[str, str] | None = None,
    words: Mapping[str, str] | None = None,
) -> tuple[Column, ...]:  # fmt: skip
    """Return the columns of one family, numbers first, with their roles and words by name."""
    kinds: list[tuple[str, Literal["number", "category"]]] = [(name, NUMBER) for name in numbers]
    kinds += [(name, CATEGORY) for name in categories]
    return tuple(
        Column(name, kind, family, (roles or {}).get(name, ""), (words or {}).get(name, "")) for name, kind in kinds
    )


def with_role(columns: Iterable[Column], *roles: str) -> list[str]:
    """Return the names of the columns that have one of the roles, in the columns' order."""
    return [column.name for column in columns if column.role in roles]


def one_with_role(columns: Iterable[Column], role: str) -> str | None:
    """Return the name of the first column with a role, None where there is none."""
    return next(iter(with_role(columns, role)), None)
