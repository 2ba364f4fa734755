"""Commands that look at finished runs and at the store; none of them starts Prefect."""

import json
import re
import shutil
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pricing.config.ensemble import ReportConfig
from pricing.config.paths import PathsConfig
from pricing.configuration import PricingConfig
from pricing.errors import ArtifactError, InputError
from pricing.store.artifacts import ArtifactStore

app = typer.Typer()
COMMANDS = {
    "download": ("images",), "features": ("features", "price_features"), "tune": ("tune", "settings"),
    "neural": ("encode", "neural"), "submission": ("ensemble",),
}  # fmt: skip
"""Stages of the store that a stage of the command line makes, where it is not one of the same name alone."""
console = Console(markup=False)  # a path may hold brackets
PATHS = PathsConfig()
Artifacts = Annotated[
    Path, typer.Option(help="Folder that runs were given as --artifacts; the stages are in its store/.")
]
Run = Annotated[Path, typer.Option("--run", help="A run's output folder, or one of `pricing ensemble`.")]
Folder = typer.Argument(help="A run's output folder, or one of `pricing ensemble`.")


@app.command()
def report(run_dir: Run) -> None:
    """Build report.html and plots/ of a run again."""
    from pricing.report.page import build_report

    config = ReportConfig()
    # what `pricing ensemble` leaves has figures and no configuration
    if (run_dir / "run.json").exists() or not (run_dir / "metrics.json").exists():
        try:
            run = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
            if "stage" in run:
                raise InputError(
                    f"{run_dir}: holds the stage {run['stage']} alone, which has no report; give a run's --output"
                )
            config = PricingConfig.model_validate(run["config"]).report
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{run_dir}: is no run folder ({type(error).__name__}); give a run's --output") from None
    build_report(run_dir, config)
    console.print(str(run_dir / "report.html"), soft_wrap=True)


@app.command()
def compare(first: Annotated[Path, Folder], second: Annotated[Path, Folder]) -> None:
    """What changed between two runs, what it gained, and whether that is beyond noise."""
    from pricing.report.compare import compare_runs

    typer.echo(compare_runs(first, second).to_markdown())


@app.command()
def why(
    stage: Annotated[
        str,
        typer.Argument(
            help="A stage as `pricing stage` names it (download, features, tune, gbdt, neural, ensemble, submission) "
            "or a folder of the store, such as images or price_features."
        ),
    ],
    artifacts: Artifacts = PATHS.artifacts,
) -> None:
    """Why a stage ran again: what differs between its last two outputs."""
    store = _store(artifacts)
    kept = {name: store.outputs(name) for name in COMMANDS.get(stage, (stage,))}
    if not any(kept.values()):
        known = sorted({record["reference"].stage for record in store.outputs()})
        raise InputError(f"no output of stage {stage!r} in {artifacts}; there are {', '.join(known) or 'none'}")
    for name, records in kept.items():
        if records:
            _tell_why(store, name, records)


def _tell_why(store: ArtifactStore, stage: str, records: list[dict[str, Any]]) -> None:
    """The last output of a stage against the one before it in the same slot."""
    from pricing.store.why import explain

    last = records[-1]
    label = f"{stage} {last['reference'].slot}".strip()
    before = [record for record in records[:-1] if record["reference"].slot == last["reference"].slot]
    if not before:
        console.print(f"{label}: made once, {_time(last)}; nothing to compare with", highlight=False, soft_wrap=True)
        return
    console.print(f"{label}: made {_time(last)}, before that {_time(before[-1])}", highlight=False, soft_wrap=True)
    for line in explain(store, before[-1], last) or ["nothing differs: the earlier output was missing or damaged"]:
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def _time(record: dict[str, Any]) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record["reference"].ended))


def _store(artifacts: Path) -> ArtifactStore:
    folder = PathsConfig(artifacts=artifacts).store
    if not folder.is_dir():
        raise InputError(f"--artifacts {artifacts}: there is no store in it; give the folder that runs were given")
    return ArtifactStore(folder)


@app.command()
def prune(
    artifacts: Artifacts = PATHS.artifacts,
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
    if bool(keep) == everything:
        raise InputError(
            "prune: give --keep RUN (repeatable) or --all, which keeps none, and not both; nothing was removed"
        )
    keys: set[str] = set()
    for run in keep or []:
        try:
            keys |= {stage["key"] for stage in json.loads((run / "run.json").read_text(encoding="utf-8"))["stages"]}
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{run}: is no run folder ({type(error).__name__}); nothing was removed") from None
    paths = PathsConfig(artifacts=artifacts)
    removed, size = _store(artifacts).prune(keys)
    _sweep_records(paths)
    if not keep and paths.checkpoints.exists():  # of trainings that were killed; a finished one removes its own
        size += sum(path.stat().st_size for path in paths.checkpoints.rglob("*") if path.is_file())
        shutil.rmtree(paths.checkpoints)
    console.print(f"{removed} outputs removed, {size / 1e6:.1f} MB")


def _sweep_records(paths: PathsConfig) -> None:
    """Remove Prefect's records of outputs that are gone; files of other names are left alone."""
    for record in paths.records.glob("*"):
        named = re.fullmatch(r"(\w+)-([0-9a-f]{32})", record.name)
        if named and not paths.store.joinpath(*named.groups()).exists():
            record.unlink(missing_ok=True)


@app.command()
def verify(artifacts: Artifacts = PATHS.artifacts) -> None:
    """Check that every stage output is whole."""
    store = _store(artifacts)
    problems = store.verify()
    for folder, lines in problems.items():
        console.print(f"{folder}: {'; '.join(lines)}", markup=False, soft_wrap=True)
    if problems:
        raise ArtifactError(f"{len(problems)} damaged outputs; the next run rebuilds them")
    console.print(f"{len(store.outputs())} outputs, all whole")
