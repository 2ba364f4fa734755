"""The flows: the whole run, the same on the sample catalogue, and one stage alone. `pricing.plan.dag` has the steps."""

from pathlib import Path
from typing import Annotated, Any

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from flows.one_run import one_run
from flows.parameters import OptionalFile, OptionalImages, Overrides
from flows.prefect_runner import run_with_prefect
from flows.pricing_flow import pricing_flow
from pricing.configuration import load_config
from pricing.download.sources import ImageSource
from pricing.plan.opening import OpenedRun, check_machine
from pricing.plan.results import FinishedPlan
from pricing.report.markdown import run_markdown
from pricing.run.output_folder import check_output, check_stage_output
from pricing.sample.served import LOOPBACK, served_sample
from pricing.store.stages import Stage
from tasks.run_page import plot_address, rename_run

PLOTS = ("predictions", "error_by_price", "importance", "training_curves")
"""Plots of the run's report that are shown in the UI."""


@pricing_flow("pricing", flow_run_name="{train.name}, {preset}")
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
        Catalogue file to learn from (CSV, JSON lines, Parquet, Excel), with the columns of catalogue.columns;
        without that setting sample_id, catalog_content, image_link, price.
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
        Settings laid over the preset, as JSON: {"seed": 1, "members.lightgbm.rounds": 500, "folds": {"n_splits": 3}}.

    Returns
    -------
    dict
        metrics.json.
    """
    config, source = load_config(preset, overrides or {}), ImageSource.of(images)
    check_output(output)
    with one_run(config.paths):
        opened = OpenedRun.open(train, test, config, source)
        rename_run(f"{train.name}, {preset}, {opened.labelled:,} rows")
        return _finish(run_with_prefect(opened), output)


@pricing_flow("pricing-sample", flow_run_name="sample, {preset}, {rows:,} rows")
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
        Settings laid over the preset, as JSON: {"seed": 1, "members.lightgbm.rounds": 500, "folds": {"n_splits": 3}}.

    Returns
    -------
    dict
        metrics.json.
    """
    config = load_config(preset, overrides or {})
    check_output(output)
    check_machine(config)
    with one_run(config.paths), served_sample(config.paths.work, rows, config.seed) as sample:
        config = config.allow_host(LOOPBACK)
        source = ImageSource.mirror(sample.mirror)
        opened = OpenedRun.open(sample.train, sample.test, config, source, floor=sample.floor)
        return _finish(run_with_prefect(opened), output)


@pricing_flow("pricing-stage", flow_run_name="stage {stage}: {train.name}, {preset}")
def run_stage(
    stage: Stage,
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
    stage : Stage
        download, features, tune, gbdt, neural or ensemble, among others.
    train, output, test, preset, images, overrides
        As in `price_catalogue`; the folder gets what the stage makes.

    Returns
    -------
    dict
        ``run`` (run.json) and ``metrics`` (metrics.json or None).
    """
    config, source = load_config(preset, overrides or {}), ImageSource.of(images)
    check_stage_output(output)
    with one_run(config.paths, alone=stage is not Stage.TUNE):  # several workers share a search
        opened = OpenedRun.open(train, test, config, source, stage=stage)
        rename_run(f"stage {stage}: {train.name}, {preset}, {opened.labelled:,} rows")
        return run_with_prefect(opened).finish_stage(stage, output)


def _finish(finished: FinishedPlan, output: Path) -> dict[str, Any]:
    """Leave the run in its folder, and its figures and plots on its Artifacts page; returns metrics.json."""
    made = finished.finish(output)
    plots = {name: plot_address(path) for name in PLOTS if (path := output / "plots" / f"{name}.png").exists()}
    text = run_markdown(made["metrics"], made["run"], (output / "report.html").absolute(), plots)
    create_markdown_artifact(key="pricing-report", markdown=text, description="What the run reached")
    get_run_logger().info("submission, report, metrics and model in %s", output)
    return dict(made["metrics"])
