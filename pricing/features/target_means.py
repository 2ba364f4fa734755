"""Target means: what a category's products cost, drawn towards the overall mean where there are few."""

from collections.abc import Sequence

import numpy as np
import polars as pl


class TargetMeans:
    """Smoothed mean log price of each category of some columns.

    Parameters
    ----------
    columns : sequence of str
        String columns.
    prior : float
        Rows of the overall mean that are mixed into each category's: ``(sum + prior * mean) / (count + prior)``.
    """

    def __init__(self, columns: Sequence[str], prior: float) -> None:
        self.columns = list(columns)
        self.prior = prior
        self.mean = 0.0
        # column to each of its categories to the category's number of rows and its mean
        self.tables: dict[str, dict[str, tuple[float, float]]] = {}

    def fit(self, tabular: pl.DataFrame, log_price: np.ndarray) -> "TargetMeans":
        """Learn from n rows and their log prices (n,)."""
        self.mean = float(np.mean(log_price))
        for name in self.columns:
            table = (
                tabular.select(pl.col(name).alias("category"))
                .with_columns(pl.Series("log_price", log_price))
                .group_by("category", maintain_order=True)
                .agg(pl.col("log_price").sum().alias("sum"), pl.len().cast(pl.Float64).alias("count"))
                .filter(pl.col("category") != "")
                .select(
                    "category", "count", mean=(pl.col("sum") + self.prior * self.mean) / (pl.col("count") + self.prior)
                )
                .sort("category")
            )
            self.tables[name] = _lookup(table)
        return self

    def transform(self, tabular: pl.DataFrame) -> dict[str, np.ndarray]:
        """``price_<column>_mean`` (the overall mean where unknown) and ``price_<column>_count``, (n,) each."""
        result = {}
        for name in self.columns:
            known, unknown = self.tables[name], (0.0, self.mean)
            found = np.array([known.get(category, unknown) for category in tabular[name].to_list()]).reshape(-1, 2)
            result[f"price_{name}_count"], result[f"price_{name}_mean"] = found.T
        return result

    def to_table(self) -> pl.DataFrame:
        """All tables in one, for Parquet."""
        rows = [(name, category, *found) for name in self.columns for category, found in self.tables[name].items()]
        schema = {"column": pl.String, "category": pl.String, "count": pl.Float64, "mean": pl.Float64}
        return pl.DataFrame([("", "", self.prior, self.mean), *rows], schema, orient="row")

    @classmethod
    def from_table(cls, table: pl.DataFrame, columns: Sequence[str]) -> "TargetMeans":
        """The inverse of `to_table`."""
        overall = table.filter(pl.col("column") == "").row(0, named=True)
        means = cls(columns, float(overall["count"]))
        means.mean = float(overall["mean"])
        for name in columns:
            means.tables[name] = _lookup(table.filter(pl.col("column") == name))
        return means


def _lookup(table: pl.DataFrame) -> dict[str, tuple[float, float]]:
    return {category: (count, mean) for category, count, mean in table.select("category", "count", "mean").iter_rows()}
