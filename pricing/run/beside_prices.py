"""Files beside a submission: intervals, comparables, trust, drift, and the rows that were left out.

Prices are rounded as in the submission: see `pricing.metrics.rounding`.
"""

import contextlib
import logging
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from pricing.config.ensemble import SubmissionConfig
from pricing.errors import PredictionsError
from pricing.metrics.rounding import DEFAULT_DECIMALS, round_around, round_prices
from pricing.metrics.smape import Floats
from pricing.run.excel_safe import excel_safe

logger = logging.getLogger(__name__)

Beside = Literal["intervals", "comparables", "rejected", "trust", "drift", "explained", "priced"]
_JSON = ("drift", "priced")


def beside(submission: Path, what: Beside) -> Path:
    """A file that belongs to a submission: ``prices_intervals.csv`` beside prices.csv; records are JSON."""
    return submission.with_name(f"{submission.stem}_{what}.{'json' if what in _JSON else 'csv'}")


def write_intervals(
    ids: pl.Series, price: Floats, ends: Mapping[str, Floats], config: SubmissionConfig, submission: Path
) -> Path:
    """Write prices with their 80 % and 95 % intervals beside a submission; atomic.

    Prices are rounded as in the submission, and the intervals' ends outward.

    Parameters
    ----------
    ids : Series of shape (n,)
        Product ids.
    price : ndarray of shape (n,)
        The submission's prices, unrounded.
    ends : mapping of str to ndarray of shape (n,)
        Prices at the intervals' ends: ``low_80``, ``high_80``, ``low_95``, ``high_95``.
    submission : Path
        The submission; see `beside`.

    Raises
    ------
    PredictionsError
        An end that is not finite and positive, a price outside of its interval.
    """
    for name, values in ends.items():
        inside = values <= price if name.startswith("low") else values >= price
        bad = np.flatnonzero(~(np.isfinite(values) & (values > 0) & inside))
        if bad.size:
            first = int(bad[0])
            raise PredictionsError(
                f"{name} is {values[first]} for the price {price[first]} of product {ids[first]}; expected a finite "
                "positive end of an interval around it"
            )
    destination = beside(submission, "intervals")
    decimals = shown_decimals(config)
    rounded = {
        name: round_around(price, values, decimals, upper=name.startswith("high")) for name, values in ends.items()
    }
    table = pl.DataFrame({"sample_id": ids, config.price_column: round_prices(price, decimals), **rounded})
    write_csv(table, destination, safe=config.excel_safe)
    logger.info("%s: %s", destination.name, ", ".join(ends))
    return destination


def write_comparables(comparables: pl.DataFrame, config: SubmissionConfig, submission: Path) -> Path:
    """Write the products that each priced product is most like beside a submission, prices rounded; atomic.

    Parameters
    ----------
    comparables : DataFrame
        As `pricing.features.comparables.find_comparables` gives them.
    submission : Path
        The submission; see `beside`.
    """
    price = round_prices(comparables["price"].to_numpy(), shown_decimals(config))
    return _write_listed(comparables.with_columns(price=price), config, beside(submission, "comparables"))


def write_trust(ids: pl.Series, trust: pl.DataFrame, config: SubmissionConfig, submission: Path) -> Path:
    """Write how far each price may be trusted beside a submission: ``sample_id``, ``trust``, ``reason``; atomic.

    Parameters
    ----------
    ids : Series of shape (n,)
        Product ids.
    trust : DataFrame
        n rows, as `pricing.run.trust.TrustRule.judge` gives them.
    config : SubmissionConfig
        How the submission's files are written.
    submission : Path
        The submission; see `beside`.
    """
    return _write_listed(ids.alias("sample_id").to_frame().hstack(trust), config, beside(submission, "trust"))


def write_explained(explained: pl.DataFrame, config: SubmissionConfig, submission: Path) -> Path:
    """Write what each price is made of beside a submission, prices and money rounded; atomic.

    Parameters
    ----------
    explained : DataFrame
        As `pricing.run.explaining.Explainer.explain` gives it.
    submission : Path
        The submission; see `beside`.
    """
    # sums of rounded contributions miss the price by less where they have two decimals more than it
    decimals = shown_decimals(config) + 2
    rounded = {name: round_prices(explained[name].to_numpy(), shown_decimals(config)) for name in ("price", "base")}
    table = explained.with_columns(
        pl.col("log_contribution").round(6), pl.col("percent").round(2), pl.col("money").round(decimals),
        pl.col("exact").round(4), words=pl.Series(map(_words_text, explained["words"]), dtype=pl.String), **rounded,
    )  # fmt: skip
    return _write_listed(table, config, beside(submission, "explained"))


def _words_text(words: pl.Series) -> str:
    """Words with what they add, for people: ``gold +12.3 %; other words -1.0 %``."""
    return "; ".join(f"{word['word']} {word['percent']:+.1f} %" for word in words)


def write_rejected(rejected: pl.DataFrame, config: SubmissionConfig, submission: Path) -> Path:
    """Write the rows that were left out of a submission, with their reasons, beside it; atomic.

    Parameters
    ----------
    rejected : DataFrame
        As `pricing.catalogue.reading.rejected_table` gives it.
    config, submission
        As in `write_trust`.
    """
    return _write_listed(rejected, config, beside(submission, "rejected"))


def shown_decimals(config: SubmissionConfig) -> int:
    """Return the number of decimals that prices are written with."""
    return DEFAULT_DECIMALS if config.decimals is None else config.decimals


def _write_listed(table: pl.DataFrame, config: SubmissionConfig, destination: Path) -> Path:
    write_csv(table, destination, safe=config.excel_safe)
    logger.info("%s: %d rows", destination.name, table.height)
    return destination


def write_csv(table: pl.DataFrame, destination: Path, *, safe: bool = False) -> None:
    """Write a table as CSV into a folder that is made if need be; the file appears whole or not at all.

    ``safe`` escapes texts that a spreadsheet takes for formulas.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    temporary = destination.with_name(f".{destination.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            (excel_safe(table) if safe else table).write_csv(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(destination)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
