"""A running download on the task run's Artifacts tab."""

import contextlib
import contextvars
import threading
from collections.abc import Iterator
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from pricing.catalogue.progress import Progress, ProgressCallback

UPDATE_SECONDS = 5.0
"""Seconds between two updates; one costs some 15 ms here and as much at the server."""


@contextlib.contextmanager
def progress_artifact(key: str) -> Iterator[ProgressCallback]:
    """A callback for the downloader that keeps a progress artifact up to date.

    The artifact is written by a thread, so that a slow server holds up no download; a server that fails costs the
    display and nothing else.

    Parameters
    ----------
    key : str
        Of the artifact: lower-case letters, digits, dashes.
    """
    latest: Progress | None = None
    ended = threading.Event()
    artifact = create_progress_artifact(progress=0.0, key=key, description="Pictures")
    assert isinstance(artifact, UUID)

    def publish() -> None:
        shown = None
        while True:
            last = ended.wait(UPDATE_SECONDS)
            if latest is not None and latest is not shown:
                shown = latest
                with contextlib.suppress(Exception):
                    update_progress_artifact(artifact, _percent(shown), description=str(shown))
            if last:
                return

    def remember(moment: Progress) -> None:
        nonlocal latest
        latest = moment

    # the thread needs this one's context, which knows the server
    thread = threading.Thread(target=contextvars.copy_context().run, args=(publish,), daemon=True, name="progress")
    thread.start()
    try:
        yield remember
    finally:
        ended.set()
        thread.join()


def _percent(moment: Progress) -> float:
    return 100.0 * moment.done / moment.total if moment.total else 100.0
