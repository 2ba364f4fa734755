"""What a run shows: the lines of its log, and its progress on its Artifacts page."""

import logging
from collections.abc import Callable
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from pricing.errors import PricingError
from pricing.run_progress import Moment

PUBLISH_SECONDS = 5.0
"""Seconds between two updates; one costs some 15 ms here and as much at the server."""


def progress_artifact(key: str) -> Callable[[Moment], None]:
    """Make a progress artifact of the flow run; returns what keeps it up to date.

    Parameters
    ----------
    key : str
        Of the artifact: lower-case letters, digits, dashes.
    """
    artifact = create_progress_artifact(progress=0.0, key=key, description="starting")
    assert isinstance(artifact, UUID)

    def publish(moment: Moment) -> None:
        share = moment.done / max(moment.total, 1) if moment.share is None else moment.share
        update_progress_artifact(artifact, 100.0 * share, description=str(moment))

    return publish


class _ExpectedErrors(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], PricingError):
            record.exc_info = None  # the message has it already
        return True


_EXPECTED = _ExpectedErrors()


def shorten_expected_errors() -> None:
    """One line for an error that the user can mend; Prefect would log fifty of traceback, which are for bugs."""
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(_EXPECTED)
