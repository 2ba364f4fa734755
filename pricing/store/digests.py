"""Digests of input files, each remembered with what the file system says of the file, as Git's index does.

A file is hashed again where its size, inode or times are others, and where it was changed so shortly before it was
hashed that a further change might bear the same time.
"""

import hashlib
import time
from contextlib import suppress
from pathlib import Path

from pricing.store.artifacts import file_digest, read_json, write_json

_RACY = 2_000_000_000
"""Nanoseconds: the coarsest clock of a file system, FAT's."""


def remembered_digest(path: Path, folder: Path) -> str:
    """Return the SHA-256 of a file's content; a file that stayed as it was is not read again, whichever process asks.

    Parameters
    ----------
    path : Path
        The file.
    folder : Path
        Where records are kept, one per path; made where it is missing.
    """
    path = path.absolute()
    record = folder / f"{hashlib.sha256(str(path).encode()).hexdigest()[:32]}.json"
    before = _state(path)
    # there is none, or it is damaged
    with suppress(OSError, ValueError, KeyError, TypeError):
        known = read_json(record)
        if known["state"] == before and max(before[-2:]) + _RACY < int(known["hashed"]):
            return str(known["sha256"])
    hashed = time.time_ns()
    digest = file_digest(path)
    if _state(path) == before:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(record, {"path": str(path), "state": before, "hashed": hashed, "sha256": digest})
    return digest


def _state(path: Path) -> list[int]:
    """Device, inode, size, and the times of the last change of content and of anything."""
    status = path.stat()
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
