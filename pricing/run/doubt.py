"""Drift and trust of a run: what its model folder keeps to judge catalogues by, and the judgement of its own test rows.

The rule of trust (`pricing.run.trust`) and the reference of drift (`pricing.run.drift`) are fitted on out-of-fold rows,
and so is what is unlike anything learnt (`pricing.run.novelty`) and how its intervals are widened
(`pricing.run.widening`). The hold-out, of which none of them learns a price, judges them.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pricing.catalogue.split import LABELLED, UNLABELLED, read_split
from pricing.config.ensemble import SubmissionConfig
from pricing.ensemble.stack import Ensemble
from pricing.errors import ArtifactError
from pricing.features.load import ID, load_features, load_price_columns
from pricing.features.schema import Column
from pricing.metrics.interval_levels import INTERVAL_COLUMNS
from pricing.metrics.price_metrics import log_to_price, smape_per_row
from pricing.run.beside_prices import beside, write_intervals, write_trust
from pricing.run.drift import DriftReference, known_words
from pricing.run.novelty import Novelty, distrust
from pricing.run.submission import asked_ids
from pricing.run.trust import Floats, TrustRule, calibration, nearest_cosines
from pricing.run.widening import Widening
from pricing.store.artifacts import read_json, write_json
from pricing.store.tables import read_table

WIDTH = 80
"""Nominal coverage of the interval whose width is a signal of trust, in percent."""


def write_doubt(
    folder: Path, catalogue: Path, folds: Path, features: Path, price_features: Mapping[str, Path], ensemble: Path
) -> dict[str, Any]:
    """Fit the rule of trust, the reference of drift and what is unlike anything learnt, and judge the hold-out by them.

    Parameters
    ----------
    folder : Path
        The run's model folder; receives trust.json, drift/, novelty/ and widening.json.
    catalogue, folds, features, price_features, ensemble
        As in `pricing.run.outputs.write_outputs`.

    Returns
    -------
    dict
        ``rule``: what trust.json holds. ``holdout``: as `pricing.run.trust.calibration`, or None without a hold-out.
        ``unlike``: share of the hold-out that is unlike anything learnt, 0 to 1, or None without a hold-out.

    Raises
    ------
    ArtifactError
        A table is missing or damaged, or the ensemble has no prediction intervals.
    """
    oof, holdout = (read_table(ensemble / f"{name}.parquet") for name in ("oof", "holdout"))
    labelled = load_features(features, "labelled")
    columns = load_price_columns(price_features["fold_0"])
    nearest = _out_of_fold(oof, price_features, columns)
    price, stack = (oof[name].cast(pl.Float64).to_numpy() for name in ("price", "stack"))
    around = _around(ensemble, oof)
    low, high = around[WIDTH]
    rule = TrustRule.fit(smape_per_row(price, stack), high - low, nearest)
    write_json(folder / "trust.json", rule.to_dict())

    held = _rows(catalogue / LABELLED, holdout[ID], ["catalog_content"])
    reference = DriftReference.fit(
        labelled.reorder(oof[ID]), labelled.reorder(holdout[ID]), held, _vocabulary(features), stack, nearest
    )
    reference.save(folder / "drift")

    split, texts = read_split(folds, labelled.ids), _rows(catalogue / LABELLED, labelled.ids, ["catalog_content"])
    training = (split["part"] == "train").to_numpy()
    novelty = Novelty.fit(texts["catalog_content"], labelled, split["group"].to_numpy(), training)
    novelty.save(folder / "novelty")
    seen = _rows(catalogue / LABELLED, oof[ID], ["catalog_content"])["catalog_content"]
    strange = novelty.judge(seen, labelled.reorder(oof[ID]), own=True).is_not_null().to_numpy()
    Widening.fit(np.log(price), np.log(stack), around, strange).save(folder / "widening.json")
    unlike = novelty.judge(held["catalog_content"], labelled.reorder(holdout[ID])).is_not_null().mean()
    return {"rule": rule.to_dict(), "holdout": _judge(rule, holdout, price_features, columns), "unlike": unlike}


def write_submission_doubt(
    folder: Path, catalogue: Path, features: Path, price_features: Mapping[str, Path], ensemble: Path,
    config: SubmissionConfig, submission: Path,
) -> None:  # fmt: skip
    """Write trust and drift of the run's test rows beside its submission, and widen the intervals that are there.

    The rows are judged as `pricing.run.model.RunModel.predict` judges a scored catalogue.

    Parameters
    ----------
    folder : Path
        The run's model folder, with what `write_doubt` left in it.
    catalogue, features, price_features, ensemble
        As in `pricing.run.outputs.write_outputs`.
    config : SubmissionConfig
        How the submission's files are written.
    submission : Path
        Path of submission.csv; submission_trust.csv and submission_drift.json are written beside it, and where
        intervals are asked for submission_intervals.csv again.

    Raises
    ------
    ArtifactError
        A table, the rule of trust or the reference of drift is missing or damaged.
    """
    ids = asked_ids(catalogue)
    rule = TrustRule.load(folder / "trust.json")
    reference = DriftReference.load(folder / "drift", _vocabulary(features))
    predicted = ["stack", f"low_{WIDTH}", f"high_{WIDTH}"]
    stack, low, high = _rows(ensemble / "test.parquet", ids, predicted).select(predicted).to_numpy().T
    shipped = price_features.get("refit", price_features["fold_0"])
    nearest = nearest_cosines(_rows(shipped / UNLABELLED, ids), load_price_columns(shipped))
    rows = load_features(features, "unlabelled").reorder(ids)
    texts = _rows(catalogue / UNLABELLED, ids, ["catalog_content"])
    unlike = Novelty.load(folder / "novelty").judge(texts["catalog_content"], rows)
    trust = distrust(rule.judge(high - low, nearest, reference.strangers(rows)), unlike)
    write_trust(ids, trust, config, submission)
    if config.intervals:
        around = _rows(ensemble / "test.parquet", ids, list(INTERVAL_COLUMNS))
        ends = {name: around[name].to_numpy() for name in INTERVAL_COLUMNS}
        wide = Widening.load(folder / "widening.json").widen(stack, ends, unlike.is_not_null().to_numpy())
        prices = {name: log_to_price(values) for name, values in wide.items()}
        write_intervals(ids, log_to_price(stack), prices, config, submission)
    drift = reference.compare(texts, rows, log_to_price(stack), nearest)
    drift["unlike"] = unlike.is_not_null().mean()
    write_json(beside(submission, "drift"), {**drift, "trust": rule.compare(trust["trust"])})


def _vocabulary(features: Path) -> pl.Series:
    return known_words(read_json(features / "engineer" / "terms.json").get("words", []))


def _judge(
    rule: TrustRule, holdout: pl.DataFrame, price_features: Mapping[str, Path], columns: tuple[Column, ...]
) -> list[dict[str, Any]] | None:
    if holdout.is_empty():
        return None
    read = ("price", "stack", f"low_{WIDTH}", f"high_{WIDTH}")
    price, stack, low, high = (holdout[name].cast(pl.Float64).to_numpy() for name in read)
    nearest = nearest_cosines(_rows(price_features["fold_0"] / LABELLED, holdout[ID]), columns)
    return calibration(rule.levels(np.log(high / low), nearest), price, stack)


def _out_of_fold(oof: pl.DataFrame, price_features: Mapping[str, Path], columns: tuple[Column, ...]) -> Floats | None:
    """Cosines of the nearest comparables that each row's own fold learnt from, of shape (n,)."""
    found = np.zeros(oof.height)
    for fold in oof["fold"].unique().sort():
        rows = (oof["fold"] == fold).to_numpy()
        cosines = nearest_cosines(_rows(price_features[f"fold_{fold}"] / LABELLED, oof.filter(rows)[ID]), columns)
        if cosines is None:
            return None
        found[rows] = cosines
    return found


def _around(ensemble: Path, oof: pl.DataFrame) -> dict[int, tuple[Floats, Floats]]:
    """Intervals of the n out-of-fold rows by level, log price, with the spread fitted on them."""
    stack = Ensemble.load(ensemble / "ensemble")
    if stack.intervals is None:
        raise ArtifactError(f"{ensemble}: has no prediction intervals; build the run again")
    members = np.log(oof.select(stack.members).to_numpy().astype(np.float64))
    price = np.log(oof["stack"].cast(pl.Float64).to_numpy())
    # what ships is matched to rows that are predicted by several models, these are predicted by one
    intervals = replace(stack.intervals, spread=stack.intervals.spread.matched(members, price))
    return intervals.around(members, price)


def _rows(table: Path, ids: pl.Series, columns: list[str] | None = None) -> pl.DataFrame:
    """The rows of a table that have the ids, in the order of these, with all columns or some."""
    read = read_table(table, None if columns is None else [ID, *columns])
    return ids.to_frame().join(read, on=ID, how="left", maintain_order="left")
