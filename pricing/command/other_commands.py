"""`pricing ensemble` and `pricing fetch-data`: commands that need no run. Neither starts Prefect."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pricing.command.options import (
    PATHS,
    Intervals,
    OnBadPredictions,
    Preset,
    PriceColumn,
    Setting,
    StackOutput,
    build_overrides,
)
from pricing.command.verbosity import Quiet, Verbose

app = typer.Typer()
console = Console(markup=False)  # a path may hold brackets
Oof = Annotated[
    Path, typer.Option(help="CSV or Parquet: sample_id, price, and per model a column of prices predicted out of fold.")
]
TestPredictions = Annotated[
    Path, typer.Option(help="CSV or Parquet: sample_id and the same models' prices of new rows.")
]


@app.command("fetch-data")
def fetch_data(
    url: Annotated[str, typer.Argument(help="Address of a zip or tar archive: http://, https:// or s3://BUCKET/KEY.")],
    sha256: Annotated[str | None, typer.Option(help="SHA-256 that the archive must have, in hexadecimal.")] = None,
    data: Annotated[Path, typer.Option(help="Folder that train.csv and test.csv are unpacked into.")] = PATHS.data,
) -> None:
    """Download an archive and unpack train.csv and test.csv."""
    from pricing.download.fetch_data import fetch_data as fetch
    from pricing.download.progress_display import byte_progress

    with byte_progress(console.print) as show:
        files = fetch(url, data, sha256, progress=show)
    for path in files:
        console.print(str(path))


@app.command()
def ensemble(
    oof: Oof, test_predictions: TestPredictions, output: StackOutput,
    preset: Preset = "cpu", setting: Setting = None, price_column: PriceColumn = None, intervals: Intervals = False,
    on_bad_predictions: OnBadPredictions = None,
    quiet: Quiet = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Stack the out-of-fold predictions of any models."""
    from pricing.configuration import load_config
    from pricing.run.standalone import stack_predictions

    laid = build_overrides(setting, price_column=price_column, intervals=intervals)
    if on_bad_predictions:
        laid["ensemble.on_bad_predictions"] = on_bad_predictions
    config = load_config(preset, laid)
    metrics = stack_predictions(
        oof, test_predictions, output, config.ensemble, config.seed, submission=config.submission,
        threads=config.resources.available(),
    )  # fmt: skip
    for line in metrics["warnings"]:
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"nested out-of-fold SMAPE {metrics['stack']['oof_smape']:.2f}; {output / 'submission.csv'}")
