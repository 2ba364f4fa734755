"""The parent flow: the whole DAG on one screen.

::

    catalogue -> folds -> features -+--> GBDT branch (library x fold) --+
        |                           |                                   +--> ensemble -> outputs
        +-> pictures (shards) ------+--> neural branch (network x fold) +
"""

import json
from pathlib import Path
from typing import Annotated, Any

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from pydantic import Field

from flows.graph import TABLES, open_graph
from flows.one_run import one_run
from flows.parameters import OptionalFile, OptionalImages, Overrides, check_inputs, check_machine, resolve
from flows.pricing_flow import pricing_flow
from pricing.configuration import PricingConfig
from pricing.download.sources import ImageSource
from pricing.report.markdown import run_markdown
from pricing.run.output_folder import check_output
from pricing.run.outputs import write_outputs
from pricing.run.parts import RunParts
from pricing.run_progress import Step
from pricing.sample.generate import generate_sample
from pricing.sample.serving import serve_folder


@pricing_flow("pricing")
def price_catalogue(
    train: Path,
    output: Path,
    test: OptionalFile = None,
    preset: str = "cpu",
    images: OptionalImages = None,
    overrides: Overrides = None,
) -> dict[str, Any]:
    """Learn from a catalogue with prices, price another one, and say how well.

    Parameters
    ----------
    train : Path
        Catalogue file to learn from, CSV or Parquet: sample_id, catalog_content, image_link, price.
    output : Path
        Folder for submission.csv, report.html, metrics.json, run.json, plots/ and model/.
    test : Path, optional
        Catalogue file to price, the same columns without price. Without it there is no submission.
    preset : str
        Settings to start from: demo, cpu, best, full, or the path of a TOML file.
    images : str or Path, optional
        Folder that holds the images, or the address of a mirror (http://HOST or https://HOST) that replaces scheme,
        host and port of the links. Without it images are fetched from their links.
    overrides : dict, optional
        Settings laid over the preset, as JSON: {"seed": 1, "gbdt.lightgbm.rounds": 500, "folds": {"n_splits": 3}}.

    Returns
    -------
    dict
        metrics.json.
    """
    config, source = resolve(preset, overrides, images)
    check_output(output)
    check_inputs(train, test, config)
    with one_run(config.paths):
        return run_pipeline(train, output, test, config, source)


@pricing_flow("pricing-sample")
def price_sample(
    output: Path, rows: Annotated[int, Field(ge=50)] = 1500, preset: str = "demo", overrides: Overrides = None
) -> dict[str, Any]:
    """The whole pipeline on the generated sample catalogue, its images served on loopback.

    Parameters
    ----------
    output : Path
        Folder for submission.csv, report.html, metrics.json, run.json, plots/ and model/.
    rows : int
        Number of training rows, at least 50; a third as many are priced.
    preset : str
        Settings to start from: demo, cpu, best, full, or the path of a TOML file.
    overrides : dict, optional
        Settings laid over the preset, as JSON: {"seed": 1, "gbdt.lightgbm.rounds": 500, "folds": {"n_splits": 3}}.

    Returns
    -------
    dict
        metrics.json.
    """
    config, _ = resolve(preset, overrides)
    check_output(output)
    check_machine(config)
    with one_run(config.paths):
        return _run_sample(output, rows, config)


def _run_sample(output: Path, rows: int, config: PricingConfig) -> dict[str, Any]:
    folder = config.paths.work / "sample" / f"{rows}-{config.seed}"
    sample = generate_sample(folder, rows=rows, test_rows=max(20, rows // 3), seed=config.seed)
    floor = {"smape": json.loads(sample.floor_file.read_text(encoding="utf-8"))["smape"]}
    images = config.images.model_copy(update={"allow_hosts": (*config.images.allow_hosts, "127.0.0.1")})
    with serve_folder(sample.images or sample.folder) as address:
        return run_pipeline(
            sample.train, output, sample.test, config.model_copy(update={"images": images}),
            ImageSource.mirror(address), floor,
        )  # fmt: skip


def run_pipeline(
    train: Path, output: Path, test: Path | None, config: PricingConfig, image_source: ImageSource,
    floor: dict[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The DAG. Returns metrics.json."""
    with open_graph(train, test, config, image_source, floor) as graph:
        catalogue, folds, features = graph.catalogue, graph.folds, graph.features
        price_features = graph.price_features  # and with them the ridge, the first base model
        images = graph.images  # only the networks wait for pictures
        searches = graph.tuned  # none without a budget
        gbdt = graph.gbdt  # runs beside
        neural = graph.neural
        ensemble = graph.ensemble
        writing = graph.progress.submit(Step("outputs", lane=TABLES))
        stages = graph.finish()
        parts = RunParts(
            catalogue=catalogue.result(), folds=folds.result(), features=features.result(),
            images=images.result() if images else None, ensemble=ensemble.result(),
            encoded=graph.encoded.result() if "multimodal" in neural else None,
            price_features={fold: future.result() for fold, future in price_features.items()},
            members={name: {fold: future.result() for fold, future in made.items()}
                     for name, made in (gbdt | neural).items()},
            searches={name: future.result() for name, future in searches.items()},
        )  # fmt: skip
        run = write_outputs(output, parts, config, train=train, test=test, stages=stages, threads=graph.threads)
        graph.progress.finish(writing)
    publish(run)
    get_run_logger().info("submission, report, metrics and model in %s", output)
    return run["metrics"]


def publish(run: dict[str, Any]) -> None:
    """Put the figures on the run's Artifacts page."""
    create_markdown_artifact(
        key="pricing-report", markdown=run_markdown(run["metrics"], run["run"]), description="What the run reached"
    )
    rows = [{"model": name, **figures} for name, figures in sorted(run["metrics"]["models"].items())]
    create_table_artifact(key="pricing-models", table=rows, description="SMAPE of every base model, percent")
    keep = ("label", "seconds", "cached", "threads")
    table = [{name: stage[name] for name in keep} for stage in run["run"]["stages"]]
    create_table_artifact(key="pricing-stages", table=table, description="Seconds of every stage")
