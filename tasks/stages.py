"""The stages as tasks: each a few lines around one library call."""

from pathlib import Path
from typing import Any

from OLD.GBDT import GBDTConfig
from prefect import get_run_logger, task

from pricing.config.catalogue import CatalogueConfig, FoldsConfig, HoldoutConfig, ImagesConfig
from pricing.config.ensemble import EnsembleConfig
from pricing.config.features import FeaturesConfig, PriceFeaturesConfig
from pricing.download.progress import Progress
from pricing.members.multimodal.settings import MultimodalSettings
from pricing.store.artifacts import Reference, key_of, key_parts
from tasks.caching import Runtime, stage_task
from tasks.channel import say

# a network or a disk may be well again in a moment; with jitter, so that shards do not come back together
NETWORK = {"retries": 2, "retry_delay_seconds": [5.0, 20.0], "retry_jitter_factor": 0.5}


@stage_task("catalogue", "pricing.catalogue.ingest")
def read_catalogue(out: Path, *, train: Path, test: Path | None, config: CatalogueConfig, runtime: Runtime) -> None:
    """Read and check the catalogue files."""
    from pricing.catalogue import ingest as stage

    stage.read_catalogue(train, test, config, out)


@stage_task("folds", "pricing.catalogue.ingest")
def assign_folds(
    out: Path, *, catalogue: Reference, folds: FoldsConfig, holdout: HoldoutConfig, seed: int, runtime: Runtime
) -> None:
    """Near-duplicate groups, the hold-out, the folds."""
    from pricing.catalogue import ingest as stage

    stage.assign_folds(runtime.path(catalogue), folds, holdout, seed, out)


@task(name="fetch", task_run_name="fetch shard {shard}", **NETWORK)  # type: ignore[call-overload]
def fetch_shard(
    *, catalogue: dict[str, Any], shard: int, shards: int, before: dict[str, Any] | None, config: ImagesConfig,
    runtime: Runtime,
) -> dict:  # fmt: skip
    """Fetch one shard of the pictures; not cached, because the manifest knows what is there.

    ``before`` is the result of the shard before it, None for the first: shards take turns, so that the limits on
    requests in flight hold over all of them and a full disk stops them all. Returns what all shards so far came to.
    """
    from pricing.download import fetch as images_stage
    from pricing.download.progress import ShardTotals
    from pricing.download.progress_display import progress_lines

    folder = runtime.path(Reference.model_validate(catalogue))
    links = images_stage.catalogue_links(folder)
    ids = images_stage.ids_by_link(folder) if runtime.image_source.kind == "folder" else None
    earlier = ShardTotals.model_validate(before or {})
    with progress_lines(get_run_logger().info) as show:

        def progress(moment: Progress) -> None:
            overall = moment.after(earlier, len(links))
            say(str(overall))
            show(overall)

        report = images_stage.fetch_shard(
            images_stage.shard_of(links, shard, shards), config, runtime.work("images"), source=runtime.image_source,
            sample_ids=ids, threads=runtime.threads, progress=progress,
        )  # fmt: skip
    return earlier.plus(report).model_dump()


@stage_task("images", "pricing.download.fetch")
def collect_images(
    out: Path, *, catalogue: Reference, config: ImagesConfig, origin: str, fetched: dict, runtime: Runtime
) -> None:
    """Table of the pictures that are there."""
    from pricing.download import fetch as images_stage

    work = runtime.work("images")
    images_stage.collect_images(runtime.path(catalogue), config, work, runtime.image_source, out)


@stage_task("features", "pricing.features.build_features")
def build_features(
    out: Path, *, catalogue: Reference, folds: Reference, config: FeaturesConfig, seed: int, runtime: Runtime
) -> None:
    """Features that read no price."""
    from pricing.features import build_features as stage

    stage.build_features(
        runtime.path(catalogue), runtime.path(folds), config, seed, out, threads=runtime.threads,
        cache=runtime.work("embeddings"),
    )  # fmt: skip


@stage_task("price_features", "pricing.features.build_features", "{fold}")
def build_price_features(
    out: Path, *, catalogue: Reference, folds: Reference, features: Reference, config: PriceFeaturesConfig,
    fold: int | None, seed: int, runtime: Runtime,
) -> None:  # fmt: skip
    """Features that read prices, fitted inside the fold; their ridge is a base model."""
    from pricing.features import build_features as stage

    stage.build_price_features(
        runtime.path(catalogue), runtime.path(folds), runtime.path(features), config, fold, seed, out,
        threads=runtime.threads,
    )  # fmt: skip


