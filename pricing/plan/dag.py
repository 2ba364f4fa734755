"""The whole DAG of a run, as data.

::

    catalogue -> folds -> features -+--> trees (member x fold) -----+
        |                           |                               +--> ensemble -> outputs
        +-> images (shards) --------+--> networks (member x fold) --+

`make_plan` makes the steps of one run; nothing else knows their order. Who runs them: `pricing.plan.local_runner`, or
the flows, as Prefect tasks.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pricing.catalogue.split import fold_name
from pricing.configuration import PricingConfig
from pricing.download.sources import ImageSource
from pricing.members.contract import Lane, Member, MemberSettings, Reads
from pricing.members.registry import member_class, member_line
from pricing.plan.step import Step
from pricing.store.stages import Stage

__all__ = ["Plan", "make_plan"]

TREES, NETWORKS, DOWNLOAD = Lane.TREES, Lane.NETWORKS, Lane.DOWNLOAD


@dataclass
class Plan:
    """The steps of a run, each after those that it needs, and those that others ask for by what they are."""

    steps: list[Step] = field(default_factory=list)
    members: dict[str, dict[str, Step]] = field(default_factory=dict)
    """Member to its steps by fold name."""
    searches: dict[str, Step] = field(default_factory=dict)
    """Member to its search."""

    def add(self, stage: Stage, name: str, run: str, lane: Lane, inputs: dict[str, Any], **options: Any) -> Step:
        """Add a step and return it."""
        step = Step(stage, name, run, lane, inputs, **options)
        self.steps.append(step)
        return step

    def find(self, name: str) -> Step | None:
        """Return the last step of a name, or None."""
        return next((step for step in reversed(self.steps) if step.name == name), None)


# fmt: off
def make_plan(
    config: PricingConfig, train: Path, test: Path | None, source: ImageSource, links: int = 0,
    floor: dict[str, Any] | None = None,
) -> Plan:
    """Make the steps of a run.

    Parameters
    ----------
    config : PricingConfig
        All settings; a step gets only those that it reads.
    train, test : Path
        Catalogue files.
    source : ImageSource
        Where images come from.
    links : int
        Number of distinct image links in the catalogue, which are fetched in shards.
    floor : dict, optional
        What the noise of a generated catalogue leaves to anybody, for metrics.json.
    """
    plan, seed = Plan(), config.seed
    catalogue = plan.add(
        Stage.CATALOGUE, "catalogue", "pricing.catalogue.ingest:read_catalogue", TREES,
        {"train": train, "test": test, "config": config.catalogue}, words="reading the catalogue", seconds=0.1,
    )
    folds = plan.add(
        Stage.FOLDS, "folds", "pricing.catalogue.assign_folds:assign_folds", TREES,
        {"catalogue": catalogue, "folds": config.folds, "holdout": config.holdout, "seed": seed},
        words="assigning folds", seconds=0.1,
    )
    images = _add_images(plan, config, source, catalogue, links) if config.images.enabled else None
    features = plan.add(
        Stage.FEATURES, "features", "pricing.features.build_features:build_features", TREES,
        {"catalogue": catalogue, "folds": folds, "config": config.features.without("price"),
         "columns": config.catalogue.roles, "seed": seed},
        spreads=True, words="building features", seconds=43.0,
    )
    rows = {"catalogue": catalogue, "folds": folds, "features": features}
    price_features = {
        fold_name(fold): plan.add(
            Stage.FEATURES, "price_features", "pricing.features.build_price_features:build_price_features", TREES,
            {**rows, "config": config.features.price, "fold": fold, "seed": seed}, slot=_slot(fold),
            words=f"price features, {_fold_words(fold)}", seconds=1.0,
        )
        for fold in _folds(config)
    }
    prepared = {
        name: plan.add(
            member_class(name).stage, "encode", run, member_class(name).lane,
            {"catalogue": catalogue, "images": images, "settings": member_class(name).prepare_settings(settings)},
            slot=name, words="encoding texts and images", seconds=27.0,
        )
        for name, settings in config.enabled_members().items()
        if (run := member_class(name).prepare)
    }
    for name, settings in config.enabled_members().items():
        tuned = _add_search(plan, config, name, settings, rows, price_features)
        _add_member(plan, config, name, settings, rows, price_features, images, prepared.get(name), tuned)
    fold_models = {name: [made[fold] for fold in made if fold != "refit"] for name, made in plan.members.items()}
    refits = {name: made["refit"] for name, made in plan.members.items() if "refit" in made}
    ensemble = plan.add(
        Stage.ENSEMBLE, "ensemble", "pricing.ensemble.fit_ensemble:fit_ensemble", TREES,
        {"catalogue": catalogue, "folds": folds, "members": fold_models, "refits": refits, "config": config.ensemble,
         "seed": seed, "floor": floor},
        spreads=True, words="stacking", seconds=1.3,
    )
    plan.add(
        Stage.SUBMISSION, "outputs", "pricing.run.outputs:write_outputs", TREES,
        {**rows, "images": images, "prepared": prepared, "ensemble": ensemble, "price_features": price_features,
         "members": plan.members, "searches": plan.searches, "report": config.report, "submission": config.submission,
         "seed": seed},
        spreads=True, words="writing prices, plots and the model", seconds=1.5,
    )
    return plan


def _add_images(plan: Plan, config: PricingConfig, source: ImageSource, catalogue: Step, links: int) -> Step:
    """Add the shards, one after another so that the limits on requests hold over all of them, and their table."""
    shards, fetched = max(1, -(-links // config.images.shard_size)), None
    for shard in range(shards):
        fetched = plan.add(
            Stage.DOWNLOAD, "fetch", "pricing.download.shards:download_shard", DOWNLOAD,
            {"catalogue": catalogue, "shard": shard, "shards": shards, "before": fetched, "config": config.images},
            slot=f"shard {shard}", cached=False, retries=2, words="downloading images", seconds=5.0, share=1 / shards,
        )
    return plan.add(
        Stage.DOWNLOAD, "images", "pricing.download.fetch:collect_images", DOWNLOAD,
        {"catalogue": catalogue, "config": config.images, "origin": source.origin, "fetched": fetched},
        words="listing images", seconds=0.5,
    )


def _add_search(
    plan: Plan, config: PricingConfig, name: str, settings: MemberSettings, rows: dict[str, Step],
    price_features: dict[str, Step],
) -> Step | None:
    """Add a member's search for settings, and its choice without its history: what training reads."""
    if not (config.tuning.enabled and member_class(name).searched):
        return None
    judged_by = list(price_features.values())[: config.tuning.n_splits]
    plan.searches[name] = plan.add(
        Stage.TUNE, "tune", "pricing.members.tuning.tune:tune_member", TREES,
        {**rows, "member": member_line(name), "price_features": judged_by, "settings": settings,
         "tuning": config.tuning, "seed": config.seed},
        slot=name, code=_code(name), together=True, words=f"searching settings of {_words(name)}", seconds=30.0,
    )
    return plan.add(
        Stage.TUNE, "settings", "pricing.members.tuning.tune:take_settings", TREES, {"tuned": plan.searches[name]},
        slot=name, words=f"taking the settings of {_words(name)}",
    )


