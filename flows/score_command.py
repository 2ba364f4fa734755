"""`pricing score`: price new products with a finished run. Starts no Prefect."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.options import (
    PATHS,
    AllowHost,
    Artifacts,
    Comparables,
    ImageProxy,
    Images,
    Intervals,
    Mirror,
    OnBadRows,
    PriceColumn,
    build_config,
    image_source,
)  # fmt: skip
from flows.summary import print_losses
from flows.verbosity import Quiet, Verbose, chosen
from pricing.config.paths import PathsConfig
from pricing.configuration import PricingConfig
from pricing.errors import InputError
from pricing.report.run_losses import Loss, image_losses, row_losses
from pricing.run.output_folder import check_file, check_folder

app = typer.Typer()
console = Console(markup=False)  # a path may hold brackets


@app.command()
def score(
    run_dir: Annotated[Path, typer.Option("--run", help="A run's output folder, or its model folder.")],
    catalogue: Annotated[Path, typer.Option(help="CSV or Parquet to price: sample_id, catalog_content, image_link.")],
    output: Annotated[Path, typer.Option(help="CSV file that the prices are written to.")], images: Images = None,
    image_mirror: Mirror = None, image_proxy: ImageProxy = None, allow_host: AllowHost = None,
    artifacts: Artifacts = None, price_column: PriceColumn = None, intervals: Intervals = False,
    comparables: Comparables = 0, on_bad_rows: OnBadRows = None, quiet: Quiet = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Price new products with a finished run."""
    from pricing.catalogue.reading import read_catalogue_file, rejected_table
    from pricing.download.progress_display import live_progress
    from pricing.metrics.rounding import shown_price
    from pricing.run.scoring import describe_pictures, fetch_pictures, reads_pictures, score_catalogue
    from pricing.run.submission import write_comparables, write_intervals, write_rejected, write_submission
    from pricing.run_display import Verbosity, show_progress
    from pricing.run_progress import RunProgress

    check_file(output)
    model = run_dir / "model" if (run_dir / "model").is_dir() else run_dir
    try:
        config = PricingConfig.model_validate(json.loads((model / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(f"{model}: is no model folder ({type(error).__name__}); give a run's --output") from None
    header = config.submission
    if price_column:
        header = build_config("cpu", None, price_column=price_column).submission
    # the run's own setting was meant for the run's files
    bad_rows = build_config("cpu", None, on_bad_rows=on_bad_rows).catalogue.on_bad_rows
    read = read_catalogue_file(catalogue, labelled=False, on_bad_rows=bad_rows)
    frame = read.frame
    paths = PathsConfig(artifacts=artifacts) if artifacts else PATHS
    source, pictures, table = image_source(images, image_mirror), paths.work / "images", None
    losses: list[Loss] = []
    if reads_pictures(config):  # from where a run would take them
        check_folder(paths.artifacts, "--artifacts")
        # a model folder may come from anywhere: its allow_hosts must not open the user's own network
        proxy = build_config("cpu", [f"images.proxy={json.dumps(image_proxy)}"]).images.proxy if image_proxy else None
        allowed = config.images.model_copy(update={"allow_hosts": tuple(allow_host or ()), "proxy": proxy})
        with nullcontext() if chosen() is Verbosity.QUIET else live_progress(console.print) as show:
            table = fetch_pictures(frame, allowed, source, pictures, progress=show)
        losses = image_losses(describe_pictures(table, allowed, source, pictures), listed="")
    elif images or image_mirror:
        console.print("the run's models read no pictures; none were fetched")
    progress = RunProgress()
    with show_progress(progress, console.print, verbosity=chosen()):
        scored = score_catalogue(
            model, frame, images=table, pictures=pictures, comparables=comparables, progress=progress
        )
    header = header.model_copy(update={"decimals": scored.decimals})
    statistics = write_submission(frame["sample_id"], scored.price, header, output)
    if intervals:
        beside = write_intervals(frame["sample_id"], scored.price, scored.intervals, header, output)
        console.print(f"intervals: {beside}", soft_wrap=True)
    if scored.comparables is not None:
        console.print(f"comparables: {write_comparables(scored.comparables, header, output)}", soft_wrap=True)
    console.print(
        f"{statistics['rows']:,} rows priced, median {shown_price(statistics['median'], scored.decimals)}: {output}",
        soft_wrap=True,
    )
    if skipped := read.notes.empty_rows:
        console.print(f"{catalogue.name}: {skipped:,} empty {'row' if skipped == 1 else 'rows'} skipped")
    rejected = str(write_rejected(rejected_table(read.rejected), output)) if read.rejected else ""
    counts = {"test": {"rows": frame.height, **read.notes.counts()}}
    print_losses([*row_losses(counts, prices=output.name, rejected=rejected), *losses])