@stage_task("tune", "pricing.members.tuning.tune", "{member}", together=True)  # workers share a study
def tune_gbdt(
    out: Path, *, catalogue: Reference, folds: Reference, features: Reference, price_features: list[Reference],
    config: GBDTConfig, member: str, seed: int, runtime: Runtime,
) -> None:  # fmt: skip
    """Search one library's settings; the study is kept, and a larger budget goes on with it."""
    from pricing.members.tuning import tune as stage

    # of the search only what a trial depends on: a larger budget goes on with the study
    judged_by = config.model_copy(update={"search": config.search.only("n_splits")})
    read = [catalogue, folds, features, *price_features]
    identity = {"member": member, "seed": seed, "config": judged_by, "read": read}
    study = key_of(key_parts("tune", "pricing.members.tuning.tune", identity))
    stage.tune(
        runtime.path(catalogue), runtime.path(folds), runtime.path(features),
        [runtime.path(made) for made in price_features], config, member, seed, out, runtime.work("studies", study),
        runtime.threads,
    )  # fmt: skip


@stage_task("settings", "pricing.members.tuning.tune", "{member}")
def take_settings(out: Path, *, tuned: Reference, member: str, runtime: Runtime) -> None:
    """The search's choice without its history: a longer search that chooses the same trains nothing again."""
    from pricing.members.tuning import tune as stage

    stage.take_settings(runtime.path(tuned), out)


@stage_task("gbdt", "pricing.members.trees.stage", "{member}-{fold}")
def train_gbdt(
    out: Path, *, catalogue: Reference, folds: Reference, features: Reference, price_features: Reference,
    tuned: Reference | None, config: GBDTConfig, member: str, fold: int | None, seed: int,
    fold_models: list[Reference], runtime: Runtime,
) -> None:  # fmt: skip
    """One library on one fold; with ``fold_models``, the refit at their median best round."""
    from pricing.members.trees import stage

    stage.train_fold(
        runtime.path(catalogue), runtime.path(folds), runtime.path(features), runtime.path(price_features), config,
        member, fold, seed, out, threads=runtime.threads, rounds=_median_round(fold_models, runtime),
        tuned=runtime.path(tuned) if tuned else None,
    )  # fmt: skip


@stage_task("encode", "pricing.members.neural_stage")
def encode(
    out: Path, *, catalogue: Reference, images: Reference | None, config: MultimodalSettings, runtime: Runtime
) -> None:
    """The encoders' frozen parts, once over all texts and pictures."""
    from pricing.members import neural_stage as stage

    table = runtime.path(images) if images else None
    stage.encode(runtime.path(catalogue), table, config, runtime.work("images"), out, threads=runtime.threads)


@stage_task("neural", "pricing.members.neural_stage", "{member}-{fold}")
def train_neural(
    out: Path, *, catalogue: Reference, folds: Reference, features: Reference, price_features: Reference,
    images: Reference | None, encoded: Reference | None, config: MultimodalSettings, member: str, fold: int | None, seed: int,
    fold_models: list[Reference], runtime: Runtime, key: str,
) -> None:  # fmt: skip
    """One network on one fold; a killed training is resumed by the same code and libraries on the same inputs."""
    from pricing.members import neural_stage as stage

    stage.train_fold(
        runtime.path(catalogue), runtime.path(folds), runtime.path(features), runtime.path(price_features),
        runtime.path(images) if images else None, runtime.path(encoded) if encoded else None, config,
        member, fold, seed, out,  # type: ignore[arg-type]
        runtime.paths.checkpoints / key, pictures=runtime.work("images"), threads=runtime.threads,
        epochs=_median_round(fold_models, runtime),
    )  # fmt: skip


@stage_task("ensemble", "pricing.ensemble.fit_ensemble")
def fit_ensemble(
    out: Path, *, catalogue: Reference, folds: Reference, members: dict[str, list[Reference]],
    refits: dict[str, Reference], config: EnsembleConfig, seed: int, floor: dict | None, runtime: Runtime,
) -> None:  # fmt: skip
    """Stack, weights, calibration; the figures."""
    from pricing.ensemble import fit_ensemble as stage

    stage.fit_ensemble(
        runtime.path(catalogue), runtime.path(folds),
        {name: [runtime.path(fold) for fold in folds_] for name, folds_ in members.items()},
        {name: runtime.path(refit) for name, refit in refits.items()}, config, seed, out, floor=floor,
        threads=runtime.threads,
    )  # fmt: skip


def _median_round(fold_models: list[Reference], runtime: Runtime) -> int | None:
    import json
    from statistics import median_low

    records = [json.loads((runtime.path(model) / "member.json").read_text(encoding="utf-8")) for model in fold_models]
    rounds = [int(record["best_round"]) for record in records if record.get("best_round")]
    return median_low(rounds) if rounds else None
