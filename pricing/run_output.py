"""What a run leaves behind: submission, report, figures, and a model folder that prices the next catalogue."""

import json
import shutil
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict

from pricing.artifacts import ArtifactStore, Reference, write_json
from pricing.config import PricingConfig
from pricing.evaluation.report import build_report
from pricing.submission import create_submission

LIBRARIES = (
    "prefect", "polars", "numpy", "scikit-learn", "lightgbm", "xgboost", "catboost", "torch", "transformers", "timm",
)  # fmt: skip


class RunParts(BaseModel):
    """References to a finished run's stage outputs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    catalogue: Reference
    folds: Reference
    features: Reference
    images: Reference | None
    ensemble: Reference
    price_features: dict[int | None, Reference]
    members: dict[str, dict[int | None, Reference]]


def write_outputs(
    output: Path, artifacts: Path, parts: RunParts, config: PricingConfig, *, train: Path, test: Path | None,
    stages: list[dict[str, Any]], threads: dict[str, int],
) -> dict[str, Any]:  # fmt: skip
    """Assemble the run folder beside and put it in place.

    Returns
    -------
    dict
        ``run`` (run.json) and ``metrics`` (metrics.json).
    """
    store = ArtifactStore(artifacts / "store")
    output.parent.mkdir(parents=True, exist_ok=True)
    beside = output.with_name(f".{output.name}.{uuid.uuid4().hex}")
    try:
        (beside / "evaluation").mkdir(parents=True)
        catalogue, ensemble = store.path(parts.catalogue), store.path(parts.ensemble)
        shutil.copy(ensemble / "metrics.json", beside / "metrics.json")
        _write_model(beside / "model", store, parts, config, threads)
        _write_evaluation(beside / "evaluation", store, parts, artifacts, config)
        if (catalogue / "rejected.csv").exists():
            shutil.copy(catalogue / "rejected.csv", beside / "rejected.csv")
        if test is not None:
            create_submission(catalogue, ensemble, config.submission, beside / "submission.csv")
        run = {
            "config": config.model_dump(mode="json"), "seed": config.seed,
            "inputs": {"train": str(train), "test": str(test) if test else None},
            "versions": {name: metadata.version(name) for name in LIBRARIES},
            "folds": config.folds.model_dump(), "refit": config.holdout.refit, "stages": stages,
            "images": describe_images(artifacts, parts.images),
            "catalogue": json.loads((catalogue / "summary.json").read_text(encoding="utf-8")),
            "hashes": {"catalogue": parts.catalogue.digest, "ensemble": parts.ensemble.digest},
        }  # fmt: skip
        write_json(beside / "run.json", run)
        build_report(beside, config.report)
        _put_in_place(beside, output)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return {"run": run, "metrics": json.loads((output / "metrics.json").read_text(encoding="utf-8"))}


def describe_images(artifacts: Path, reference: Reference | dict | None) -> dict[str, Any]:
    """Pictures requested, present and failed by reason, as run.json has it."""
    if reference is None:
        return {"requested": 0, "present": 0, "failed": {}}
    found = Reference.model_validate(reference)
    path = ArtifactStore(artifacts / "store").path(found) / "summary.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _write_model(
    folder: Path, store: ArtifactStore, parts: RunParts, config: PricingConfig, threads: dict[str, int]
) -> None:
    shutil.copytree(store.path(parts.features) / "engineer", folder / "engineer")
    for fold, reference in parts.price_features.items():
        shutil.copytree(store.path(reference) / "model", folder / "price_features" / fold_name(fold))
    for name, made in parts.members.items():
        for fold, reference in made.items():
            copy = folder / "members" / name / fold_name(fold)
            shutil.copytree(store.path(reference) / "model", copy)
            for encoder in copy.glob("*_encoder"):  # the same in every fold: it lies once, beside them
                if (copy.parent / encoder.name).exists():
                    shutil.rmtree(encoder)
                else:
                    encoder.rename(copy.parent / encoder.name)
    shutil.copytree(store.path(parts.ensemble) / "ensemble", folder / "ensemble")
    write_json(folder / "config.json", config.model_dump(mode="json"))
    members = {name: [fold_name(fold) for fold in made] for name, made in parts.members.items()}
    members["ridge"] = [fold_name(fold) for fold in parts.price_features]
    write_json(folder / "model.json", {"format": 1, "members": members, "threads": threads})


def fold_name(fold: int | None) -> str:
    """Folder name of a fold; the refit has a name of its own."""
    return "refit" if fold is None else f"fold_{fold}"


def _write_evaluation(
    folder: Path, store: ArtifactStore, parts: RunParts, artifacts: Path, config: PricingConfig
) -> None:
    for name in ("oof.parquet", "holdout.parquet"):
        shutil.copy(store.path(parts.ensemble) / name, folder / name)
    importances, curves = [], []
    for name, made in parts.members.items():
        for fold, reference in made.items():
            path = store.path(reference)
            if (path / "importance.parquet").exists():
                importances.append(pl.read_parquet(path / "importance.parquet").with_columns(member=pl.lit(name)))
            if fold is not None and (path / "curves.parquet").exists():
                curve = pl.read_parquet(path / "curves.parquet")
                curve = curve.rename({"epoch": "round"}) if "epoch" in curve.columns else curve
                curves.append(curve.with_columns(member=pl.lit(name), fold=pl.lit(fold, pl.Int32)))
    if importances:
        pl.concat(importances, how="diagonal_relaxed").group_by("member", "feature").agg(
            pl.col("importance").mean()
        ).sort("member", "importance", "feature", descending=[False, True, False]).write_parquet(
            folder / "importance.parquet"
        )
    if curves:
        pl.concat(curves, how="diagonal_relaxed").write_parquet(folder / "curves.parquet")
    _write_products(folder, store, parts, artifacts, config)


def _write_products(
    folder: Path, store: ArtifactStore, parts: RunParts, artifacts: Path, config: PricingConfig
) -> None:
    """Texts of the evaluated rows, and small pictures of the worst hold-out errors."""
    products = pl.read_parquet(store.path(parts.catalogue) / "train.parquet").drop("price")
    if parts.images is None:
        products = products.with_columns(picture=pl.lit(None, pl.String))
    else:
        table = pl.read_parquet(store.path(parts.images) / "images.parquet").select("image_link", picture="file")
        products = products.join(table, on="image_link", how="left", maintain_order="left")
    products.write_parquet(folder / "products.parquet")
    holdout = pl.read_parquet(folder / "holdout.parquet")
    error = (pl.col("stack").log() - pl.col("price").log()).abs()
    worst = holdout.sort(error, descending=True).head(config.report.worst).join(products, on="sample_id")
    from PIL import Image

    for sample_id, picture in worst.select("sample_id", "picture").drop_nulls().iter_rows():
        source = artifacts / "work" / "images" / picture
        if source.exists() and "/" not in sample_id:
            (folder / "pictures").mkdir(exist_ok=True)
            with Image.open(source) as image:
                image.thumbnail((160, 160))
                image.convert("RGB").save(folder / "pictures" / f"{sample_id}.jpg", quality=85)


def _put_in_place(beside: Path, output: Path) -> None:
    """Entry by entry, so that other files of the user's in the folder stay."""
    output.mkdir(exist_ok=True)
    for entry in sorted(beside.iterdir()):
        target = output / entry.name
        if target.is_dir():
            shutil.rmtree(target)
        entry.replace(target)