def _add_member(
    plan: Plan, config: PricingConfig, name: str, settings: MemberSettings, rows: dict[str, Step],
    price_features: dict[str, Step], images: Step | None, prepared: Step | None, tuned: Step | None,
) -> None:
    """Add a member's folds and, after them, its refit."""
    member, made = member_class(name), plan.members.setdefault(name, {})
    inputs: dict[str, Any] = {**rows, "member": member_line(name), "settings": settings, "seed": config.seed}
    if Reads.IMAGES in member.reads:
        inputs |= {"images": images, "prepared": prepared}
    if tuned is not None:
        inputs["tuned"] = tuned
    for fold in _folds(config):
        own: dict[str, Any] = {"fold": fold}
        if Reads.PRICE_FEATURES in member.reads:
            own["price_features"] = price_features[fold_name(fold)]
        if fold is None:
            if not member.refits(settings):
                continue
            own["fold_models"] = list(made.values())
        made[fold_name(fold)] = plan.add(
            member.stage, member.stage.value, "pricing.members.train_fold:train_fold", _lane(member, fold, config),
            inputs | own, slot=f"{name}-{_slot(fold)}", code=_code(name),
            words=f"training {_words(name)}, {_fold_words(fold)}", seconds=member.seconds,
        )


# fmt: on
def _lane(member: type[Member[Any]], fold: int | None, config: PricingConfig) -> Lane:
    late = config.folds.n_splits - config.resources.encoder_folds_beside
    return TREES if member.shares_lanes and fold is not None and fold >= late else member.lane


def _folds(config: PricingConfig) -> list[int | None]:
    """Folds to train; None is the refit on all labelled rows."""
    return [*range(config.folds.n_splits), *([None] if config.holdout.refit else [])]


def _code(name: str) -> tuple[str, ...]:
    return (member_line(name).partition(":")[0],)


def _slot(fold: int | None) -> str:
    return "refit" if fold is None else str(fold)


def _fold_words(fold: int | None) -> str:
    return "all rows" if fold is None else f"fold {fold}"


def _words(name: str) -> str:
    return name.replace("_", " ")
