"""Commands that look at finished runs and at the store; none of them starts Prefect."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pricing.command.options import ExcelSafe, artifacts_place
from pricing.config.paths import PathsConfig
from pricing.errors import ArtifactError, InputError
from pricing.store.artifacts import ArtifactStore
from pricing.store.stages import Stage

app = typer.Typer()
console = Console(markup=False, highlight=False, soft_wrap=True)  # a path may hold brackets
PATHS = PathsConfig()
Artifacts = Annotated[
    str, typer.Option(help="Folder or address that runs were given as --artifacts; the stages are in its store/.")
]
Run = Annotated[Path, typer.Option("--run", help="A run's output folder, or one of `pricing ensemble`.")]
Folder = typer.Argument(help="A run's output folder, or one of `pricing ensemble`.")


@app.command()
def report(run_dir: Run) -> None:
    """Build report.html and plots/ of a run again."""
    from pricing.report.page import rebuild_report

    console.print(str(rebuild_report(run_dir)))


@app.command()
def audit(
    run_dir: Annotated[Path, typer.Option("--run", help="A run's output folder.")],
    output: Annotated[Path, typer.Option(help="CSV file of all labelled products, the most suspicious price first.")],
    excel_safe: ExcelSafe = False,
) -> None:
    """Which listed prices look wrong: how far off they are, what comparables cost, and the likeliest cause."""
    from pricing import Pricer
    from pricing.run.model_folder import find_model, read_model_record
    from pricing.run.output_folder import check_file
    from pricing.run.price_audit import write_audit

    check_file(output)
    found = Pricer.load(run_dir).audit()
    write_audit(found, read_model_record(find_model(run_dir)).decimals, output, safe=excel_safe)
    outside = found["cause"] != ""
    causes = found.filter(outside)["cause"].value_counts(sort=True).iter_rows()
    named = ", ".join(f"{cause} {count:,}" for cause, count in causes)
    console.print(f"{found.height:,} products, {outside.sum():,} outside of their 95 % interval: {output}")
    if named:
        console.print(f"likeliest causes: {named}")


@app.command()
def compare(first: Annotated[Path, Folder], second: Annotated[Path, Folder]) -> None:
    """What changed between two runs, what it gained, and whether that is beyond noise."""
    from pricing.report.compare import compare_runs

    typer.echo(compare_runs(first, second).to_markdown())


@app.command()
def why(
    stage: Annotated[Stage, typer.Argument(help="A stage, as `pricing stage` and the folders of the store name it.")],
    artifacts: Artifacts = str(PATHS.artifacts),
) -> None:
    """Why a stage ran again: what differs between its last two outputs."""
    from pricing.store.why import tell_why

    for line in tell_why(_store(artifacts), stage):
        console.print(line)


def _store(artifacts: str) -> ArtifactStore:
    paths = PathsConfig(artifacts=artifacts_place(artifacts))
    if paths.address is None and not paths.store.is_dir():
        raise InputError(f"--artifacts {artifacts}: there is no store in it; give the folder that runs were given")
    return ArtifactStore.of(paths)


@app.command()
def prune(
    artifacts: Artifacts = str(PATHS.artifacts),
    keep: Annotated[
        list[Path] | None, typer.Option(help="A run's output folder; its stage outputs stay. Repeatable.")
    ] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--all", help="Keep no stage output and no checkpoint of a killed training. Not while a run is going."
        ),
    ] = False,
) -> None:
    """Remove stage outputs that none of the runs given uses, half-written ones, and their records and locks."""
    from pricing.store.sweep import sweep

    if bool(keep) == everything:
        raise InputError(
            "prune: give --keep RUN (repeatable) or --all, which keeps none, and not both; nothing was removed"
        )
    _store(artifacts)
    removed, size = sweep(PathsConfig(artifacts=artifacts_place(artifacts)), keep or [])
    console.print(f"{removed} outputs removed, {size / 1e6:.1f} MB")


@app.command()
def verify(artifacts: Artifacts = str(PATHS.artifacts)) -> None:
    """Check that every stage output is whole."""
    store = _store(artifacts)
    problems = store.verify()
    for folder, lines in problems.items():
        console.print(f"{folder}: {'; '.join(lines)}")
    if problems:
        raise ArtifactError(f"{len(problems)} damaged outputs; the next run rebuilds them")
    console.print(f"{len(store.outputs())} outputs, all whole")
