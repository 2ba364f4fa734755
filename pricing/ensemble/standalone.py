"""`pricing ensemble`: stack anybody's predictions, without the rest of the pipeline."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pricing.artifacts import write_json
from pricing.config.ensemble import EnsembleConfig, SubmissionConfig
from pricing.ensemble.members import RESERVED
from pricing.ensemble.stacking import train_ensemble
from pricing.ensemble.summary import describe_training
from pricing.errors import PredictionsError
from pricing.evaluation.metrics import log_to_price
from pricing.output_folder import STACK, check_output, fill_output
from pricing.submission import write_intervals, write_submission

__all__ = ["stack_predictions"]

log = logging.getLogger(__name__)


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
        CSV or Parquet: ``sample_id``, ``price``, one column of predicted prices a model, and optionally an integer
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
        What metrics.json holds. There is no hold-out here; ``stack.oof_smape`` is nested.

    Raises
    ------
    PredictionsError
        A column is missing or not known to both files, an id is there twice, a prediction is missing, not finite or
        not positive (its column and id are named).
    InputError
        The output folder holds what would be replaced and is no earlier stack, see `check_output`.
    """
    check_output(output, STACK)
    labelled = _read(oof)
    new = _read(test)
    names = tuple(sorted(set(labelled.columns) - RESERVED))
    _check_columns(labelled, new, names, oof, test)
    known = new["sample_id"].is_in(labelled["sample_id"].implode()).sum()
    if known:
        log.warning("%s: %d of %d ids are in %s too, with their prices: are these the test's rows?",
                    test, known, len(new), oof)  # fmt: skip
    price = _positive(labelled, "price", oof)
    members = np.log(np.column_stack([_positive(labelled, name, oof) for name in names]))
    test_logs = {name: np.log(_positive(new, name, test)) for name in names}
    folds = _folds(labelled, oof, config, seed)
    trained = train_ensemble(members, np.log(price), folds, names, config, seed, threads=threads)
    logs = {name: members[:, j] for j, name in enumerate(names)}
    metrics = describe_training(trained, logs, price, resamples=config.bootstrap, seed=seed)
    metrics["folds"] = "given" if "fold" in labelled.columns else "seeded"
    ensemble = trained.ensemble.matched(test_logs)
    log_price = ensemble.predict(test_logs)
    header = submission or SubmissionConfig()
    with fill_output(output, STACK) as new_output:
        target = new_output / "submission.csv"
        metrics["submission"] = write_submission(new["sample_id"], log_to_price(log_price), header, target)
        if header.intervals:
            ends = ensemble.predict_intervals(test_logs, log_price)
            prices = {name: log_to_price(values) for name, values in ends.items()}
            write_intervals(new["sample_id"], log_to_price(log_price), prices, header, target)
        ensemble.save(new_output / "ensemble")
        table = {"sample_id": labelled["sample_id"], "fold": pl.Series(folds), "price": price}
        (new_output / "evaluation").mkdir()
        pl.DataFrame(
            table | {name: log_to_price(values) for name, values in logs.items()} | {"stack": log_to_price(trained.oof)}
        ).write_parquet(new_output / "evaluation" / "oof.parquet")
        write_json(new_output / "metrics.json", metrics)
    log.info("stacked %d models on %d rows: nested SMAPE %.2f", len(names), len(price), metrics["stack"]["oof_smape"])
    return metrics


def _read(path: Path) -> pl.DataFrame:
    """The table with ids as strings; CSV columns stay strings until they are checked one by one."""
    header: list[str] = []
    try:
        if path.suffix == ".parquet":
            table = pl.read_parquet(path)
        else:
            table = pl.read_csv(path, infer_schema=False, null_values="")
            header = [str(name) for name in pl.read_csv(path, has_header=False, n_rows=1, infer_schema=False).row(0)]
    except (OSError, pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise PredictionsError(f"{path}: cannot be read ({error}); expected a CSV or .parquet file") from None
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:  # the second one would be read under a name of polars' own, as a model of its own
        raise PredictionsError(
            f"{path}: column {twice[0]} is there more than once; a model has one name and one column"
        )
    if "sample_id" not in table.columns:
        raise PredictionsError(f"{path}: has no column sample_id, only {', '.join(table.columns)}")
    if not len(table):
        raise PredictionsError(f"{path}: has no rows")
    ids = table["sample_id"].cast(pl.String)
    if ids.null_count():
        raise PredictionsError(f"{path}: row {int(ids.is_null().arg_true()[0]) + 1} has no sample_id")
    if ids.n_unique() != len(ids):
        raise PredictionsError(f"{path}: sample_id {ids.filter(ids.is_duplicated())[0]} is there more than once")
    return table.with_columns(ids)


def _check_columns(labelled: pl.DataFrame, new: pl.DataFrame, names: tuple[str, ...], oof: Path, test: Path) -> None:
    if "price" not in labelled.columns:
        raise PredictionsError(f"{oof}: has no column price, only {', '.join(labelled.columns)}")
    taken = sorted((RESERVED - {"sample_id", "price", "fold"}) & (set(labelled.columns) | set(new.columns)))
    if taken:
        raise PredictionsError(f"a model cannot be called {taken[0]}; rename its column")
    if not names:
        raise PredictionsError(f"{oof}: has no model's column beside sample_id, price and fold")
    found = set(new.columns) - {"sample_id"}
    missing, extra = sorted(set(names) - found), sorted(found - set(names))
    if missing or extra:
        raise PredictionsError(
            f"{test}: models are matched by name; columns missing: {', '.join(missing) or 'none'}, "
            f"unknown: {', '.join(extra) or 'none'}; expected sample_id and {', '.join(names)}"
        )


def _positive(table: pl.DataFrame, column: str, path: Path) -> NDArray[np.float64]:
    """The column as float64, finite and above 0."""
    raw = table[column]
    if raw.dtype == pl.String:
        raw = raw.str.strip_chars()
    values = raw.cast(pl.Float64, strict=False)
    # comparisons with a missing value are missing, so that it has to be asked for by name
    bad = (values.is_null() | ~values.is_finite().fill_null(False) | (values <= 0).fill_null(True)).arg_true()
    if len(bad):
        row = int(bad[0])
        found = "missing" if table[column][row] is None else f"{table[column][row]!r}"
        raise PredictionsError(
            f"{path}: column {column}, sample_id {table['sample_id'][row]}: {found}; expected a finite price above 0 "
            f"({len(bad)} such values in this column)"
        )
    return values.to_numpy()


def _folds(table: pl.DataFrame, path: Path, config: EnsembleConfig, seed: int) -> NDArray[np.int64]:
    if "fold" in table.columns:
        given = table["fold"].cast(pl.Float64, strict=False)
        bad = (
            given.is_null() | (given != given.round()).fill_null(True) | ~given.is_finite().fill_null(False)
        ).arg_true()
        if len(bad):
            row = int(bad[0])
            raise PredictionsError(
                f"{path}: column fold, sample_id {table['sample_id'][row]}: {table['fold'][row]!r}; expected an integer"
            )
        return given.cast(pl.Int64).to_numpy()
    # drawn in the order of the ids, so that the same table sorted otherwise gets the same folds
    order = table["sample_id"].arg_sort().to_numpy()
    folds = np.empty(len(table), dtype=np.int64)
    folds[order] = np.random.default_rng(seed).permutation(len(table)) % config.standalone_folds
    return folds
