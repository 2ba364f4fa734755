"""`pricing ensemble`: stack anybody's predictions, without the rest of the pipeline."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pricing.catalogue.fewest_rows import FEWEST_ROWS
from pricing.config.ensemble import EnsembleConfig, SubmissionConfig
from pricing.ensemble.figures import describe_training
from pricing.ensemble.stacking import train_ensemble
from pricing.errors import PredictionsError
from pricing.metrics.price_metrics import log_to_price
from pricing.run.beside_prices import write_intervals
from pricing.run.output_folder import STACK, check_output, fill_output
from pricing.run.prediction_tables import Clipped, PredictionTable, read_pair
from pricing.run.submission import measure_rounding, with_decimals, write_submission
from pricing.run.unit_warnings import unit_warnings
from pricing.store.artifacts import write_json

logger = logging.getLogger(__name__)

_NAMED = 20
"""Maximum number of clipped predictions per column whose ids are named; all are counted."""


def stack_predictions(
    oof: Path,
    test: Path,
    output: Path,
    config: EnsembleConfig,
    seed: int,
    *,
    submission: SubmissionConfig | None = None,
    threads: int = 1,
) -> dict[str, Any]:
    """Stack out-of-fold predictions and price the test rows.

    Parameters
    ----------
    oof : Path
        CSV or Parquet: ``sample_id``, ``price``, one column of predicted prices per model, and optionally an integer
        ``fold`` (where the models were cross-validated on the same folds, those are the honest ones); without it, rows
        are spread over ``config.standalone_folds`` seeded folds.
    test : Path
        CSV or Parquet: ``sample_id`` and the same models' columns, in any order.
    output : Path
        Folder that gets ``submission.csv``, ``metrics.json``, ``ensemble/`` and ``evaluation/oof.parquet``, in which
        ``stack`` is nested: by an ensemble that never saw the row's fold.

    Returns
    -------
    dict
        What metrics.json holds. There is no hold-out here; ``stack.oof_smape`` is nested. ``warnings`` are lines for
        the reader.

    Raises
    ------
    PredictionsError
        A column is missing, not known to both files, or looks like a row number, an id is there twice, there are fewer
        than `FEWEST_ROWS` labelled rows, a prediction is missing or not finite, or it is not positive and
        ``config.on_bad_predictions`` is ``refuse`` (its column and id are named).
    InputError
        The output folder holds what would be replaced and is no earlier stack, see `check_output`.
    """
    check_output(output, STACK)
    labelled, new, names = read_pair(oof, test)
    if len(labelled.frame) < FEWEST_ROWS:
        raise PredictionsError(
            f"{oof}: has {len(labelled.frame)} rows with a price, too few to learn from and to be judged by; expected "
            f"{FEWEST_ROWS} or more, of which each fold judges a part"
        )
    known = new.ids.is_in(labelled.ids.implode()).sum()
    if known:
        logger.warning("%s: %d of %d ids are in %s too, with their prices: are these the test's rows?",
                       test, known, len(new.frame), oof)  # fmt: skip
    price = labelled.prices("price")
    folds = _folds(labelled, config, seed)
    clipped = {part: Clipped(float(price.min())) for part in ("oof", "test") if config.on_bad_predictions == "clip"}
    logs = {name: np.log(labelled.prices(name, clipped.get("oof"))) for name in names}
    test_logs = {name: np.log(new.prices(name, clipped.get("test"))) for name in names}
    members, log_price = np.column_stack(list(logs.values())), np.log(price)
    trained = train_ensemble(members, log_price, folds, names, config, seed, threads=threads)
    metrics = describe_training(trained, logs, price, resamples=config.bootstrap, seed=seed)
    metrics["folds"] = "given" if "fold" in labelled.frame.columns else "seeded"
    metrics["clipped_predictions"] = {
        part: {"floor": found.floor, "columns": {name: len(ids) for name, ids in found.ids.items()},
               "ids": {name: ids[:_NAMED] for name, ids in found.ids.items()}}
        for part, found in clipped.items()
    }  # fmt: skip
    metrics["warnings"] = [
        *(line for part, path in (("oof", oof), ("test", test)) if part in clipped
          for line in _describe_clipped(path, clipped[part])),
        *unit_warnings(logs, log_price, metrics["constant"]["oof_smape"]),
    ]  # fmt: skip
    for line in metrics["warnings"]:
        logger.warning("%s", line)
    ensemble = trained.ensemble.matched(test_logs)
    predicted = ensemble.predict(test_logs)
    header = with_decimals(submission or SubmissionConfig(), price)
    metrics["rounding"] = measure_rounding(price, log_to_price(trained.oof), header, "oof")
    with fill_output(output, STACK) as new_output:
        target = new_output / "submission.csv"
        metrics["submission"] = write_submission(new.ids, log_to_price(predicted), header, target)
        if header.intervals:
            ends = ensemble.predict_intervals(test_logs, predicted)
            prices = {name: log_to_price(values) for name, values in ends.items()}
            write_intervals(new.ids, log_to_price(predicted), prices, header, target)
        ensemble.save(new_output / "ensemble")
        table = {"sample_id": labelled.ids, "fold": pl.Series(folds), "price": price}
        (new_output / "evaluation").mkdir()
        pl.DataFrame(
            table | {name: log_to_price(values) for name, values in logs.items()} | {"stack": log_to_price(trained.oof)}
        ).write_parquet(new_output / "evaluation" / "oof.parquet")
        write_json(new_output / "metrics.json", metrics)
    logger.info(
        "stacked %d models on %d rows: nested SMAPE %.2f", len(names), len(price), metrics["stack"]["oof_smape"]
    )
    return metrics


def _describe_clipped(path: Path, clipped: Clipped) -> list[str]:
    """One line per column with clipped predictions."""
    return [
        f"{path}: column {name!r}: {len(ids)} predictions were not above 0 and became {clipped.floor:.6g}, the "
        f"smallest known price; sample_id {', '.join(ids[:_NAMED])}{' ...' if len(ids) > _NAMED else ''}"
        for name, ids in clipped.ids.items()
    ]


def _folds(table: PredictionTable, config: EnsembleConfig, seed: int) -> NDArray[np.int64]:
    frame = table.frame
    if "fold" in frame.columns:
        given = frame["fold"].cast(pl.Float64, strict=False)
        bad = (
            given.is_null() | (given != given.round()).fill_null(True) | ~given.is_finite().fill_null(False)
        ).arg_true()
        if len(bad):
            row = int(bad[0])
            raise PredictionsError(
                f"{table.path}: column 'fold', sample_id {table.ids[row]!r}: {frame['fold'][row]!r}; expected an "
                "integer"
            )
        if given.n_unique() < 2:
            raise PredictionsError(
                f"{table.path}: column 'fold' is {given[0]:g} everywhere; expected two folds or more, or no "
                "column 'fold'"
            )
        return given.cast(pl.Int64).to_numpy()
    # drawn in the order of the ids, so that the same table sorted differently gets the same folds
    order = table.ids.arg_sort().to_numpy()
    folds = np.empty(len(frame), dtype=np.int64)
    folds[order] = np.random.default_rng(seed).permutation(len(frame)) % config.standalone_folds
    return folds
