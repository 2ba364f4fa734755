"""submission.csv: every test product once, in the test's order, with a finite positive price; and files beside it.

Prices are rounded here, where people read them, and nowhere else: see `pricing.metrics.rounding`.
"""

import contextlib
import logging
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pricing.catalogue.split import UNLABELLED, UNPRICED
from pricing.config.ensemble import SubmissionConfig
from pricing.errors import ArtifactError, PredictionsError
from pricing.metrics.interval_levels import INTERVAL_COLUMNS
from pricing.metrics.price_metrics import calculate_smape, log_to_price
from pricing.metrics.rounding import DEFAULT_DECIMALS, catalogue_decimals, round_around, round_prices
from pricing.store.tables import read_table

Floats = NDArray[np.float64]

logger = logging.getLogger(__name__)


def with_decimals(config: SubmissionConfig, prices: Floats) -> SubmissionConfig:
    """The configuration with a number of decimals: its own or, where that is None, the catalogue's.

    Parameters
    ----------
    prices : ndarray of shape (n,)
        The catalogue's known prices.
    """
    if config.decimals is not None:
        return config
    return config.model_copy(update={"decimals": catalogue_decimals(prices)})


def measure_rounding(price: Floats, predicted: Floats, config: SubmissionConfig, rows: str) -> dict[str, Any]:
    """What rounding the predicted prices does to the SMAPE that was computed before; logged.

    Parameters
    ----------
    price, predicted : ndarray of shape (n,)
        True and predicted prices, n > 0.
    rows : str
        Which rows these are, for the reader.

    Returns
    -------
    dict
        ``decimals``, ``rows`` as given, and ``smape_change``: rounded minus unrounded, in percentage points.
    """
    decimals = _decimals(config)
    rounded = round_prices(predicted, decimals).cast(pl.Float64).to_numpy()
    change = calculate_smape(price, rounded) - calculate_smape(price, predicted)
    logger.info("prices are rounded to %d decimals: SMAPE of the %s %+.4f", decimals, rows, change)
    return {"decimals": decimals, "rows": rows, "smape_change": change}


def create_submission(
    catalogue: Path, ensemble: Path, config: SubmissionConfig, destination: Path
) -> dict[str, float | int]:
    """Write the submission of a finished ensemble stage.

    Parameters
    ----------
    catalogue : Path
        Output of the catalogue stage; its test table fixes ids and order.
    ensemble : Path
        Output of `pricing.ensemble.fit_ensemble.fit_ensemble`; ``stack`` in its test.parquet is a natural log
        price, turned into a price here.
    destination : Path
        The CSV file. It appears whole or not at all.

    Returns
    -------
    dict
        As `write_submission`.

    Raises
    ------
    ArtifactError
        A table cannot be read, or the predictions are not of the test's products.
    PredictionsError
        A price that is not finite and positive.
    """
    asked = read_table(catalogue / UNLABELLED, ["sample_id"]).height - len(_unpriced_ids(catalogue))
    return _write_predicted(catalogue, ensemble, slice(0, asked), None, config, destination)


def create_unpriced(
    catalogue: Path, ensemble: Path, config: SubmissionConfig, destination: Path
) -> dict[str, float | int] | None:
    """Write the prices of the labelled file's rows that had none, in its order, as `create_submission` does.

    Returns
    -------
    dict or None
        As `write_submission`; None where there is no such row, and no file.
    """
    ids = _unpriced_ids(catalogue)
    if not len(ids):
        return None
    asked = read_table(catalogue / UNLABELLED, ["sample_id"]).height - len(ids)
    return _write_predicted(catalogue, ensemble, slice(asked, None), ids, config, destination)


def _unpriced_ids(catalogue: Path) -> pl.Series:
    """Own ids of the rows without a price, which are the last ones of the catalogue's test table."""
    path = catalogue / UNPRICED
    return read_table(path, ["sample_id"])["sample_id"] if path.exists() else pl.Series("sample_id", [], pl.String)


def _write_predicted(
    catalogue: Path, ensemble: Path, rows: slice, ids: pl.Series | None, config: SubmissionConfig, destination: Path
) -> dict[str, float | int]:
    """Write the prices of some rows of the catalogue's test table, under their own ids or under those given."""
    wanted = read_table(catalogue / UNLABELLED, ["sample_id"])
    predicted = read_table(ensemble / "test.parquet", ["sample_id", "stack"])
    known = predicted["sample_id"]
    if known.n_unique() != len(known):
        twice = known.filter(known.is_duplicated())[0]
        raise ArtifactError(f"{ensemble / 'test.parquet'}: product {twice} is predicted more than once")
    joined = wanted.join(predicted, on="sample_id", how="left", maintain_order="left")
    missing = joined.filter(pl.col("stack").is_null())["sample_id"]
    if len(missing) or len(predicted) != len(wanted):
        extra = predicted.join(wanted, on="sample_id", how="anti")["sample_id"]
        raise ArtifactError(
            f"{ensemble / 'test.parquet'}: has {len(predicted)} products, the test has {len(wanted)}; "
            f"{len(missing)} missing{_example(missing)}, {len(extra)} unknown{_example(extra)}; build the run again"
        )
    # an overflow becomes inf, which is refused with its id
    with np.errstate(over="ignore"):
        price = log_to_price(joined["stack"].to_numpy())[rows]
    ids = joined["sample_id"][rows] if ids is None else ids
    statistics = write_submission(ids, price, config, destination)
    if config.intervals:
        ends = read_table(ensemble / "test.parquet", ["sample_id", *INTERVAL_COLUMNS])
        ends = wanted.join(ends, on="sample_id", how="left", maintain_order="left")
        prices = {name: log_to_price(ends[name].to_numpy())[rows] for name in INTERVAL_COLUMNS}
        write_intervals(ids, price, prices, config, destination)
    return statistics


