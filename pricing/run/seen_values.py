"""Declared categories and units that the training rows have, and how rare it is that a row has one of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pricing.features.load import FeatureSet
from pricing.features.schema import CATEGORY, Column
from pricing.store.tables import read_table

Mask = NDArray[np.bool_]

_NONE = ("", "none")
"""A missing category, and a text without a unit."""


@dataclass(frozen=True)
class SeenValues:
    """Values by column.

    Attributes
    ----------
    lone : dict of str to dict of str to bool
        Category column to its values, and whether one group of near-duplicates alone has a value.
    rarity : dict of str to float
        Category column to ``-ln`` of the share of training rows whose value no other group has.
    """

    lone: Mapping[str, Mapping[str, bool]]
    rarity: Mapping[str, float]

    @classmethod
    def fit(cls, features: FeatureSet, groups: NDArray[Any]) -> "SeenValues":
        """Learn from n training rows and their groups, (n,)."""
        lone, rarity = {}, {}
        for column in features.schema.columns:
            if column.kind == CATEGORY and column.family in ("declared", "quantity"):
                stated = pl.DataFrame({"value": features.tabular[column.name], "group": groups})
                stated = stated.filter(~pl.col("value").is_in(_NONE))
                counted = stated.group_by("value").agg(pl.col("group").n_unique() == 1).sort("value")
                known = lone[column.name] = dict(counted.iter_rows())
                alone = sum(known[value] for value in stated["value"])
                rarity[column.name] = float(-np.log(max(alone, 1) / (len(groups) + 1)))
        return cls(lone, rarity)

    def unseen(self, features: FeatureSet, *, own: bool = False) -> dict[str, Mask]:
        """Return the rows with a value that no other row has, by column, each of shape (n,), bool.

        Parameters
        ----------
        features : FeatureSet
            n rows. A row without a value is none of them.
        own : bool
            Whether these are training rows, whose own groups do not count.
        """
        # a value that is not there is alone; one that is, only to the group that it is of
        return {
            name: np.array([value not in _NONE and (value not in known or (own and known[value]))
                            for value in features.tabular[name].to_list()], dtype=bool)
            for name, known in self.lone.items()
        }  # fmt: skip

    def save(self, path: Path) -> None:
        """Write the values as Parquet."""
        rows = [(name, value, lone) for name, known in self.lone.items() for value, lone in known.items()]
        schema = {"column": pl.String, "value": pl.String, "lone": pl.Boolean}
        pl.DataFrame(rows, schema=schema, orient="row").write_parquet(path)

    @classmethod
    def load(cls, path: Path, rarity: Mapping[str, float]) -> "SeenValues":
        """Read what `save` wrote; ``rarity`` as the attribute.

        Raises
        ------
        ArtifactError
            The file is missing or damaged.
        """
        lone: dict[str, dict[str, bool]] = {name: {} for name in rarity}
        for name, value, alone in read_table(path, ["column", "value", "lone"]).iter_rows():
            lone[name][value] = alone
        return cls(lone, rarity)


def name_values(columns: list[Column]) -> str:
    """Return what categories are called, "category_name and unit"; a path's levels are the path's."""
    shown = [column for column in columns if column.role != "category_level"] or columns
    return " and ".join(dict.fromkeys("unit" if column.family == "quantity" else column.values for column in shown))
