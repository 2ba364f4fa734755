"""The model that is served, and the one that takes its place."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from pricing.run.model_folder import find_model
from pricing.serve.served_model import ServedModel

logger = logging.getLogger(__name__)

Stamp = tuple[int, int, int, int]


class ModelHolder:
    """Holds a model, and takes over another one that is renamed into the place of its folder.

    Requests keep the model that they began with.

    Parameters
    ----------
    folder : Path
        A run's folder, or a model folder.
    load : callable
        Reads it: `ServedModel.load`.

    Attributes
    ----------
    current : ServedModel
        The model for new requests.
    loads : dict of str to int
        Number of takeovers that succeeded (``ok``) and ``failed``.

    Raises
    ------
    InputError, ArtifactError
        The folder holds no model that this version reads.
    """

    def __init__(self, folder: Path, load: Callable[[Path], ServedModel]) -> None:
        self._folder, self._load = folder, load
        self._stamp = self._look()
        self.current = load(folder)
        self.loads = {"ok": 0, "failed": 0}

    def refresh(self) -> bool:
        """Take over the folder's model if it is another one; return whether it was.

        A model that cannot be read is logged and not tried again; the one before it stays.
        """
        stamp = self._look()
        # between two renames there is no folder
        if stamp is None or stamp == self._stamp:
            return False
        try:
            model = self._load(self._folder)
        except Exception as error:
            if self._look() == stamp:
                self._stamp = stamp
                self.loads["failed"] += 1
                logger.error("%s: not taken over, model %s stays: %s", self._folder, self.current.name, error)
            return False
        if self._look() != stamp:
            # replaced while it was read; the next look reads it whole
            return False
        logger.info("%s: model %s takes over from %s", self._folder, model.name, self.current.name)
        self.current, self._stamp = model, stamp
        self.loads["ok"] += 1
        return True

    async def watch(self, seconds: float) -> None:
        """Look for another model until cancelled.

        Parameters
        ----------
        seconds : float
            Time between two looks.
        """
        while True:
            await asyncio.sleep(seconds)
            await asyncio.to_thread(self.refresh)

    def _look(self) -> Stamp | None:
        """What changes when another folder is renamed into place; None where there is no model."""
        try:
            model = find_model(self._folder)
            found, record = model.stat(), (model / "model.json").stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, record.st_ino, record.st_mtime_ns
