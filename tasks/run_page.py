"""What a run shows: the lines of its log, and its progress on its Artifacts page."""

import base64
import logging
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from uuid import UUID

from PIL import Image
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from pricing.errors import PricingError
from pricing.run_progress import Moment

PUBLISH_SECONDS = 5.0
"""Seconds between two updates; one costs some 15 ms here and as much at the server."""
WIDTH = 1000
"""Pixels of a plot in the report."""


def progress_artifact(key: str) -> Callable[[Moment], None]:
    """Make a progress artifact of the flow run, and one for each part of it as soon as it has one.

    Parameters
    ----------
    key : str
        Of the artifact: lower-case letters, digits, dashes.

    Returns
    -------
    callable
        Keeps them up to date.
    """
    made: dict[str, UUID] = {}
    told: dict[str, str] = {}

    def show(name: str, share: float, words: str) -> None:
        if name not in made:
            artifact = create_progress_artifact(100.0 * share, key=name, description=words)
            assert isinstance(artifact, UUID)
            made[name] = artifact
        elif told[name] != words or share == 1.0:
            update_progress_artifact(made[name], 100.0 * share, description=words)
        told[name] = words

    def publish(moment: Moment) -> None:
        share = moment.done / max(moment.total, 1) if moment.share is None else moment.share
        show(key, share, _words(moment))
        for part in moment.parts:
            show(f"pricing-{part.name}", part.share, str(part))

    show(key, 0.0, "starting")
    return publish


def rename_run(name: str) -> None:
    """Give the flow run a name, once more is known of it than when it was started."""
    with get_client(sync_client=True) as client:
        client.set_flow_run_name(UUID(str(flow_run.id)), name)


def plot_address(plot: Path) -> str:
    """Return a plot as a ``data:`` URI of at most some 100 kB, which a page shows without a server for it.

    Parameters
    ----------
    plot : Path
        PNG file; made WIDTH pixels wide if it is wider.
    """
    with Image.open(plot) as image, BytesIO() as made:
        small = image.convert("RGB")
        small.thumbnail((WIDTH, 4 * WIDTH))
        small.save(made, "WEBP", quality=80)
        return f"data:image/webp;base64,{base64.b64encode(made.getvalue()).decode()}"


def _words(moment: Moment) -> str:
    """What the artifact says: the end first, as a card shows the first words alone."""
    steps = f"{moment.done} of {moment.total} steps"
    if moment.total and moment.done == moment.total:
        return f"done, {steps}"
    return f"{moment.end or 'end not known yet'}: {moment.work}, {steps}"


class _ExpectedErrors(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if record.getMessage().startswith("Finished in state Completed("):
            return False  # the library's own line says the same with its seconds
        if record.exc_info and isinstance(record.exc_info[1], PricingError):
            record.exc_info = None  # the message has it already
        return True


_EXPECTED = _ExpectedErrors()


def shorten_expected_errors() -> None:
    """One line for an error that the user can mend; Prefect would log fifty of traceback, which are for bugs.

    And none for a step that ended well, of which the library has told already.
    """
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(_EXPECTED)
