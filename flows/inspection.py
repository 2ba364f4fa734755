"""Commands that look at finished runs and at the store; none of them starts Prefect."""

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pricing.artifacts import ArtifactStore
from pricing.config import PathsConfig, PricingConfig, ReportConfig
from pricing.errors import ArtifactError, InputError

app = typer.Typer()
console = Console()
PATHS = PathsConfig()
Artifacts = Annotated[Path, typer.Option(help="The artifact store.")]


@app.command()
def report(run_dir: Annotated[Path, typer.Option("--run")]) -> None:
    """Build report.html and plots/ of a run again."""
    from pricing.evaluation.report import build_report

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
def compare(first: Path, second: Path) -> None:
    """What changed between two runs, what it gained, and whether that is beyond noise."""
    from pricing.evaluation.compare import compare_runs

    typer.echo(compare_runs(first, second).to_markdown())


@app.command()
def why(stage: str, artifacts: Artifacts = PATHS.artifacts) -> None:
    """Why a stage ran again: what differs between its last two outputs."""
    from pricing.evaluation.compare import differences

    store = _store(artifacts)
    records = store.outputs(stage)
    if not records:
        known = sorted({record["reference"].stage for record in store.outputs()})
        raise InputError(f"no output of stage {stage!r} in {artifacts}; there are {', '.join(known) or 'none'}")
    last = records[-1]
    slot = last["reference"].slot
    before = [record for record in records[:-1] if record["reference"].slot == slot]
    if not before:
        console.print(f"{stage} {slot}: made once, {last['reference'].key}; nothing to compare with")
        return
    console.print(f"{stage} {slot}: {before[-1]['reference'].key} -> {last['reference'].key}")
    changes = differences(before[-1]["parts"], last["parts"])
    lines = [f"{name}: {_short(old)} -> {_short(new)}" for name, (old, new) in changes.items()]
    for line in lines or ["nothing differs: the earlier output was missing or damaged"]:
        console.print(f"  {line}", markup=False, soft_wrap=True)


def _short(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 60 else text[:20] + "..."


def _store(artifacts: Path) -> ArtifactStore:
    folder = PathsConfig(artifacts=artifacts).store
    if not folder.is_dir():
        raise InputError(f"--artifacts {artifacts}: there is no store in it; give the folder that runs were given")
    return ArtifactStore(folder)


@app.command()
def prune(
    artifacts: Artifacts = PATHS.artifacts,
    keep: Annotated[list[Path] | None, typer.Option(help="Runs whose stage outputs stay; repeatable.")] = None,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Keep nothing, checkpoints of killed trainings neither; not while a run is going."),
    ] = False,
) -> None:
    """Remove stage outputs that none of the runs given uses, and half-written ones."""
    if not keep and not everything:
        raise InputError(
            "prune: say which runs stay (--keep RUN, repeatable) or --all to keep none; nothing was removed"
        )
    keys: set[str] = set()
    for run in keep or []:
        try:
            keys |= {stage["key"] for stage in json.loads((run / "run.json").read_text(encoding="utf-8"))["stages"]}
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{run}: is no run folder ({type(error).__name__}); nothing was removed") from None
    paths = PathsConfig(artifacts=artifacts)
    removed, size = _store(artifacts).prune(keys)
    if not keep and paths.checkpoints.exists():  # of trainings that were killed; a finished one removes its own
        size += sum(path.stat().st_size for path in paths.checkpoints.rglob("*") if path.is_file())
        shutil.rmtree(paths.checkpoints)
    console.print(f"{removed} outputs removed, {size / 1e6:.1f} MB")


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
