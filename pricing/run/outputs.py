"""The last step of a run: all that it leaves and that does not depend on when, where and on how many cores it ran."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from pricing.catalogue.split import LABELLED
from pricing.config.ensemble import ReportConfig, SubmissionConfig
from pricing.download.images import Images
from pricing.explain.background import write_background
from pricing.metrics.segments import segment_metrics
from pricing.report.run_plots import draw_plots
from pricing.run.doubt import write_doubt, write_submission_doubt
from pricing.run.drivers import write_drivers
from pricing.run.evaluation_tables import write_evaluation
from pricing.run.model_folder import BACKGROUND, write_model
from pricing.run.price_audit import audit_run
from pricing.run.stage_records import copy_missing_images, copy_rejected, copy_searches, describe_catalogue
from pricing.run.submission import create_submission, create_unpriced, measure_rounding, with_decimals
from pricing.run.thumbnails import write_thumbnails
from pricing.store.artifacts import read_json, read_record, write_json
from pricing.store.tables import read_table

PARTS = "parts"
"""Folder of what `pricing.run.finish.finish_run` makes run.json and the page of; no part of what a run leaves."""


def write_outputs(
    catalogue: Path, folds: Path, features: Path, images: Path | None, prepared: Mapping[str, Path], ensemble: Path,
    price_features: Mapping[str, Path], members: Mapping[str, Mapping[str, Path]], searches: Mapping[str, Path],
    report: ReportConfig, submission: SubmissionConfig, seed: int, image_folder: Path, out: Path,
) -> None:  # fmt: skip
    """Write submission, figures, plots and a model folder that prices the next catalogue; same input, same bytes.

    Parameters
    ----------
    catalogue, folds, features, images, ensemble : Path
        Outputs of those steps; ``images`` is None without images.
    prepared : mapping of str to Path
        Member to the output of its preparation step, for those that have one.
    price_features : mapping of str to Path
        Fold (``fold_0`` ..., ``refit``) to its price features.
    members : mapping of str to mapping of str to Path
        Member to its output by fold.
    searches : mapping of str to Path
        Member to the search for its settings, for those searched.
    report : ReportConfig
        Resolution of the plots, number of products shown, whether the model keeps thumbnails.
    submission : SubmissionConfig
        Decimals, header, intervals.
    seed : int
        Of the categories that products are clustered into.
    image_folder : Path
        What the files in the table of images are relative to.
    out : Path
        Empty folder. Receives model/ without config.json, evaluation/, plots/, metrics.json and, where there are such
        rows, submission.csv, unpriced.csv, rejected.csv and missing_images.csv with what goes beside them; and
        `PARTS`.
    """
    known = read_table(catalogue / LABELLED, ["price"])["price"].cast(pl.Float64).to_numpy()
    submission, summary = with_decimals(submission, known), describe_catalogue(catalogue)
    assert submission.decimals is not None
    write_model(out / "model", features, prepared, price_features, members, ensemble, submission.decimals,
                summary)  # fmt: skip
    write_background(out / "model" / BACKGROUND, catalogue, folds, features)
    trust = write_doubt(out / "model", catalogue, folds, features, price_features, ensemble)
    (out / "evaluation").mkdir()
    found = None if images is None else Images(read_table(images / "images.parquet"), image_folder)
    write_evaluation(out / "evaluation", catalogue, folds, features, found, price_features, ensemble,
                     members, report, seed)  # fmt: skip
    if found is not None and report.thumbnails:
        write_thumbnails(out / "model", catalogue, found)
    write_drivers(out, catalogue, features, found, report, seed)
    audit_run(out).write_parquet(out / "evaluation" / "audit.parquet")
    currency = {"currency": summary["currency"]} if "currency" in summary else {}
    write_json(out / "metrics.json", _metrics(ensemble, folds, out / "evaluation", submission, trust) | currency)
    copy_searches(searches, out / "evaluation")
    copy_rejected(catalogue, out)
    copy_missing_images(images, out)
    asked = summary["test"]
    # a test file was given, of bad rows it may be
    given = any(asked[count] for count in ("rows", "rejected", "empty_rows"))
    priced = create_submission(catalogue, ensemble, submission, out / "submission.csv") if given else None
    if priced and priced["rows"]:
        write_submission_doubt(out / "model", catalogue, features, price_features, ensemble, submission,
                               out / "submission.csv")  # fmt: skip
    unpriced = create_unpriced(catalogue, ensemble, submission, out / "unpriced.csv")
    parts = out / PARTS
    parts.mkdir()
    hashes = {"catalogue": _digest(catalogue), "ensemble": _digest(ensemble)}
    write_json(parts / "run.json", {"submission": priced, "unpriced": unpriced, "hashes": hashes})
    (parts / "plots").mkdir()
    draw_plots(out, report, parts / "plots")


def _metrics(
    ensemble: Path, folds: Path, evaluation: Path, submission: SubmissionConfig, trust: dict[str, Any]
) -> dict[str, Any]:
    """The ensemble step's figures, the hold-out's by segment, trust and time, and what rounding does to the stack's."""
    metrics = read_json(ensemble / "metrics.json")
    metrics["trust"] = trust["rule"]
    rows = pl.read_parquet(evaluation / "holdout.parquet")
    if len(rows):
        metrics["holdout"]["segments"] = segment_metrics(rows, pl.read_parquet(evaluation / "products.parquet"))
        metrics["holdout"]["trust"] = trust["holdout"]
        metrics["holdout"]["unlike"] = trust["unlike"]
        if latest := read_json(folds / "summary.json").get("latest"):
            metrics["holdout"]["latest"] = latest
    judged = ("holdout", rows) if len(rows) else ("oof", pl.read_parquet(evaluation / "oof.parquet"))
    price, stack = (judged[1][name].cast(pl.Float64).to_numpy() for name in ("price", "stack"))
    metrics["rounding"] = measure_rounding(price, stack, submission, judged[0])
    return metrics


def _digest(output: Path) -> str:
    return str(read_record(output)["reference"].digest)
