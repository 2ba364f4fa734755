"""submission.csv: every test product once, in the test's order, with a finite positive price.

Prices are rounded here, where people read them, and nowhere else: see `pricing.metrics.rounding`.
"""

import logging
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl

from pricing.catalogue.split import UNLABELLED, UNPRICED
from pricing.config.ensemble import SubmissionConfig
from pricing.errors import ArtifactError, PredictionsError
from pricing.metrics.interval_levels import INTERVAL_COLUMNS
from pricing.metrics.price_metrics import calculate_smape, log_to_price
from pricing.metrics.rounding import catalogue_decimals, round_prices
from pricing.metrics.smape import Floats
from pricing.run.beside_prices import Beside, beside, shown_decimals, write_csv, write_intervals
from pricing.store.tables import read_table

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
    decimals = shown_decimals(config)
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
    return _write_predicted(catalogue, ensemble, slice(0, len(asked_ids(catalogue))), None, config, destination)


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
    return _write_predicted(catalogue, ensemble, slice(len(asked_ids(catalogue)), None), ids, config, destination)


def asked_ids(catalogue: Path) -> pl.Series:
    """Return the ids of the test file's products in its order, without the rows of the labelled file."""
    ids = read_table(catalogue / UNLABELLED, ["sample_id"])["sample_id"]
    return ids.head(len(ids) - len(_unpriced_ids(catalogue)))


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
    rounded = round_prices(price, shown_decimals(config))
    write_csv(pl.DataFrame({"sample_id": ids, config.price_column: rounded}), destination, safe=config.excel_safe)
    price = rounded.cast(pl.Float64).to_numpy()
    statistics: dict[str, float | int] = {"rows": len(price)}
    if len(price):
        statistics |= {name: float(getattr(np, name)(price)) for name in ("min", "median", "mean", "max")}
    logger.info("%s: %s", destination.name, ", ".join(f"{key} {value:.6g}" for key, value in statistics.items()))
    return statistics


def _example(ids: pl.Series) -> str:
    return f" (first {ids[0]})" if len(ids) else ""
