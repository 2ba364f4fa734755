"""The flows that price a catalogue with a finished run: always, or only where something has changed."""

from pathlib import Path
from typing import Annotated, Any

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import Field

from flows.parameters import OptionalImages, Overrides
from flows.pricing_flow import pricing_flow
from pricing import Pricer
from pricing.command.score_command import describe_scored
from pricing.command.verbosity import chosen
from pricing.report.markdown import scored_markdown
from pricing.run.output_folder import check_file
from pricing.run.repricing import is_priced, prices_key, remember_prices
from pricing.run_display import show_progress
from pricing.run_progress import RunProgress
from tasks.run_page import PUBLISH_SECONDS, progress_artifact

Number = Annotated[int, Field(ge=0)]


@pricing_flow("pricing-score", flow_run_name="{catalogue.name}, prices")
def score_catalogue(
    model: Path,
    catalogue: Path,
    output: Path,
    images: OptionalImages = None,
    intervals: bool = False,
    comparables: Number = 0,
    explain: bool = False,
    overrides: Overrides = None,
) -> dict[str, Any]:
    """Price a catalogue with a finished run, as `pricing score` does.

    Parameters
    ----------
    model : Path
        A run's output folder, or its model folder.
    catalogue : Path
        File of products to price (CSV, JSON lines, Parquet, Excel), with the columns that the run learned from.
    output : Path
        CSV file that the prices are written to.
    images : str or Path, optional
        Folder that holds the images, or the address of a mirror (http://HOST or https://HOST) that replaces scheme,
        host and port of the links. Without it images are fetched from their links.
    intervals : bool
        Whether to write 80 % and 95 % prediction intervals to a file beside the prices.
    comparables : int
        Number of similar products with a price per row, in a file beside the prices; 0 writes none.
    explain : bool
        Whether to write what each price is made of to a file beside the prices.
    overrides : dict, optional
        Settings for reading and pricing, as JSON: {"catalogue.encoding": "cp1252"}.

    Returns
    -------
    dict
        ``rows`` (number priced) and ``median`` (of the prices, in the run's currency).
    """
    return _score(model, catalogue, output, images, intervals, comparables, explain, overrides)


@pricing_flow("pricing-reprice", flow_run_name="{catalogue.name}, prices if changed")
def reprice(
    model: Path,
    catalogue: Path,
    output: Path,
    images: OptionalImages = None,
    intervals: bool = False,
    comparables: Number = 0,
    explain: bool = False,
    overrides: Overrides = None,
) -> dict[str, Any] | State[Any]:
    """Price a catalogue where it, the model or a setting has changed since the last time; else end as Unchanged.

    Parameters
    ----------
    model, catalogue, output, images, intervals, comparables, explain, overrides
        As in `score_catalogue`.

    Returns
    -------
    dict or State
        As `score_catalogue`; a completed state named Unchanged where the prices that are there hold.
    """
    check_file(output)
    settings = {
        "images": images and str(images), "intervals": intervals, "comparables": comparables, "explain": explain,
        "overrides": overrides or {},
    }  # fmt: skip
    Pricer.load(model)  # refuses what is no model before its files are hashed
    key = prices_key(model, catalogue, settings) if catalogue.is_file() else ""
    if is_priced(output, key):
        return Completed(name="Unchanged", message=f"{catalogue.name}, model and settings are those of {output}")
    made = _score(model, catalogue, output, images, intervals, comparables, explain, overrides)
    remember_prices(output, key)
    return made


def _score(
    model: Path, catalogue: Path, output: Path, images: str | Path | None, intervals: bool, comparables: int,
    explain: bool, overrides: dict[str, Any] | None,
) -> dict[str, Any]:  # fmt: skip
    check_file(output)
    settings = ({"submission.intervals": True} if intervals else {}) | (overrides or {})
    pricer, progress, log = Pricer.load(model, settings), RunProgress(), get_run_logger()
    shown = show_progress(
        progress, log.info, (PUBLISH_SECONDS, progress_artifact("pricing-progress")), verbosity=chosen()
    )
    scored = pricer.price_file(catalogue, output, images, comparables, explain, progress=progress, shown=shown)
    lines = describe_scored(scored, catalogue, output)
    for line in lines:
        log.info("%s", line)
    for loss in scored.losses:
        (log.warning if loss.severity == "warning" else log.info)("%s", loss.what)
    text = scored_markdown(catalogue.name, lines, scored.losses)
    create_markdown_artifact(key="pricing-report", markdown=text, description="What was priced")
    return {"rows": scored.rows, "median": scored.median}
