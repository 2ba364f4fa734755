"""`pricing score`: price new products with a finished run. Starts no Prefect."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pricing.command.options import (
    PATHS,
    AllowHost,
    Artifacts,
    Comparables,
    ExcelSafe,
    ImageProxy,
    Images,
    Intervals,
    Mirror,
    OnBadRows,
    PriceColumn,
    build_overrides,
    images_text,
)
from pricing.command.verbosity import Quiet, Verbose, chosen
from pricing.report.summary import print_losses
from pricing.run.output_folder import check_file

if TYPE_CHECKING:
    from pricing.run.scoring import ScoredFile

app = typer.Typer()
Columns = Annotated[
    Path | None,
    typer.Option(help="TOML file of the run's roles under the names that --catalogue has for its columns."),
]
Explain = Annotated[bool, typer.Option("--explain", help="Write what each price is made of beside the prices.")]
Setting = Annotated[
    list[str] | None,
    typer.Option("--set", help="One setting for reading and pricing, such as catalogue.encoding=cp1252; repeatable."),
]
console = Console(markup=False, soft_wrap=True)  # a path may hold brackets


@app.command()
def score(
    run_dir: Annotated[Path, typer.Option("--run", help="A run's output folder, or its model folder.")],
    catalogue: Annotated[Path, typer.Option(help="Catalogue to price, with the columns that the run learned from.")],
    output: Annotated[Path, typer.Option(help="CSV file that the prices are written to.")], images: Images = None,
    image_mirror: Mirror = None, image_proxy: ImageProxy = None, allow_host: AllowHost = None,
    artifacts: Artifacts = None, price_column: PriceColumn = None, intervals: Intervals = False,
    comparables: Comparables = 0, explain: Explain = False, excel_safe: ExcelSafe = False,
    on_bad_rows: OnBadRows = None, columns: Columns = None, setting: Setting = None, quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:  # fmt: skip
    """Price new products with a finished run."""
    from pricing import Pricer
    from pricing.download.progress_display import live_progress
    from pricing.run_display import Verbosity, show_progress
    from pricing.run_progress import RunProgress

    check_file(output)
    settings = build_overrides(setting, None, allow_host, on_bad_rows, price_column, intervals)
    if image_proxy:
        settings["images.proxy"] = image_proxy
    if excel_safe:
        settings["submission.excel_safe"] = True
    pricer = Pricer.load(run_dir, settings, artifacts or PATHS.artifacts, columns)
    source, progress = images_text(images, image_mirror), RunProgress()
    if source and not pricer.reads_images:
        console.print("the run's models read no images; none were fetched")
    scored = pricer.price_file(
        catalogue, output, source, comparables, explain, progress=progress,
        shown=show_progress(progress, console.print, verbosity=chosen()),
        images_shown=None if chosen() is Verbosity.QUIET else live_progress(console.print),
    )  # fmt: skip
    for line in describe_scored(scored, catalogue, output):
        console.print(line)
    print_losses(scored.losses)


def describe_scored(scored: "ScoredFile", catalogue: Path, output: Path) -> list[str]:
    """Return what was written and what is said of it, in lines; losses are not among them."""
    from pricing.catalogue.currencies import price_sign
    from pricing.metrics.rounding import shown_price

    written = {"intervals": scored.intervals, "comparables": scored.comparables, "explained": scored.explained}
    lines = [f"{name}: {beside}" for name, beside in written.items() if beside is not None]
    if scored.explained is not None:
        lines.append(f"{scored.exact:.0%} of the models' weight is explained exactly, the rest approximately")
    median = shown_price(scored.median, scored.decimals, price_sign(scored.currency))
    lines += [f"{scored.rows:,} rows priced, median {median}: {output}", *scored.doubt]
    lines.append(f"trust: {scored.trust}, drift: {scored.drift}")
    if scored.noted:
        lines.append(f"{catalogue.name}: {scored.noted}")
    return [*lines, *scored.readings]
