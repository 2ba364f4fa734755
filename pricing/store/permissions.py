"""Permissions of what is written: those that the process's umask gives, whatever library wrote it.

safetensors, `tempfile` and others make files (0600) and folders (0700) that their owner alone can read. A service with
a user of its own could not price with such a model folder.
"""

import uuid
from pathlib import Path


def apply_umask(path: Path) -> None:
    """Give a file, or a folder with all that is in it, the permissions of a new file or folder at that place.

    Links are left alone: what they point to belongs to somebody else.

    Parameters
    ----------
    path : Path
        Exists and belongs to this process's user. What lies beside it is not touched.
    """
    # asked of the file system: os.umask can only be read by setting it, for all threads, and knows no default ACL
    folder_mode, file_mode = _modes(path if path.is_dir() else path.parent)
    for entry in (path, *path.rglob("*")) if path.is_dir() else (path,):
        if entry.is_symlink():
            continue
        mode = folder_mode if entry.is_dir() else file_mode
        if entry.stat().st_mode & 0o7777 != mode:
            entry.chmod(mode)


def _modes(folder: Path) -> tuple[int, int]:
    """Mode of a new folder and of a new file in a folder."""
    probe = folder / f".{uuid.uuid4().hex}"
    probe.mkdir()
    try:
        folder_mode = probe.stat().st_mode & 0o7777
    finally:
        probe.rmdir()
    probe.touch()
    try:
        return folder_mode, probe.stat().st_mode & 0o7777
    finally:
        probe.unlink()
