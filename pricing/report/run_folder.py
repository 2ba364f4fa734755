"""Reading a finished run's folder for the report and comparisons; whatever is optional may be missing."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pricing.catalogue.currencies import price_sign
from pricing.catalogue.title import title_of
from pricing.errors import ArtifactError
from pricing.metrics.rounding import DEFAULT_DECIMALS
from pricing.store.artifacts import read_json
from pricing.store.tables import read_table, reading

logger = logging.getLogger(__name__)

COMPARABLES: Mapping[str, type[pl.DataType]] = {
    "sample_id": pl.String, "rank": pl.Int64, "comparable_id": pl.String, "name": pl.String, "price": pl.Float64,
    "similarity": pl.Float64,
}  # fmt: skip
"""Columns of comparables.parquet: the product asked about, 1 for its nearest, and its id, name, price, cosine."""


@dataclass(frozen=True)
class RunFolder:
    """What a run left behind; an empty record or None where a file is missing."""

    path: Path
    run: dict[str, Any]
    metrics: dict[str, Any]
    oof: pl.DataFrame | None
    holdout: pl.DataFrame | None
    importance: pl.DataFrame | None
    curves: pl.DataFrame | None
    products: pl.DataFrame | None
    comparables: pl.DataFrame | None
    audit: pl.DataFrame | None = None
    drivers: pl.DataFrame | None = None
    explained: pl.DataFrame | None = None

    @property
    def judged(self) -> pl.DataFrame | None:
        """Rows by which the models are judged: the hold-out, without one those out of fold."""
        return self.oof if self.holdout is None else self.holdout

    @property
    def part(self) -> str:
        """What the `judged` rows are called."""
        return "out-of-fold products" if self.holdout is None else "held-out products"

    @property
    def decimals(self) -> int:
        """Number of decimals that prices are shown with: those of the run's submission."""
        return int((self.metrics.get("rounding") or {}).get("decimals", DEFAULT_DECIMALS))

    @property
    def sign(self) -> str:
        """What stands before a price that is shown: the currency's sign; "" where none is known."""
        return price_sign(self.metrics.get("currency", ""))


def read_run_folder(path: Path) -> RunFolder:
    """Read ``run.json``, ``metrics.json`` and ``evaluation/*.parquet``.

    Raises
    ------
    ArtifactError
        There is no metrics.json, or a file that is there cannot be read.
    """
    if not (path / "metrics.json").exists():
        raise ArtifactError(f"{path}: has no metrics.json; expected the folder of a finished run")
    tables = path / "evaluation"
    return RunFolder(
        path,
        _record(path / "run.json"),
        _record(path / "metrics.json"),
        _table(tables / "oof.parquet", ["sample_id", "price", "stack"]),
        _table(tables / "holdout.parquet", ["sample_id", "price", "stack"]),
        _table(tables / "importance.parquet", ["member", "feature", "importance", "words"]),
        _table(tables / "curves.parquet", ["member", "fold", "round", "split", "metric", "value"]),
        _table(tables / "products.parquet", ["sample_id", "catalog_content"]),
        _table(tables / "comparables.parquet", list(COMPARABLES)),
        _table(tables / "audit.parquet", ["sample_id", "price", "expected", "low_95", "high_95", "direction", "cause"]),
        _table(tables / "drivers.parquet", ["kind", "name", "increase", "low", "high"]),
        _table(
            tables / "explained.parquet", ["sample_id", "item", "percent", "money", "price", "base", "value", "words"]
        ),
    )


def _record(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    with reading(path, "a JSON object"):
        return dict(read_json(path))


def _table(path: Path, columns: list[str]) -> pl.DataFrame | None:
    """The table, or None where it is missing or empty."""
    if not path.exists():
        logger.info("%s is not there", path)
        return None
    table = read_table(path)
    missing = sorted(set(columns) - set(table.columns))
    if missing:
        raise ArtifactError(f"{path}: lacks the columns {', '.join(missing)}")
    return table if len(table) else None


def shown_title(content: pl.Expr, length: int = 140) -> pl.Expr:
    """The title of catalogue texts, shortened; "(no text)" where there is none."""
    title = title_of(content)
    short = title.str.slice(0, length - 1).str.strip_chars_end() + "…"
    return (
        pl.when(title == "").then(pl.lit("(no text)")).when(title.str.len_chars() > length).then(short).otherwise(title)
    )
