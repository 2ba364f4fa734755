"""Showing how a download is going: a live bar in a terminal, plain lines in a log."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from pricing.catalogue.progress import Progress as Moment
from pricing.catalogue.progress import ProgressCallback

LINE_SECONDS = 15.0
"""Seconds between two lines of a log."""


@contextlib.contextmanager
def live_progress(
    log: Callable[[str], object], *, console: Console | None = None, seconds: float = LINE_SECONDS
) -> Iterator[ProgressCallback]:
    """A callback for the downloader that shows each moment.

    Parameters
    ----------
    log : callable
        Takes a line of text now and then, and the last one, where there is no terminal.
    console : Console, optional
        Where the bar is drawn; standard error by default. A bar is drawn only in a terminal.
    seconds : float
        Between two lines.
    """
    console = console or Console(stderr=True)
    with contextlib.ExitStack() as open_bar:
        yield _bar(console, open_bar) if console.is_terminal else _lines(log, seconds)


def _lines(log: Callable[[str], object], seconds: float) -> ProgressCallback:
    last = time.monotonic()

    def show(moment: Moment) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= seconds or moment.done == moment.total:
            last = now
            log(str(moment))

    return show


def _bar(console: Console, open_bar: contextlib.ExitStack) -> ProgressCallback:
    # drawn when there is something new, twice a second, and not by a thread of its own
    bar = Progress(
        TextColumn("pictures"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]:.0f}/s"),
        TextColumn("{task.fields[left]} left"), TextColumn("failures: {task.fields[failures]}", style="yellow"),
        console=console, auto_refresh=False,
    )  # fmt: skip
    open_bar.enter_context(bar)
    task = bar.add_task("", total=None, rate=0.0, left="-:--:--", failures="none")

    def show(moment: Moment) -> None:
        bar.update(
            task, total=moment.total, completed=moment.done, rate=moment.rate, left=moment.time_left,
            failures=moment.failures, refresh=True,
        )  # fmt: skip

    return show
