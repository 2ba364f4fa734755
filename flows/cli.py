"""The ``pricing`` command. Prefect is imported only inside the commands that run flows."""

import errno
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console

from pricing.command import inspection, other_commands, propose_columns, score_command, serve_command
from pricing.command.options import (
    AllowHost,
    Artifacts,
    Columns,
    Images,
    Intervals,
    Mirror,
    OnBadRows,
    Output,
    Preset,
    PriceColumn,
    Setting,
    StageOutput,
    Test,
    Train,
    build_overrides,
    images_text,
)  # fmt: skip
from pricing.command.verbosity import Quiet, Verbose, chosen
from pricing.errors import PricingError
from pricing.report.summary import print_stage, print_summary
from pricing.run.output_folder import check_output, check_stage_output
from pricing.store.stages import Stage

if TYPE_CHECKING:
    from pricing.plan.opening import OpenedRun

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="Learn what products cost from their text and images, and price new ones.")  # fmt: skip
for commands in (score_command, propose_columns, inspection, other_commands, serve_command):
    app.add_typer(commands.app)
DemoRows = Annotated[int, typer.Option(min=50, help="Number of training rows; a third as many are priced.")]
INTERRUPTED = 130
"""Exit code after Ctrl-C."""
_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
"""A full disk, a folder that is not ours: nothing that a traceback would explain."""


@app.command()
def run(
    train: Train, output: Output, test: Test = None, images: Images = None, image_mirror: Mirror = None,
    preset: Preset = "cpu", setting: Setting = None, artifacts: Artifacts = None,
    allow_host: AllowHost = None, on_bad_rows: OnBadRows = None, price_column: PriceColumn = None,
    intervals: Intervals = False, columns: Columns = None, quiet: Quiet = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Learn from a catalogue and price another one."""
    overrides = build_overrides(setting, artifacts, allow_host, on_bad_rows, price_column, intervals, columns)
    _run(train, output, test, preset, images_text(images, image_mirror), overrides)


@app.command()
def demo(
    output: Output = Path("output/demo"), rows: DemoRows = 1500, preset: Preset = "demo",
    setting: Setting = None, artifacts: Artifacts = None, allow_host: AllowHost = None,
    on_bad_rows: OnBadRows = None, price_column: PriceColumn = None, intervals: Intervals = False,
    quiet: Quiet = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Generate the sample catalogue, serve its images on loopback, and run everything on it."""
    overrides = build_overrides(setting, artifacts, allow_host, on_bad_rows, price_column, intervals)
    from pricing.configuration import load_config

    config = load_config(preset, overrides)
    check_output(output)
    if config.resources.runner == "local":
        from pricing.plan.local_runner import run_sample_locally

        run_sample_locally(config, rows, chosen()).finish(output)
    else:
        from pricing.plan.opening import check_machine

        check_machine(config)  # the flow does it too; here before a server is started
        from flows.pipeline import price_sample

        price_sample(output=output, rows=rows, preset=preset, overrides=overrides)
    print_summary(output)


@app.command()
def stage(
    name: Annotated[Stage, typer.Argument(help="The stage. `submission` is the whole run.")],
    train: Train, output: StageOutput, test: Test = None, images: Images = None, image_mirror: Mirror = None,
    preset: Preset = "cpu", setting: Setting = None, artifacts: Artifacts = None,
    allow_host: AllowHost = None, on_bad_rows: OnBadRows = None, price_column: PriceColumn = None,
    intervals: Intervals = False, columns: Columns = None, quiet: Quiet = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Run one stage, and before it the stages that it needs."""
    overrides = build_overrides(setting, artifacts, allow_host, on_bad_rows, price_column, intervals, columns)
    source = images_text(images, image_mirror)
    if name is Stage.SUBMISSION:  # needs everything before it
        _run(train, output, test, preset, source, overrides)
        return
    check_stage_output(output)
    opened = _open(train, test, preset, source, overrides, name)
    if opened.config.resources.runner == "local":
        from pricing.plan.local_runner import run_opened

        made = run_opened(opened, chosen()).finish_stage(name, output)
    else:
        from flows.pipeline import run_stage

        made = run_stage(
            name, train=train, output=output, test=test, preset=preset, images=source, overrides=overrides
        )  # fmt: skip
    print_stage(output, made["run"], made["metrics"])


def _run(
    train: Path, output: Path, test: Path | None, preset: str, images: str | None, overrides: dict[str, Any]
) -> None:
    check_output(output)
    opened = _open(train, test, preset, images, overrides)
    if opened.config.resources.runner == "local":
        from pricing.plan.local_runner import run_opened

        run_opened(opened, chosen()).finish(output)
    else:
        from flows.pipeline import price_catalogue

        price_catalogue(train=train, output=output, test=test, preset=preset, images=images, overrides=overrides)
    print_summary(output)


def _open(
    train: Path, test: Path | None, preset: str, images: str | None, overrides: dict[str, Any],
    stage: Stage | None = None,
) -> "OpenedRun":  # fmt: skip
    """Read and check the input before anything is started; the flow finds what was read in the store."""
    from pricing.configuration import load_config
    from pricing.download.sources import ImageSource
    from pricing.plan.opening import OpenedRun

    return OpenedRun.open(train, test, load_config(preset, overrides), ImageSource.of(images), stage=stage)


def main() -> None:
    """Entry point: one line for what this project reports by itself or the machine lacks, a traceback for bugs."""
    try:
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            _complain("interrupted; what is finished is kept. To go on, run the same command again", INTERRUPTED)
        raise
    except PricingError as error:
        _complain(str(error), error.exit_code)
    except ValidationError as error:
        if not error.title.endswith("Settings"):  # Prefect's own, read when it is imported
            raise
        problem = error.errors()[0]
        setting = ".".join(str(part) for part in problem["loc"])
        _complain(f"Prefect's setting {setting}: {problem['msg']} (found {problem['input']!r}); correct it", 2)
    except OSError as error:
        if error.errno not in _MACHINE:
            raise
        _complain(f"{error.filename or 'a file'}: {error.strerror}; what is finished is kept, run again", 1)


def _complain(line: str, code: int) -> None:
    Console(stderr=True).print(f"pricing: {line}", markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
