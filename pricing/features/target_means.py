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
        self.tables: dict[str, pl.DataFrame] = {}

    def fit(self, tabular: pl.DataFrame, log_price: np.ndarray) -> "TargetMeans":
        """Learn from n rows and their log prices (n,)."""
        self.mean = float(np.mean(log_price))
        for name in self.columns:
            self.tables[name] = (
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
        return self

    def transform(self, tabular: pl.DataFrame) -> dict[str, np.ndarray]:
        """``price_<column>_mean`` (the overall mean where unknown) and ``price_<column>_count``, (n,) each."""
        result = {}
        for name in self.columns:
            found = tabular.select(pl.col(name).alias("category")).join(
                self.tables[name], on="category", how="left", maintain_order="left"
            )
            result[f"price_{name}_mean"] = found["mean"].fill_null(self.mean).to_numpy()
            result[f"price_{name}_count"] = found["count"].fill_null(0.0).to_numpy()
        return result

    def to_table(self) -> pl.DataFrame:
        """All tables in one, for Parquet."""
        parts = [
            self.tables[name].select(pl.lit(name).alias("column"), "category", "count", "mean") for name in self.columns
        ]
        overall = pl.DataFrame({"column": [""], "category": [""], "count": [self.prior], "mean": [self.mean]})
        return pl.concat([overall, *parts])

    @classmethod
    def from_table(cls, table: pl.DataFrame, columns: Sequence[str]) -> "TargetMeans":
        """The inverse of `to_table`."""
        overall = table.filter(pl.col("column") == "").row(0, named=True)
        means = cls(columns, float(overall["count"]))
        means.mean = float(overall["mean"])
        for name in columns:
            means.tables[name] = table.filter(pl.col("column") == name).select("category", "count", "mean")
        return means
