"""Declared columns: the categories, numbers and amounts that a shop's own catalogue has beside its texts.

A category that is a path ("Men > Tops > T-shirts", "Men/Tops/T-shirts") has one column for each of its levels, which
holds the path down to there. Categories are compared in lower case, blanks collapsed. They are terms of the sparse
matrix as well, one for each column and level and for each pair of two columns, so that all that reads words reads them.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import polars as pl

from pricing.catalogue.roles import role_name
from pricing.config.columns import ColumnsConfig
from pricing.features.fields import read_values, unit_names
from pricing.features.schema import CATEGORY, NUMBER, WORDS, Column, log_words
from pricing.features.units import UNITS

MOST_LEVELS = 5
"""Maximum number of levels of a path; deeper ones stay in the whole value."""
MOST_PAIRED = 5
"""Columns whose values are terms in pairs too: the first so many. A ridge on the second marketplace is 0.3 better."""
_SEPARATORS = (r"\s*>\s*", r"\s*/\s*", r"\s*\|\s*")
# of a column's distinct values, the share that must hold a separator, and hold it between words
_PATHS = 0.5
_CANONICAL = " > "


class DeclaredColumns:
    """What is learnt of declared columns: which categories are paths, and how deep.

    Parameters
    ----------
    roles : ColumnsConfig
        Roles of the catalogue's columns.
    """

    def __init__(self, roles: ColumnsConfig) -> None:
        self.roles = roles
        # column to the separator of its paths and their number of levels
        self.paths: dict[str, tuple[str, int]] = {}

    def fit(self, frame: pl.DataFrame) -> "DeclaredColumns":
        """Learn from n rows of the catalogue."""
        for column in self.roles.category:
            values = frame[role_name("category", column)]
            values = values.filter(values != "").unique()
            for separator in _SEPARATORS:
                levels = values.str.count_matches(separator).to_numpy() + 1
                if len(levels) >= 2 and np.mean(levels > 1) >= _PATHS:
                    self.paths[column] = separator, min(int(levels.max()), MOST_LEVELS)
                    break
        return self

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that `transform` gives, numbers first."""
        made = []
        said = WORDS["declared"]
        for role, kind in (("number", "number"), ("declared_amount", "amount")):
            for column in self.roles.roles()[kind]:
                name, words = role_name(kind, column), said[kind].format(column=column)
                made.append(Column(name, NUMBER, "declared", role, words))
                made.append(Column(f"{name} log", NUMBER, "declared", role, log_words(words)))
        for column in self.roles.category:
            name = role_name("category", column)
            made.append(Column(name, CATEGORY, "declared", "category", said["category"].format(column=column), column))
            for level in self._levels(column):
                which, values = ("level", "level_values") if level == 1 else ("levels", "levels_values")
                words, values = (said[key].format(column=column, level=level) for key in (which, values))
                made.append(Column(f"{name} {level}", CATEGORY, "declared", "category_level", words, values))
        return tuple(made)

    def _paired(self) -> list[tuple[str, str]]:
        """Names of the category columns, levels too, whose pairs are terms, each with the column that it comes from."""
        return [
            (name, column)
            for column in self.roles.category[:MOST_PAIRED]
            for whole in [role_name("category", column)]
            for name in (whole, *(f"{whole} {level}" for level in self._levels(column)))
        ]

    def _levels(self, column: str) -> range:
        """Levels of a path that have columns of their own; the last one is the whole value."""
        return range(1, self.paths[column][1]) if column in self.paths else range(0)

    def transform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return `columns` of n rows: Float64, null where missing; String, "" where missing."""
        values: list[pl.Series] = []
        for column in self.roles.number:
            name = role_name("number", column)
            number = frame[name].cast(pl.Float64)
            values += [number.alias(name), (number.sign() * (number.abs() + 1).log()).alias(f"{name} log")]
        for column in self.roles.amount:
            name = role_name("amount", column)
            amount = self._amount(frame, column)
            values += [amount.alias(name), amount.log().alias(f"{name} log")]
        for column in self.roles.category:
            values += self._category(frame, column)
        return pl.DataFrame(values)

    def _category(self, frame: pl.DataFrame, column: str) -> list[pl.Series]:
        name = role_name("category", column)
        tidy = frame[name].str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars().alias(name)
        if column not in self.paths:
            return [tidy]
        parts = tidy.str.replace_all(self.paths[column][0], _CANONICAL).str.split(_CANONICAL)
        return [
            tidy,
            *(parts.list.head(level).list.join(_CANONICAL).alias(f"{name} {level}") for level in self._levels(column)),
        ]

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of what is embedded for itself, beside the whole text of a product."""
        roles = self.roles
        there = {"title": roles.title, "description": roles.title and roles.text, "categories": roles.category}
        return tuple(name for name, columns in there.items() if columns)

    def part_texts(self, sections: pl.DataFrame, frame: pl.DataFrame) -> list[list[str]]:
        """Return the texts of each of `parts`, of n rows of the catalogue and of their sections."""
        texts = {"title": sections["item_name"], "description": sections["description"]}
        if self.roles.category:
            named = (pl.col(role_name("category", column)) for column in self.roles.category)
            texts["categories"] = frame.select(pl.concat_str(named, separator=" ")).to_series()
        return [texts[part].to_list() for part in self.parts]

    def state_amounts(self, sections: pl.DataFrame, frame: pl.DataFrame) -> pl.DataFrame:
        """Give products without a Value line the first declared amount that they have, as if a Value line said it."""
        for column in self.roles.amount:
            read = self._read(frame, column)
            stated = pl.col("value").is_null()
            sections = sections.with_columns(
                pl.when(stated).then(read["value"]).otherwise("value").alias("value"),
                pl.when(stated & read["value"].is_not_null()).then(read["unit"]).otherwise("unit").alias("unit"),
            )
        return sections

    def _read(self, frame: pl.DataFrame, column: str) -> pl.DataFrame:
        """``value`` (Float64, null where missing) and ``unit`` (String) of n rows, by the rules of Value lines."""
        written = pl.col(role_name("amount", column))
        return read_values(frame.select(value=written, unit=pl.lit(self.roles.amount[column])))

    def _amount(self, frame: pl.DataFrame, column: str) -> pl.Series:
        """Amounts of n rows in the base unit of their dimension, Float64."""
        read = self._read(frame, column)
        units = (UNITS.get(name) for name in unit_names(read["unit"]))
        return read["value"] * pl.Series([unit and unit.factor for unit in units], dtype=pl.Float64)

    def terms(self, table: pl.DataFrame) -> pl.Series:
        """Return the terms of n rows of `transform`, List(String).

        They are each column's and level's value, and each pair of two columns' values.
        """
        single = [_term([column.name]) for column in self.columns if column.kind == CATEGORY]
        pairs = combinations(self._paired(), 2)
        paired = [_term([left, right]) for (left, one), (right, other) in pairs if one != other]
        return table.select(pl.concat_list([*single, *paired]).list.drop_nulls()).to_series()


def _term(names: Sequence[str]) -> pl.Expr:
    """What stands in some columns together, as one term; null where one of them is empty."""
    written = pl.format(
        "{}={}", pl.lit("&".join(names)), pl.concat_str([pl.col(name) for name in names], separator="&")
    )
    return pl.when(pl.all_horizontal(pl.col(name) != "" for name in names)).then(written)
