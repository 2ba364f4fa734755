"""Showing how a download is going: a live bar in a terminal, plain lines in a log."""

import contextlib
import time
from collections.abc import Callable, Iterator

from humanize import naturalsize
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Column

from pricing.download.progress import Progress as Moment
from pricing.download.progress import ProgressCallback

LINE_SECONDS = 60.0
"""Seconds between two lines of a log."""


@contextlib.contextmanager
def live_progress(
    log: Callable[[str], object], *, console: Console | None = None, seconds: float = LINE_SECONDS
) -> Iterator[ProgressCallback]:
    """A callback for the downloader that shows each moment.

    Parameters
    ----------
    log : callable
        Takes a line of text now and then and at the end, where there is no terminal.
    console : Console, optional
        Where the bar is drawn; standard error by default. A bar is drawn only in a terminal.
    seconds : float
        Between two lines.
    """
    console = console or Console(stderr=True)
    with _bar(console) if console.is_terminal else progress_lines(log, seconds) as show:
        yield show


@contextlib.contextmanager
def byte_progress(
    log: Callable[[str], object], *, console: Console | None = None, seconds: float = LINE_SECONDS
) -> Iterator[Callable[[int, int | None], None]]:
    """A callback for the download of one file: a live bar in a terminal, a line now and then in a log.

    Parameters
    ----------
    log, console, seconds
        As in :func:`live_progress`.

    Yields
    ------
    callable
        Takes bytes so far, and in all (None where the server does not say).
    """
    console = console or Console(stderr=True)
    bar = Progress(
        BarColumn(20), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(), console=console, transient=True,
        disable=not console.is_terminal, refresh_per_second=2,
    )  # fmt: skip
    task = bar.add_task("", total=None)
    last = time.monotonic()

    def show(size: int, total: int | None) -> None:
        nonlocal last
        bar.update(task, completed=size, total=total)
        now = time.monotonic()
        if not console.is_terminal and (now - last >= seconds or size == total):
            last = now
            log(f"{naturalsize(size)} of {naturalsize(total) if total else 'an unknown size'}")

    with bar:
        yield show


@contextlib.contextmanager
def progress_lines(log: Callable[[str], object], seconds: float = LINE_SECONDS) -> Iterator[ProgressCallback]:
    """A callback for the downloader that writes a line now and then and at the end; as :func:`live_progress`."""
    last, unsaid = time.monotonic(), None

    def show(moment: Moment) -> None:
        nonlocal last, unsaid
        unsaid, now = moment, time.monotonic()
        if now - last >= seconds:
            last, unsaid = now, None
            log(str(moment))

    yield show
    if unsaid is not None and unsaid.total:
        log(str(unsaid))


@contextlib.contextmanager
def _bar(console: Console) -> Iterator[ProgressCallback]:
    failures = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    # drawn when there is something new, twice a second, and not by a thread of its own
    bar = Progress(
        BarColumn(20), TextColumn("images {task.completed}/{task.total}, {task.fields[rate]:.0f}/s,"),
        TextColumn("{task.fields[left]} left, failures:"),
        TextColumn("{task.fields[failures]}", style="yellow", table_column=failures),
        console=console, auto_refresh=False, transient=True, expand=True,
    )  # fmt: skip
    task = bar.add_task("", total=0, rate=0.0, left="-:--:--", failures="none")

    def show(moment: Moment) -> None:
        bar.start()
        bar.update(
            task, total=moment.total, completed=moment.done, rate=moment.rate, left=moment.time_left,
            failures=moment.failures, refresh=True,
        )  # fmt: skip

    try:
        yield show
    finally:
        bar.stop()
