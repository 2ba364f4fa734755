"""Price new products with a finished run's model folder, anywhere."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pricing.catalogue.split import UNLABELLED
from pricing.config.catalogue import ImagesConfig
from pricing.configuration import PricingConfig
from pricing.download.progress import ProgressCallback
from pricing.download.sources import ImageSource
from pricing.errors import ArtifactError, InputError
from pricing.metrics.rounding import DEFAULT_DECIMALS
from pricing.run.parts import MODEL_FORMAT
from pricing.run_progress import RunProgress, Step

__all__ = ["ScoredPrices", "describe_pictures", "fetch_pictures", "reads_pictures", "score_catalogue"]


@dataclass(frozen=True)
class ScoredPrices:
    """Prices of new products.

    Attributes
    ----------
    price : ndarray of shape (n,)
        Positive, unrounded; the same to the last bit whatever other rows are priced with a row. Rounded to
        ``decimals``, on a run's own test rows exactly those of its submission.
    intervals : dict of str to ndarray of shape (n,)
        Prices at the ends of the prediction intervals: ``low_80``, ``high_80``, ``low_95``, ``high_95``.
    decimals : int
        Decimals that the run rounds its prices to in the files that people read.
    comparables : DataFrame, optional
        The table of `pricing.features.comparables.find_comparables`, where comparables were asked for.
    """

    price: NDArray[np.float64]
    intervals: dict[str, NDArray[np.float64]]
    decimals: int
    comparables: pl.DataFrame | None = None


def score_catalogue(
    model: Path,
    frame: pl.DataFrame,
    *,
    images: pl.DataFrame | None = None,
    pictures: Path | None = None,
    comparables: int = 0,
    threads: int | None = None,
    progress: RunProgress | None = None,
) -> ScoredPrices:
    """Price new products.

    Parameters
    ----------
    model : Path
        The ``model`` folder of a run.
    frame : DataFrame
        sample_id, catalog_content, image_link.
    images : DataFrame, optional
        images.parquet of the download stage for these rows; without it every picture counts as missing.
    pictures : Path, optional
        Folder that ``images``' files are relative to.
    comparables : int
        How many of the run's labelled products each row is compared with: those that the refit learnt from or, without
        a refit, the first fold. 0 looks none up.
    threads : int, optional
        By default those of the run's two branches together. Prices do not depend on it, bit for bit: tried with 1 to
        8 on trees and networks, with up to 64 on products of matrices (AMD EPYC, torch 2.13).
    progress : RunProgress, optional
        Told of every step.

    Raises
    ------
    ArtifactError
        The folder is not a whole model.
    SchemaError
        Comparables are asked of a run that compared no products.
    InputError
        ``images`` are given without ``pictures``: the prices would silently be those without any picture.
    """
    from pricing.ensemble.stack import Ensemble
    from pricing.features.engineer import FeatureEngineer
    from pricing.features.price_features import PriceFeatures
    from pricing.members import neural_stage as neural
    from pricing.members.trees import stage as gbdt
    from pricing.metrics.price_metrics import log_to_price

    if images is not None and pictures is None:
        raise InputError(
            "score_catalogue: images without pictures; give the folder that their files lie in, which is the work "
            "folder that fetch_pictures was given"
        )
    try:
        record = json.loads((model / "model.json").read_text(encoding="utf-8"))
        found, members = record["format"], record["members"]
        threads = threads or sum(record["threads"].values())
        decimals = int(record.get("decimals", DEFAULT_DECIMALS))  # earlier runs did not round
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{model}: is not a model folder ({error!r}); give the model folder of a run") from None
    if found != MODEL_FORMAT:
        raise ArtifactError(
            f"{model / 'model.json'}: format {found!r}, this version reads {MODEL_FORMAT}; score with the version that "
            "trained the model, or run again"
        )
    step_done = _steps(members, progress or RunProgress())
    engineer = FeatureEngineer.load(model / "engineer", model / "encoders", threads)
    features = engineer.transform(frame)
    step_done()
    price_features, ridge, similar = {}, {}, None
    asked = "refit" if "refit" in members["ridge"] else members["ridge"][0]
    for fold in members["ridge"]:
        fitted = PriceFeatures.load(model / "price_features" / fold)
        price_features[fold] = fitted.transform(features)
        ridge[fold] = fitted.predict_ridge(features)
        if comparables > 0 and fold == asked:
            if engineer.index is None:
                raise ArtifactError(f"{model / 'engineer'}: has no index of products; give the model folder of a run")
            similar = fitted.comparables(features, engineer.index.products, comparables)
        step_done()
    predicted = {"ridge": _average(ridge)}
    for name in sorted(set(members) - {"ridge"}):
        folds = {}
        with TemporaryDirectory(prefix="pricing-") as encoded:
            for fold in members[name]:
                folder = model / "members" / name / fold
                if name in get_args(neural.Member):
                    folds[fold] = neural.predict_member(
                        folder, frame, features, price_features[fold], images, pictures, encoders=model / "encoders",
                        encoded=Path(encoded), threads=threads,
                    )  # fmt: skip
                else:
                    folds[fold] = gbdt.predict_member(folder, features, price_features[fold], threads=threads)
                step_done()
        predicted[name] = _average(folds)
    ensemble = Ensemble.load(model / "ensemble")
    log_price = ensemble.predict(predicted)
    ends = ensemble.predict_intervals(predicted, log_price)
    intervals = {name: log_to_price(values) for name, values in ends.items()}
    return ScoredPrices(log_to_price(log_price), intervals, decimals, similar)


def _steps(members: Mapping[str, list[str]], progress: RunProgress) -> Callable[[], None]:
    """Tell the progress what is to be done, in its order; what is called at the end of each step."""
    names = ["ridge", *sorted(set(members) - {"ridge"})]
    steps = [Step("score", name, fold.removeprefix("fold_")) for name in names for fold in members[name]]
    numbers = iter([progress.submit(step) for step in (Step("features"), *steps)])
    return lambda: progress.finish(next(numbers))


def _average(folds: dict[str, np.ndarray]) -> np.ndarray:
    """Mean of the fold models, averaged with the refit: the ensemble stage's own arithmetic, in its order."""
    models = [log_price for fold, log_price in folds.items() if fold != "refit"]
    mean = np.zeros(len(models[0]))
    for log_price in models:
        mean += log_price / len(models)
    return (mean + folds["refit"]) / 2 if "refit" in folds else mean


