"""What a run leaves behind: submission, report, figures, and a model folder that prices the next catalogue."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from pricing.catalogue.split import LABELLED
from pricing.config.catalogue import ImagesConfig
from pricing.config.ensemble import SubmissionConfig
from pricing.configuration import PricingConfig
from pricing.download.lost_images import describe_download
from pricing.libraries import module_version
from pricing.metrics.segments import segment_metrics
from pricing.report.page import build_report
from pricing.run.evaluation_tables import write_evaluation
from pricing.run.output_folder import fill_output
from pricing.run.parts import MODEL_FORMAT, RunParts, fold_name
from pricing.run.submission import create_submission, create_unpriced, measure_rounding, with_decimals
from pricing.store.artifacts import ArtifactStore, Reference, read_record, write_json
from pricing.store.tables import read_table

__all__ = [
    "copy_missing_pictures", "copy_rejected", "copy_searches", "describe_catalogue", "describe_images",
    "describe_networks", "write_outputs",
]  # fmt: skip

LIBRARIES = (
    "prefect", "polars", "numpy", "sklearn", "lightgbm", "xgboost", "catboost", "torch", "transformers", "timm",
)  # fmt: skip
"""Modules whose versions run.json has."""


def write_outputs(
    output: Path, parts: RunParts, config: PricingConfig, *, train: Path, test: Path | None,
    stages: list[dict[str, Any]], threads: dict[str, int],
) -> dict[str, Any]:  # fmt: skip
    """Assemble the run folder apart and put it in place.

    Returns
    -------
    dict
        ``run`` (run.json) and ``metrics`` (metrics.json).
    """
    store = ArtifactStore(config.paths.store)
    with fill_output(output) as beside:
        (beside / "evaluation").mkdir()
        catalogue, ensemble = store.path(parts.catalogue), store.path(parts.ensemble)
        known = read_table(catalogue / LABELLED, ["price"])["price"].cast(pl.Float64).to_numpy()
        submission = with_decimals(config.submission, known)
        _write_model(beside / "model", store, parts, config, submission, threads)
        write_evaluation(beside / "evaluation", store, parts, config)
        write_json(beside / "metrics.json", _metrics(ensemble, beside / "evaluation", submission))
        copy_searches(store, parts.searches, beside / "evaluation")
        copy_rejected(catalogue, beside)
        copy_missing_pictures(store, parts.images, beside)
        priced = None
        if test is not None:
            priced = create_submission(catalogue, ensemble, submission, beside / "submission.csv")
        unpriced = create_unpriced(catalogue, ensemble, submission, beside / "unpriced.csv")
        run = {
            "config": config.model_dump(mode="json"), "seed": config.seed,
            "inputs": {"train": str(train), "test": str(test) if test else None},
            "versions": {name: module_version(name) for name in LIBRARIES},
            "folds": config.folds.model_dump(), "refit": config.holdout.refit, "stages": stages,
            "images": describe_images(store, parts.images, config.paths.work),
            "networks": describe_networks(store, parts.members), "submission": priced,
            "unpriced": unpriced,
            "catalogue": describe_catalogue(catalogue),
            "hashes": {"catalogue": parts.catalogue.digest, "ensemble": parts.ensemble.digest},
        }  # fmt: skip
        write_json(beside / "run.json", run)
        build_report(beside, config.report)
    return {"run": run, "metrics": json.loads((output / "metrics.json").read_text(encoding="utf-8"))}


def _metrics(ensemble: Path, evaluation: Path, submission: SubmissionConfig) -> dict[str, Any]:
    """The ensemble stage's figures, the hold-out's by segment, and what rounding does to the stack's."""
    metrics = dict(json.loads((ensemble / "metrics.json").read_text(encoding="utf-8")))
    rows = pl.read_parquet(evaluation / "holdout.parquet")
    if len(rows):
        metrics["holdout"]["segments"] = segment_metrics(rows, pl.read_parquet(evaluation / "products.parquet"))
    judged = ("holdout", rows) if len(rows) else ("oof", pl.read_parquet(evaluation / "oof.parquet"))
    price, stack = (judged[1][name].cast(pl.Float64).to_numpy() for name in ("price", "stack"))
    metrics["rounding"] = measure_rounding(price, stack, submission, judged[0])
    return metrics


def copy_searches(store: ArtifactStore, searches: dict[str, Reference], folder: Path) -> None:
    """Every library's search into ``search/`` of an existing folder: all of it as JSON, its choice as TOML."""
    for member, reference in searches.items():
        (folder / "search").mkdir(exist_ok=True)
        shutil.copy(store.path(reference) / "search.json", folder / "search" / f"{member}.json")
        shutil.copy(store.path(reference) / "settings.toml", folder / "search" / f"{member}.toml")


