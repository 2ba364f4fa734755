"""This machine's copies of shared outputs: which one was used when, and which go when there are too many."""

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from pricing.errors import ArtifactError
from pricing.store.references import RECORD, Reference, read_record
from pricing.store.shared import SharedOutputs

GRACE_SECONDS = 60.0
"""Seconds since its last use for which a copy stays."""


def lock_of(root: Path, name: str) -> FileLock:
    """Return a lock of a store's folder; the kernel frees it with the process that holds it."""
    folder = root / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{name}.lock")


class Copies:
    """The copies in a store's folder. A copy's last use is the time of its record's file.

    Parameters
    ----------
    root : Path
        Folder of the store.
    size : int
        Maximum of all copies together, bytes.
    """

    def __init__(self, root: Path, size: int) -> None:
        self.root, self.size = root, size

    def lock(self) -> FileLock:
        """Return what is held while copies are put in place or removed."""
        return lock_of(self.root, "copies")

    def use(self, reference: Reference) -> bool:
        """Whether a copy of an output is here; it counts as used now."""
        folder = self.root / reference.stage / reference.key
        with self.lock():
            try:
                here = read_record(folder)["reference"].digest == reference.digest
                os.utime(folder / RECORD)
            except (ArtifactError, OSError):
                return False
            return bool(here)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the copies that any process uses from now on until the end of the block."""
        # the time stands in the name: to look whether a lock is held changes the file's
        lock = lock_of(self.root, f"used-{time.time_ns()}-{uuid.uuid4().hex}")
        with lock:
            yield
        Path(lock.lock_file).unlink(missing_ok=True)

    def evict(self, shared: SharedOutputs) -> None:
        """Remove the least recently used copies over the size; none that is in use, or that is only here."""
        copies = []
        for file in self.root.glob(f"[!.]*/*/{RECORD}"):
            with suppress(ArtifactError, OSError):
                copies.append((file.stat().st_mtime, read_record(file.parent)["reference"]))
        over = sum(reference.size for _, reference in copies) - self.size
        if over <= 0:
            return
        begun = [int(file.name.split("-")[1]) / 1e9 for file in self.root.glob(".locks/used-*.lock") if _is_held(file)]
        before = min([time.time() - GRACE_SECONDS, *begun])
        for used, reference in sorted(copies, key=lambda copy: copy[0]):
            if over <= 0 or used >= before:
                break
            if shared.read(reference.stage, reference.key) is not None and self._remove(reference, used):
                over -= reference.size

    def _remove(self, reference: Reference, used: float) -> bool:
        """Remove a copy unless somebody has used it in the meantime."""
        folder = self.root / reference.stage / reference.key
        name = f"{reference.stage}-{reference.key}-{uuid.uuid4().hex}"
        aside, lock = self.root / ".partial" / name, lock_of(self.root, name)
        with lock:
            with self.lock():
                try:
                    if (folder / RECORD).stat().st_mtime != used:
                        return False
                    aside.parent.mkdir(exist_ok=True)
                    folder.rename(aside)
                except OSError:
                    return False
            shutil.rmtree(aside, ignore_errors=True)
        Path(lock.lock_file).unlink(missing_ok=True)
        return True


def _is_held(lock: Path) -> bool:
    try:
        with FileLock(lock).acquire(timeout=0):
            lock.unlink(missing_ok=True)
            return False
    except Timeout:
        return True
