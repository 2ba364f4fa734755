"""One flow a stage: what it needs before it comes from the cache or is made; the tasks are the parent flow's."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from flows.graph import Graph, open_graph
from flows.one_run import one_run
from flows.parameters import OptionalFile, OptionalImages, Overrides, check_inputs, resolve
from flows.pricing_flow import pricing_flow
from pricing.errors import ConfigError
from pricing.members.predictions import oof_smapes
from pricing.run.output_folder import check_stage_output
from pricing.run.outputs import (
    copy_missing_pictures,
    copy_rejected,
    copy_searches,
    describe_catalogue,
    describe_images,
    describe_networks,
)  # fmt: skip
from pricing.store.artifacts import Reference, write_json

STAGES = {
    "download": lambda graph: graph.images,
    "features": lambda graph: (graph.features, graph.price_features),
    "tune": lambda graph: graph.tuned,
    "gbdt": lambda graph: graph.gbdt,
    "neural": lambda graph: graph.neural,
    "ensemble": lambda graph: graph.ensemble,
}
MEMBERS = {
    "features": lambda graph: {"ridge": graph.price_features},
    "gbdt": lambda graph: graph.gbdt,
    "neural": lambda graph: graph.neural,
}


@pricing_flow("pricing-stage", flow_run_name="stage {stage}")
def run_stage(
    stage: str,
    train: Path,
    output: Path,
    test: OptionalFile = None,
    preset: str = "cpu",
    images: OptionalImages = None,
    overrides: Overrides = None,
) -> dict[str, Any]:
    """Run one stage and what it needs before it; writes run.json and, where models are made, metrics.json.

    Parameters
    ----------
    stage : str
        download, features, tune, gbdt, neural or ensemble.
    train, output, test, preset, images, overrides
        As in `flows.pipeline.price_catalogue`; the folder gets what the stage makes.

    Returns
    -------
    dict
        ``run`` (run.json) and ``metrics`` (metrics.json or None).

    Raises
    ------
    ConfigError
        There is no such stage, or it is the search and has no budget.
    """
    if stage not in STAGES:
        raise ConfigError(f"no stage {stage!r}; there are {', '.join(STAGES)}")
    config, source = resolve(preset, overrides, images)
    if stage == "tune" and not config.gbdt.search.enabled:
        raise ConfigError("the search has no budget; set gbdt.search.trials or gbdt.search.seconds")
    check_stage_output(output)
    check_inputs(train, test, config, learns=stage != "download")
    # several workers share a search
    alone = nullcontext() if stage == "tune" else one_run(config.paths)
    with alone, open_graph(train, test, config, source) as graph:
        STAGES[stage](graph)
        stages = graph.finish()
        metrics = _metrics(stage, graph)
        catalogue = graph.runtime.path(Reference.model_validate(graph.catalogue.result()))
        # what the stage did not need was not asked for
        asked = graph.__dict__.get("images")
        pictures = Reference.model_validate(asked.result()) if asked is not None else None
        searched = graph.__dict__.get("tuned", {})
        searches = {name: Reference.model_validate(future.result()) for name, future in searched.items()}
        networks = {
            name: {fold: Reference.model_validate(future.result()) for fold, future in made.items()}
            for name, made in graph.__dict__.get("neural", {}).items()
        }
    store = graph.runtime.store
    run = {"stage": stage, "stages": stages,
           "images": None if pictures is None else describe_images(store, pictures, graph.runtime.paths.work),
           "networks": describe_networks(store, networks), "catalogue": describe_catalogue(catalogue),
           "config": config.model_dump(mode="json"),
           "inputs": {"train": str(train), "test": str(test) if test else None}}  # fmt: skip
    output.mkdir(parents=True, exist_ok=True)
    copy_searches(store, searches, output)
    copy_missing_pictures(store, pictures, output)
    copy_rejected(catalogue, output)
    write_json(output / "run.json", run)
    if metrics:
        write_json(output / "metrics.json", metrics)
    return {"run": run, "metrics": metrics}


def _metrics(stage: str, graph: Graph) -> dict[str, Any] | None:
    """Out-of-fold figures of the members that the stage makes; all that the ensemble knows, if it is that stage."""
    path = graph.runtime.path
    if stage == "ensemble":
        record = path(Reference.model_validate(graph.ensemble.result())) / "metrics.json"
        return dict(json.loads(record.read_text(encoding="utf-8")))
    if stage not in MEMBERS:
        return None
    outputs = {
        name: [path(Reference.model_validate(made.result())) for fold, made in folds.items() if fold is not None]
        for name, folds in MEMBERS[stage](graph).items()
    }
    catalogue, folds = (path(Reference.model_validate(made.result())) for made in (graph.catalogue, graph.folds))
    return oof_smapes(catalogue, folds, outputs)
