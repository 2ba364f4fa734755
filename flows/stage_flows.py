"""One flow a stage: what it needs before it comes from the cache or is made; the tasks are the parent flow's."""

from pathlib import Path
from typing import Any

from prefect import flow

from flows.graph import Graph, open_graph
from pricing.artifacts import write_json
from pricing.catalogue.sources import ImageSource
from pricing.config import PricingConfig
from pricing.errors import ConfigError
from pricing.run_output import describe_images

STAGES = {
    "download": lambda graph: graph.images,
    "features": lambda graph: (graph.features, graph.price_features),
    "gbdt": lambda graph: graph.gbdt,
    "neural": lambda graph: graph.neural,
    "ensemble": lambda graph: graph.ensemble,
}


DEFAULT_CONFIG, WEB = PricingConfig(), ImageSource()


@flow(name="pricing-stage", flow_run_name="stage {stage}", validate_parameters=True)
def run_stage(
    stage: str,
    train: Path,
    output: Path,
    test: Path | None = None,
    config: PricingConfig = DEFAULT_CONFIG,
    image_source: ImageSource = WEB,
) -> dict[str, Any]:
    """Run one stage and what it needs before it; writes run.json into ``output``.

    Raises
    ------
    ConfigError
        There is no such stage.
    """
    if stage not in STAGES:
        raise ConfigError(f"no stage {stage!r}; there are {', '.join(STAGES)}")
    with open_graph(train, test, config, image_source) as graph:
        STAGES[stage](graph)
        stages = graph.finish()
        run = {"stage": stage, "stages": stages, "images": _images(graph), "config": config.model_dump(mode="json"),
               "inputs": {"train": str(train), "test": str(test) if test else None}}  # fmt: skip
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "run.json", run)
    return run


def _images(graph: Graph) -> dict[str, Any] | None:
    asked = graph.__dict__.get("images")
    return describe_images(graph.runtime.artifacts, asked.result()) if asked is not None else None
