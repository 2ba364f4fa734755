"""The ``pricing`` command. Prefect is imported only inside the commands that run flows."""

import errno
import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from flows import inspection
from flows.server import local_server
from pricing.config import PathsConfig, PricingConfig, load_config
from pricing.errors import InputError, PricingError
from pricing.output_folder import check_file, check_folder, check_output, check_stage_output

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="Learn what products cost from their text and pictures, and price new ones.")  # fmt: skip
app.add_typer(inspection.app)
console = Console()
PATHS = PathsConfig()
StageName = Literal["download", "features", "tune", "gbdt", "neural", "ensemble", "submission"]
_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
"""A full disk, a folder that is not ours: nothing that a traceback would explain."""

Train = Annotated[Path, typer.Option(help="CSV or Parquet: sample_id, catalog_content, image_link, price.")]
Test = Annotated[Path | None, typer.Option(help="The same without price.")]
Output = Annotated[Path, typer.Option(help="Folder for submission, report, metrics and model.")]
Artifacts = Annotated[Path | None, typer.Option(help="The artifact store.", show_default=str(PATHS.artifacts))]
Preset = Annotated[str, typer.Option(help="demo, cpu, best, full, or a TOML file.")]
Setting = Annotated[list[str] | None, typer.Option("--set", help="key.path=value, repeatable.")]
Images = Annotated[Path | None, typer.Option(help="Folder with the pictures; nothing is fetched.")]
Mirror = Annotated[str | None, typer.Option(help="Replaces scheme, host and port of the links.")]
AllowHost = Annotated[list[str] | None, typer.Option(help="Private or loopback host that may be asked; repeatable.")]
OnBadRows = Annotated[str | None, typer.Option(help="refuse or quarantine.")]
PriceColumn = Annotated[str | None, typer.Option(help="Header of the submission's price column.")]
Intervals = Annotated[bool, typer.Option("--intervals", help="80 % and 95 % prediction intervals in a file beside.")]
Comparables = Annotated[int, typer.Option(min=0, help="Most similar products a row, with prices, in a file beside.")]


def build_config(
    preset: str, settings: list[str] | None, artifacts: Path | None = None, allow: list[str] | None = None,
    on_bad_rows: str | None = None, price_column: str | None = None, intervals: bool = False,
) -> PricingConfig:  # fmt: skip
    """A preset with the command line's options laid over it."""
    laid = [*(settings or [])]
    if artifacts:
        laid.append(f"paths.artifacts={_quoted(str(artifacts))}")  # a folder called 2024 is no number
    if allow:
        laid.append(f"images.allow_hosts={_quoted(allow)}")
    if on_bad_rows:
        laid.append(f"catalogue.on_bad_rows={_quoted(on_bad_rows)}")
    if price_column:
        laid.append(f"submission.price_column={_quoted(price_column)}")
    if intervals:
        laid.append("submission.intervals=true")
    return load_config(preset, laid)


def _quoted(value: str | list[str]) -> str:
    return json.dumps(value, ensure_ascii=False)  # of strings it is TOML too


@app.command()
def run(
    train: Train, output: Output, test: Test = None, images: Images = None, image_mirror: Mirror = None,
    preset: Preset = "cpu", setting: Setting = None, artifacts: Artifacts = None,
    allow_host: AllowHost = None, on_bad_rows: OnBadRows = None, price_column: PriceColumn = None,
    intervals: Intervals = False,
) -> None:  # fmt: skip
    """Learn from a catalogue and price another one."""
    config = build_config(preset, setting, artifacts, allow_host, on_bad_rows, price_column, intervals)
    _run(train, output, test, config, _source(images, image_mirror))


@app.command()
def demo(
    output: Output = Path("output/demo"), rows: Annotated[int, typer.Option(min=50)] = 1500, preset: Preset = "demo",
    setting: Setting = None, artifacts: Artifacts = None, allow_host: AllowHost = None,
    on_bad_rows: OnBadRows = None, price_column: PriceColumn = None, intervals: Intervals = False,
) -> None:  # fmt: skip
    """Generate the sample catalogue, serve its pictures on loopback, run everything."""
    config = build_config(preset, setting, artifacts, allow_host, on_bad_rows, price_column, intervals)
    check_output(output)
    check_folder(config.paths.artifacts, "--artifacts")
    with local_server():
        from flows.pipeline import price_sample

        price_sample(output=output, rows=rows, config=config)
    print_summary(output)


