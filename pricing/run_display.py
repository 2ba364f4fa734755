"""How a run's progress is shown: one live line in a terminal, a line per minute in a log."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Column

from pricing.run_progress import Moment, RunProgress, watch

LIVE_SECONDS = 0.5
"""Seconds between two looks of the live line."""
LINE_SECONDS = 60.0
"""Seconds between two lines of a log."""


class Verbosity(Enum):
    """How much a command says while it works."""

    QUIET = "quiet"
    """Warnings and errors, and the result."""
    NORMAL = "normal"
    """In a terminal one live line, else the log and a line per minute."""
    VERBOSE = "verbose"
    """The whole log and a line per minute."""


@contextmanager
def show_progress(
    progress: RunProgress,
    log: Callable[[str], object],
    *listeners: tuple[float, Callable[[Moment], None]],
    verbosity: Verbosity = Verbosity.NORMAL,
    console: Console | None = None,
    seconds: float = LINE_SECONDS,
) -> Iterator[None]:
    """Show how a run is going until the block ends.

    Parameters
    ----------
    progress : RunProgress
        What is known of the run.
    log : callable
        Takes a line of text where no live line is drawn.
    listeners : tuple of float and callable
        Others that are to be told, as `pricing.run_progress.watch` takes them.
    verbosity : Verbosity
        How much is shown.
    console : Console, optional
        Where the live line is drawn, if it is a terminal; standard error by default.
    seconds : float
        Seconds between two lines of the log.
    """
    console = console or Console(stderr=True)
    if verbosity is Verbosity.NORMAL and console.is_terminal:
        with _live_line(console) as show, watch(progress, (LIVE_SECONDS, show), *listeners):
            yield
        return

    def write(moment: Moment) -> None:
        # the end is told by others
        if moment.done < moment.total:
            log(str(moment))

    lines = () if verbosity is Verbosity.QUIET else ((seconds, write),)
    with watch(progress, *lines, *listeners):
        yield


@contextmanager
def _live_line(console: Console) -> Iterator[Callable[[Moment], None]]:
    work = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    line = Progress(
        SpinnerColumn(), TextColumn("{task.description}", table_column=work), BarColumn(10), MofNCompleteColumn(),
        TextColumn("{task.fields[end]}", table_column=Column(no_wrap=True)), console=console, transient=True,
        expand=True, refresh_per_second=4,
    )  # fmt: skip
    task = line.add_task("starting", total=None, end="")

    def show(moment: Moment) -> None:
        line.update(task, description=moment.work, completed=moment.done, total=moment.total or None, end=moment.end)

    with line:
        yield show
