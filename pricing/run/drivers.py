"""What drives the prices of a run, and why its products shown are priced as they are: measured on its hold-out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from pricing.catalogue.split import LABELLED
from pricing.config.ensemble import ReportConfig
from pricing.download.images import Images
from pricing.errors import InputError
from pricing.features.load import ID, load_features
from pricing.report.shown_products import worst_rows
from pricing.run.explaining import Explainer
from pricing.run.importance import HoldoutRows, measure_importance, without_refit
from pricing.run.model import RunModel
from pricing.store.tables import read_table

REPEATS = 2
"""Number of permutations of each family and column."""


def write_drivers(
    out: Path, catalogue: Path, features: Path, images: Images | None, config: ReportConfig, seed: int
) -> None:
    """Write evaluation/drivers.parquet and evaluation/explained.parquet; neither without a hold-out, or if not wanted.

    Both are of the models of the folds, which have not learnt from the hold-out. So the explained prices are those of
    evaluation/holdout.parquet.

    Parameters
    ----------
    out : Path
        Folder that the run leaves, with its model and its evaluation.
    catalogue, features, images, seed
        As in `pricing.run.outputs.write_outputs`.
    config : ReportConfig
        Number of rows, and of worst errors.
    """
    held = read_table(out / "evaluation" / "holdout.parquet")
    if held.is_empty() or not config.driver_rows:
        return
    # one core: networks of single rows wait for each other on more, five times the CPU on two busy ones
    model = without_refit(RunModel.load(out / "model", threads=1))
    known = read_table(catalogue / LABELLED).drop("price")
    labelled = load_features(features)

    def rows_of(shown: pl.DataFrame) -> HoldoutRows:
        frame = shown.select(ID).join(known, on=ID, how="left", maintain_order="left")
        return HoldoutRows(frame, labelled.reorder(frame[ID]), _log(shown["price"]), images)

    measured = measure_importance(model, rows_of(held).some(config.driver_rows, seed), REPEATS, seed)
    measured.write_parquet(out / "evaluation" / "drivers.parquet")
    worst = rows_of(worst_rows(held, config.worst))
    table = Explainer(model).explain(worst.frame, images, worst.features)
    table.write_parquet(out / "evaluation" / "explained.parquet")


def importance_of_run(
    model: RunModel, folder: Path, images: Callable[[pl.DataFrame], Images | None], count: int, repeats: int, seed: int
) -> pl.DataFrame:
    """Measure what drives the prices of a finished run.

    Parameters
    ----------
    model : RunModel
        Its models.
    folder : Path
        What it left.
    images : callable
        Returns the images of rows.
    count, repeats, seed
        As in `pricing.pricer.Pricer.importance`.

    Raises
    ------
    InputError
        The folder has no hold-out.
    """
    evaluation = folder / "evaluation"
    if not evaluation.exists():
        raise InputError(f"{folder}: holds a model alone; importance is measured on a run's hold-out, so give the run")
    held = read_table(evaluation / "holdout.parquet")
    if held.is_empty():
        raise InputError(f"{folder}: the run has no hold-out to measure importance on; fit more rows")
    chosen = np.random.default_rng(seed).permutation(len(held)) < count
    shown = held.filter(chosen)
    products = read_table(evaluation / "products.parquet")
    frame = shown.select(ID).join(products, on=ID, how="left", maintain_order="left")
    rows = HoldoutRows(frame, model.engineer.transform(frame), _log(shown["price"]), images(frame))
    return measure_importance(without_refit(model), rows, repeats, seed)


def _log(price: pl.Series) -> np.ndarray:
    return np.log(price.cast(pl.Float64).to_numpy())
