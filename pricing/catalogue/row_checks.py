"""Judging the values of catalogue rows, and finding ids that repeat, over a file of any length."""

from __future__ import annotations

import polars as pl

from pricing.catalogue.raw_rows import RawBatch, Rejected

_POSITIVE = "expected a positive number such as 4.99"
_DEAREST = 1e15  # beyond it squared errors and reports overflow, and no currency goes there


class RowChecker:
    """Types and checks one batch after another.

    It keeps the ids of the good rows so far and where they stood, some 25 bytes a row, and nothing else.

    Parameters
    ----------
    file : str
        Name of the file, for the rejected rows.
    labelled : bool
        Whether the rows have prices.
    """

    def __init__(self, file: str, labelled: bool) -> None:
        self._file = file
        self._labelled = labelled
        self._seen = pl.DataFrame(schema={"sample_id": pl.String, "first": pl.Int64})

    def check(self, batch: RawBatch) -> tuple[pl.DataFrame, list[Rejected]]:
        """Typed good rows of a batch, and its bad ones with the first reason of each, both in file order."""
        frame = _typed(batch.frame, self._labelled)
        frame = frame.with_columns(pl.coalesce(_reasons(frame, self._labelled)).alias("reason"))
        # a duplicate repeats an id that an earlier usable row has; the first one is the one that stays
        known = self._seen.join(frame.select("sample_id").unique(), on="sample_id", how="semi")
        here = pl.col("row").filter(pl.col("reason").is_null()).min().over("sample_id")
        frame = (
            frame.join(known, on="sample_id", how="left")
            .sort("row")
            .with_columns(pl.coalesce("first", here).alias("first"))
        )
        repeated = pl.col("reason").is_null() & (pl.col("row") > pl.col("first"))
        reason = pl.format("duplicate id, first used in row {}; ids must be unique, keep one of them", "first")
        frame = frame.with_columns(pl.when(repeated).then(reason).otherwise("reason").alias("reason"))
        good, bad = frame.filter(pl.col("reason").is_null()), frame.filter(pl.col("reason").is_not_null())
        self._seen.extend(good.select("sample_id", first="row"))
        rejected = [Rejected(self._file, *row) for row in bad.select("row", "line", "sample_id", "reason").iter_rows()]
        price = [pl.col("number").alias("price")] if self._labelled else []
        return (
            good.select("sample_id", "catalog_content", "image_link", *price),
            sorted([*batch.broken, *rejected], key=lambda entry: entry.row),
        )


def _typed(frame: pl.DataFrame, labelled: bool) -> pl.DataFrame:
    link = pl.col("image_link").str.strip_chars() if "image_link" in frame.columns else pl.lit("")
    frame = frame.with_columns(
        pl.col("sample_id").str.strip_chars(),
        pl.when(link == "").then(None).otherwise(link).cast(pl.String).alias("image_link"),
    )
    if not labelled:
        return frame
    number = pl.col("price").str.strip_chars() if frame["price"].dtype == pl.String else pl.col("price")
    return frame.with_columns(number.cast(pl.Float64, strict=False).alias("number"))


def _reasons(frame: pl.DataFrame, labelled: bool) -> list[pl.Expr]:
    """What may be wrong with a row, the first thing first; each null where it is not."""
    reasons = [pl.when(pl.col("sample_id") == "").then(pl.lit("sample_id is empty; give each product an id"))]
    if labelled:
        shown, value, advice = pl.col("price").cast(pl.String).fill_null(""), pl.col("number"), pl.lit(_POSITIVE)
        reasons += [
            pl.when(shown.str.strip_chars() == "").then(pl.lit(f"price is empty; {_POSITIVE}")),
            pl.when(value.is_null()).then(pl.format("price {} is not a number; {}", shown, advice)),
            pl.when(~value.is_finite()).then(pl.format("price {} is not finite; {}", shown, advice)),
            pl.when(value <= 0).then(pl.format("price {} is not positive; {}", shown, advice)),
            pl.when(value > _DEAREST).then(pl.format("price {} is above 1e15; {}", shown, advice)),
        ]
    return [reason.otherwise(None) for reason in reasons]