@app.command()
def stage(
    name: Annotated[StageName, typer.Argument()],
    train: Train, output: Output, test: Test = None, images: Images = None, image_mirror: Mirror = None,
    preset: Preset = "cpu", setting: Setting = None, artifacts: Artifacts = None,
    allow_host: AllowHost = None, on_bad_rows: OnBadRows = None, price_column: PriceColumn = None,
    intervals: Intervals = False,
) -> None:  # fmt: skip
    """One stage, with what it needs before it."""
    config = build_config(preset, setting, artifacts, allow_host, on_bad_rows, price_column, intervals)
    source = _source(images, image_mirror)
    if name == "submission":  # needs everything before it
        _run(train, output, test, config, source)
        return
    check_stage_output(output)
    _check_inputs(train, test, config)
    with local_server():
        from flows.stage_flows import run_stage

        made = run_stage(name, train=train, output=output, test=test, config=config, image_source=source)
    run, metrics = made["run"], made["metrics"]
    console.print(_stages_table(run["stages"]))
    if metrics:
        console.print(_models_table(metrics))
    if run["images"]:
        console.print(f"pictures: {run['images']}")
    for path in sorted(output.glob("search/*.toml")) if name == "tune" else ():
        console.print(f"settings for a preset: {path}", soft_wrap=True)


@app.command("fetch-data")
def fetch_data(
    url: str, sha256: Annotated[str | None, typer.Option()] = None, data: Annotated[Path, typer.Option()] = PATHS.data
) -> None:
    """Download the challenge's archive (http, https or s3) and unpack train.csv and test.csv."""
    from pricing.catalogue.fetch_data import fetch_data as fetch
    from pricing.catalogue.progress_display import byte_progress

    with byte_progress(console.print) as show:
        files = fetch(url, data, sha256, progress=show)
    for path in files:
        console.print(str(path))


@app.command()
def ensemble(
    oof: Annotated[Path, typer.Option()], test_predictions: Annotated[Path, typer.Option()], output: Output,
    preset: Preset = "cpu", setting: Setting = None, price_column: PriceColumn = None, intervals: Intervals = False,
) -> None:  # fmt: skip
    """Stack anybody's out-of-fold predictions (prices, one column a model)."""
    from pricing.ensemble.standalone import stack_predictions

    config = build_config(preset, setting, None, None, None, price_column, intervals)
    metrics = stack_predictions(
        oof, test_predictions, output, config.ensemble, config.seed, submission=config.submission,
        threads=config.resources.available(),
    )  # fmt: skip
    console.print(f"nested out-of-fold SMAPE {metrics['stack']['oof_smape']:.2f}; {output / 'submission.csv'}")


