"""Checkpoints of a training that another machine may resume: copies under work/KEY of the storage, never a record."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pricing.errors import ArtifactError
from pricing.store.remote import WORK, Remote

logger = logging.getLogger(__name__)


@contextmanager
def travelling(folder: Path, remote: Remote, minutes: float) -> Iterator[None]:
    """Take over checkpoints that another machine left, and leave this one's every few minutes and after an error.

    Without an error the training is finished, and its checkpoints there are removed.

    Parameters
    ----------
    folder : Path
        Folder of the checkpoints, named by the key of what the training makes.
    remote : Remote
        The storage.
    minutes : float
        Minutes between two uploads.
    """
    _fetch(folder, remote)
    ended = threading.Event()

    def upload() -> None:
        while not ended.wait(60 * minutes):
            _upload_anyhow(folder, remote)

    thread = threading.Thread(target=upload, daemon=True, name="checkpoint-upload")
    thread.start()
    try:
        yield
    except BaseException:
        _stop(ended, thread)
        _upload_anyhow(folder, remote)
        raise
    _stop(ended, thread)
    remote.clear(_name(folder))


def _stop(ended: threading.Event, thread: threading.Thread) -> None:
    ended.set()
    thread.join()


def _name(folder: Path) -> str:
    return f"{WORK}/{folder.name}"


def _fetch(folder: Path, remote: Remote) -> None:
    """Download what is not here; which checkpoint is the newest, and whole, the training judges by itself."""
    files = {name: folder / Path(name).name for name in remote.sizes(_name(folder))}
    wanted = {name: path for name, path in files.items() if not path.exists()}
    if wanted:
        logger.info("%d files of checkpoints of another machine are fetched", len(wanted))
    for name in sorted(wanted, key=_last):
        content = remote.read(name)
        if content is not None:
            folder.mkdir(parents=True, exist_ok=True)
            beside = wanted[name].with_suffix(".part")
            beside.write_bytes(content)
            beside.replace(wanted[name])


def _upload_anyhow(folder: Path, remote: Remote) -> None:
    """Upload new checkpoints; a storage that is away costs no training."""
    try:
        there = remote.sizes(_name(folder))
        here = {f"{_name(folder)}/{path.name}": path for path in folder.glob("*") if path.suffix != ".part"}
        for name in sorted(here.keys() - there.keys(), key=_last):
            try:
                remote.put({name: here[name]})
            except FileNotFoundError:  # an older one, cleaned away in the meantime
                continue
        remote.remove(sorted(there.keys() - here.keys(), key=_last, reverse=True))
    except ArtifactError as error:
        logger.warning("checkpoints stay on this machine for now: %s", error)


def _last(name: str) -> tuple[bool, str]:
    """Order in which a checkpoint is written: its JSON last, without which there is none."""
    return name.endswith(".json"), name
