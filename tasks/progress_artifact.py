"""A run's progress on its Artifacts page."""

from collections.abc import Callable
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from pricing.run_progress import Moment

__all__ = ["PUBLISH_SECONDS", "progress_artifact"]

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
        update_progress_artifact(artifact, 100.0 * (moment.share or 0.0), description=str(moment))

    return publish