@app.command()
def score(
    run_dir: Annotated[Path, typer.Option("--run", help="A run's output folder, or its model folder.")],
    catalogue: Annotated[Path, typer.Option()], output: Annotated[Path, typer.Option()], images: Images = None,
    image_mirror: Mirror = None, allow_host: AllowHost = None, artifacts: Artifacts = None,
    price_column: PriceColumn = None, intervals: Intervals = False, comparables: Comparables = 0,
) -> None:  # fmt: skip
    """Price new products with a finished run."""
    from pricing.catalogue.progress_display import live_progress
    from pricing.catalogue.reading import read_catalogue_file
    from pricing.scoring import fetch_pictures, reads_pictures, rows_without_picture, score_catalogue
    from pricing.submission import write_comparables, write_intervals, write_submission

    check_file(output)
    model = run_dir / "model" if (run_dir / "model").is_dir() else run_dir
    try:
        config = PricingConfig.model_validate(json.loads((model / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(f"{model}: is no model folder ({type(error).__name__}); give a run's --output") from None
    header = config.submission
    if price_column:
        header = build_config("cpu", None, price_column=price_column).submission
    frame = read_catalogue_file(catalogue, labelled=False).frame
    paths = PathsConfig(artifacts=artifacts) if artifacts else PATHS
    source, pictures, table = _source(images, image_mirror), paths.work / "images", None
    if reads_pictures(config):  # from where a run would take them
        check_folder(paths.artifacts, "--artifacts")
        # a model folder may come from anywhere: it lets nobody into the user's own network
        allowed = config.images.model_copy(update={"allow_hosts": tuple(allow_host or ())})
        with live_progress(console.print) as show:
            table = fetch_pictures(frame, allowed, source, pictures, progress=show)
        if failed := rows_without_picture(frame, table):
            reasons = ", ".join(f"{reason} {count}" for reason, count in failed.items())
            console.print(f"{sum(failed.values())} rows have a link and no picture: {reasons}", soft_wrap=True)
    elif images or image_mirror:
        console.print("the run's models read no pictures; none were fetched")
    scored = score_catalogue(model, frame, images=table, pictures=pictures, comparables=comparables)
    statistics = write_submission(frame["sample_id"], scored.price, header, output)
    if intervals:
        beside = write_intervals(frame["sample_id"], scored.price, scored.intervals, header, output)
        console.print(f"intervals: {beside}", soft_wrap=True)
    if scored.comparables is not None:
        console.print(f"comparables: {write_comparables(scored.comparables, output)}", soft_wrap=True)
    console.print(f"{statistics['rows']} rows priced, median {statistics['median']:.2f}: {output}")


def _source(images: Path | None, mirror: str | None) -> Any:
    from pricing.catalogue.sources import ImageSource

    if images and mirror:
        raise InputError("--images and --image-mirror exclude each other; give one")
    if images:
        return ImageSource.folder(images)
    return ImageSource.mirror(mirror) if mirror else ImageSource.web()


def _check_inputs(train: Path, test: Path | None, config: PricingConfig) -> None:
    """Refuse bad input before anything is started."""
    from pricing.catalogue.reading import check_catalogue_file

    check_folder(config.paths.artifacts, "--artifacts")
    check_catalogue_file(train, labelled=True, on_bad_rows=config.catalogue.on_bad_rows)
    if test is not None:
        check_catalogue_file(test, labelled=False, on_bad_rows=config.catalogue.on_bad_rows)


def _run(train: Path, output: Path, test: Path | None, config: PricingConfig, source: Any) -> None:
    check_output(output)
    _check_inputs(train, test, config)
    with local_server():
        from flows.pipeline import price_catalogue

        price_catalogue(train=train, output=output, test=test, config=config, image_source=source)
    print_summary(output)


def print_summary(output: Path) -> None:
    """The short table at the end of a run."""
    metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    record = json.loads((output / "run.json").read_text(encoding="utf-8"))
    console.print(_models_table(metrics))
    console.print(_stages_table(record["stages"]))
    priced = record["submission"]
    if priced and priced["rows"]:
        console.print(f"{priced['rows']} prices from {priced['min']:.2f} to {priced['max']:.2f}, "
                      f"median {priced['median']:.2f}")  # fmt: skip
    for name in ("submission.csv", "report.html"):
        if (output / name).exists():
            console.print(f"{name}: {output / name}", soft_wrap=True)


def _models_table(metrics: dict[str, Any]) -> Table:
    """Base models, then what is made of them, as far as it is known."""
    table = Table("model", "out of fold", "hold-out", title="SMAPE, percent")

    def add(name: str, figures: dict[str, Any], **style: Any) -> None:
        table.add_row(name, *(f"{figures[key]:.2f}" if key in figures else ""
                              for key in ("oof_smape", "holdout_smape")), **style)  # fmt: skip

    for name, figures in sorted(metrics["models"].items(), key=lambda item: item[1]["oof_smape"]):
        add(name, figures)
    add("mean of logs", metrics["mean"])
    if "stack" in metrics:
        holdout = metrics["holdout"]
        interval = f"{holdout['smape']:.2f} ({holdout['smape_low']:.2f} to {holdout['smape_high']:.2f})"
        table.add_row("stack", f"{metrics['stack']['oof_smape']:.2f}", interval, style="bold")
    if "floor" in metrics:
        table.add_row("noise floor", "", f"{metrics['floor']['smape']:.2f}", style="dim")
    return table


def _stages_table(stages: list[dict[str, Any]]) -> Table:
    table = Table("stage", "tasks", "seconds", "from the cache", title="stages")
    for name in dict.fromkeys(stage["name"] for stage in stages):
        of = [stage for stage in stages if stage["name"] == name]
        cached = sum(stage["cached"] for stage in of)
        seconds = sum(stage["seconds"] for stage in of if not stage["cached"])
        table.add_row(name, str(len(of)), f"{seconds:.1f}", "all" if cached == len(of) else str(cached or "-"))
    return table


def main() -> None:
    """Entry point: one line for what this project reports by itself or the machine lacks, a traceback for bugs."""
    try:
        app()
    except PricingError as error:
        _complain(str(error), error.exit_code)
    except OSError as error:
        if error.errno not in _MACHINE:
            raise
        _complain(f"{error.filename or 'a file'}: {error.strerror}; what is finished is kept, run again", 1)


def _complain(line: str, code: int) -> None:
    Console(stderr=True).print(f"pricing: {line}", markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