def describe_catalogue(catalogue: Path) -> dict[str, Any]:
    """Summary of a catalogue stage's output, as run.json has it."""
    return dict(json.loads((catalogue / "summary.json").read_text(encoding="utf-8")))


def copy_rejected(catalogue: Path, output: Path) -> None:
    """Leave ``rejected.csv`` (file, row, sample_id, reason) in an output folder, if bad rows were to be left out."""
    (output / "rejected.csv").unlink(missing_ok=True)  # an earlier stage's
    if (catalogue / "rejected.csv").exists():
        shutil.copy(catalogue / "rejected.csv", output / "rejected.csv")


def describe_images(store: ArtifactStore, reference: Reference | None, work: Path) -> dict[str, Any]:
    """Pictures requested, present and failed by reason, as run.json has it.

    ``hosts_lost``, ``hint`` and ``fetched`` are those of `pricing.download.lost_images.describe_download`;
    ``work`` is the folder for work in progress.
    """
    if reference is None:
        return {"requested": 0, "present": 0, "failed": {}, "hosts_lost": {}, "hint": None, "fetched": None}
    folder = store.path(reference)
    made_of = read_record(folder)["parts"]["inputs"]
    config = ImagesConfig.model_validate(made_of["config"])
    more = describe_download(pl.read_parquet(folder / "images.parquet"), config, made_of["origin"], work / "images")
    return {**json.loads((folder / "summary.json").read_text(encoding="utf-8")), **more}


def describe_networks(store: ArtifactStore, members: Mapping[str, Mapping[int | None, Reference]]) -> dict[str, Any]:
    """Precision and size of each network among the members, as run.json has it.

    Parameters
    ----------
    members : mapping
        Member by fold.

    Returns
    -------
    dict
        By network: ``precision`` (all that its folds ran with), and of the largest fold's ``parameters``,
        ``trainable_parameters`` and ``lora_share`` (None without adapters): widths follow the fold's features.
    """
    networks: dict[str, Any] = {}
    for name, made in members.items():
        paths = [store.path(reference) / "member.json" for reference in made.values()]
        records = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        if not records or "precision" not in records[0]:  # trees have none
            continue
        found: dict[str, Any] = {"precision": ", ".join(sorted({record["precision"] for record in records}))}
        for key in ("parameters", "trainable_parameters", "lora_share"):
            found[key] = max((record[key] for record in records if record.get(key) is not None), default=None)
        networks[name] = found
    return networks


def copy_missing_pictures(store: ArtifactStore, reference: Reference | None, output: Path) -> None:
    """Leave ``missing_pictures.csv`` (image_link, reason) in an output folder, if pictures were asked for."""
    if reference is not None:
        shutil.copy(store.path(reference) / "missing.csv", output / "missing_pictures.csv")


def _write_model(
    folder: Path, store: ArtifactStore, parts: RunParts, config: PricingConfig, submission: SubmissionConfig,
    threads: dict[str, int],
) -> None:  # fmt: skip
    shutil.copytree(store.path(parts.features) / "engineer", folder / "engineer")
    for fold, reference in parts.price_features.items():
        shutil.copytree(store.path(reference) / "model", folder / "price_features" / fold_name(fold))
    for name, made in parts.members.items():
        for fold, reference in made.items():
            shutil.copytree(store.path(reference) / "model", folder / "members" / name / fold_name(fold))
    # what is frozen lies once, what is trained a fold; both kinds of encoders are named by their hash
    (folder / "encoders").mkdir()
    if parts.encoded is not None:
        shutil.copytree(store.path(parts.encoded) / "encoders", folder / "encoders", dirs_exist_ok=True)
    for encoder in (folder / "engineer" / "encoders").glob("*/"):
        if (folder / "encoders" / encoder.name).exists():
            shutil.rmtree(encoder)
        else:
            encoder.rename(folder / "encoders" / encoder.name)
    shutil.copytree(store.path(parts.ensemble) / "ensemble", folder / "ensemble")
    write_json(folder / "config.json", config.model_dump(mode="json"))
    members = {name: [fold_name(fold) for fold in made] for name, made in parts.members.items()}
    members["ridge"] = [fold_name(fold) for fold in parts.price_features]
    record = {"format": MODEL_FORMAT, "members": members, "threads": threads, "decimals": submission.decimals}
    write_json(folder / "model.json", record)