def reads_pictures(config: PricingConfig) -> bool:
    """Whether a run's prices depend on pictures: only one network looks at them, and both may be switched off."""
    return config.images.enabled and "multimodal" in config.neural.members and config.neural.image.enabled


def fetch_pictures(
    frame: pl.DataFrame,
    config: ImagesConfig,
    source: ImageSource,
    work: Path,
    *,
    progress: ProgressCallback | None = None,
) -> pl.DataFrame:
    """Fetch the pictures of new products; the download stage's table, in which those that failed are marked.

    Parameters
    ----------
    frame : DataFrame
        Has ``sample_id`` and ``image_link``.
    work : Path
        The downloader's work folder; what it knows is not fetched again.
    progress : callable, optional
        As `pricing.download.shards.fetch_shard` takes it.
    """
    from pricing.download.fetch import catalogue_links, collect_images, ids_by_link
    from pricing.download.shards import fetch_shard

    with TemporaryDirectory(prefix="pricing-") as folder:
        catalogue = Path(folder)
        frame.write_parquet(catalogue / UNLABELLED)
        ids = ids_by_link(catalogue) if source.kind == "folder" else None
        fetch_shard(catalogue_links(catalogue), config, work, source=source, sample_ids=ids, progress=progress)
        collect_images(catalogue, config, source.origin, None, work, source, catalogue)
        return pl.read_parquet(catalogue / "images.parquet")


def describe_pictures(images: pl.DataFrame, config: ImagesConfig, source: ImageSource, work: Path) -> dict[str, Any]:
    """Say what became of pictures, as run.json says it under ``images``.

    Parameters
    ----------
    images : DataFrame
        As `fetch_pictures` returns it for the same ``config``, ``source`` and ``work``.
    """
    from pricing.download.lost_images import describe_download

    failed = images.filter(pl.col("status") != "ok")["reason"].value_counts().sort("reason")
    return {
        "requested": images.height,
        "present": images.height - int(failed["count"].sum()),
        "failed": dict(failed.iter_rows()),
        **describe_download(images, config, source.origin, work, scoring=True),
    }