Beside = Literal["intervals", "comparables", "rejected", "trust", "drift"]


def beside(submission: Path, what: Beside) -> Path:
    """A file that belongs to a submission: ``prices_intervals.csv`` beside prices.csv; the drift is JSON."""
    return submission.with_name(f"{submission.stem}_{what}.{'json' if what == 'drift' else 'csv'}")


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
    decimals = _decimals(config)
    rounded = {
        name: round_around(price, values, decimals, upper=name.startswith("high")) for name, values in ends.items()
    }
    table = pl.DataFrame({"sample_id": ids, config.price_column: round_prices(price, decimals), **rounded})
    _write_csv(table, destination)
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
    price = round_prices(comparables["price"].to_numpy(), _decimals(config))
    return _write_listed(comparables.with_columns(price=price), beside(submission, "comparables"))


def write_trust(ids: pl.Series, trust: pl.DataFrame, submission: Path) -> Path:
    """Write how far each price may be trusted beside a submission: ``sample_id``, ``trust``, ``reason``; atomic.

    Parameters
    ----------
    ids : Series of shape (n,)
        Product ids.
    trust : DataFrame
        n rows, as `pricing.run.trust.TrustRule.judge` gives them.
    submission : Path
        The submission; see `beside`.
    """
    return _write_listed(ids.alias("sample_id").to_frame().hstack(trust), beside(submission, "trust"))


def write_rejected(rejected: pl.DataFrame, submission: Path) -> Path:
    """Write the rows that were left out of a submission, with their reasons, beside it; atomic.

    Parameters
    ----------
    rejected : DataFrame
        As `pricing.catalogue.reading.rejected_table` gives it.
    submission : Path
        The submission; see `beside`.
    """
    return _write_listed(rejected, beside(submission, "rejected"))


def write_submission(
    ids: pl.Series, price: Floats, config: SubmissionConfig, destination: Path
) -> dict[str, float | int]:
    """Write ids and rounded prices as CSV with the header ``sample_id`` and the configured one; atomic.

    All files of `beside` are of earlier prices and go; they are written after the submission.

    Parameters
    ----------
    ids : Series of shape (n,)
        Product ids, each once.
    price : ndarray of shape (n,)
        Prices, not log prices; unrounded.
    config : SubmissionConfig
        With a number of decimals, see `with_decimals`; None rounds to two.

    Returns
    -------
    dict
        ``rows``, ``min``, ``median``, ``mean``, ``max`` of the rounded prices (only ``rows`` where there are none).

    Raises
    ------
    PredictionsError
        A price that is not finite and positive, an id that is there twice.
    """
    if ids.n_unique() != len(ids) or len(ids) != len(price):
        raise PredictionsError(
            f"expected one price for each id, got {len(price)} prices, {ids.n_unique()} distinct ids"
        )
    bad = np.flatnonzero(~(np.isfinite(price) & (price > 0)))
    if bad.size:
        raise PredictionsError(
            f"{bad.size} of {len(price)} prices are not finite and positive, the first is {price[bad[0]]} of product "
            f"{ids[int(bad[0])]}; nothing was written"
        )
    # what belongs to earlier prices would mislead beside these
    for what in get_args(Beside):
        beside(destination, what).unlink(missing_ok=True)
    rounded = round_prices(price, _decimals(config))
    _write_csv(pl.DataFrame({"sample_id": ids, config.price_column: rounded}), destination)
    price = rounded.cast(pl.Float64).to_numpy()
    statistics: dict[str, float | int] = {"rows": len(price)}
    if len(price):
        statistics |= {name: float(getattr(np, name)(price)) for name in ("min", "median", "mean", "max")}
    logger.info("%s: %s", destination.name, ", ".join(f"{key} {value:.6g}" for key, value in statistics.items()))
    return statistics


def _decimals(config: SubmissionConfig) -> int:
    return DEFAULT_DECIMALS if config.decimals is None else config.decimals


def _write_listed(table: pl.DataFrame, destination: Path) -> Path:
    _write_csv(table, destination)
    logger.info("%s: %d rows", destination.name, table.height)
    return destination


def _write_csv(table: pl.DataFrame, destination: Path) -> None:
    """The file appears whole or not at all."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    temporary = destination.with_name(f".{destination.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            table.write_csv(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(destination)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise


def _example(ids: pl.Series) -> str:
    return f" (first {ids[0]})" if len(ids) else ""
