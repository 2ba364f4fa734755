"""The images on disk: small, whole, each content once, in folders of bearable size.

An image is named by the sha256 of the bytes it came from, so equal bytes under many URLs are stored once and no file
name is ever made from a URL. Two hex digits of folder keep 150,000 images at some 600 a folder.
"""

import contextlib
import errno
import hashlib
import itertools
import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from pricing.config.catalogue import ImagesConfig
from pricing.download.verification import prepare, sniff_format
from pricing.errors import DownloadError

FORM = 2
"""Raised when the same settings would give other stored images, so that old ones are not taken for new."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_counter = itertools.count()


@dataclass(frozen=True)
class StoredImage:
    """One image in the store."""

    file: str
    """Path relative to the work folder, with forward slashes."""
    sha256: str
    """Of the stored file."""
    stored_bytes: int
    """Size of the stored file."""
    width: int
    """Stored width, in pixels."""
    height: int
    """Stored height, in pixels."""
    source_sha256: str
    """Of the bytes as they came."""
    source_bytes: int
    """Bytes as they came."""


def images_key(config: ImagesConfig) -> str:
    """Name of the folder in the work folder that holds images made with these resize settings.

    Only what shapes a stored image is in it: a change of retries or limits fetches nothing again.
    """
    # "pictures" as in earlier versions, or a new one would fetch 150,000 images again; so is the manifest's table
    kept = "-original" if config.keep_original else ""
    return f"pictures-{config.side}px-q{config.quality}{kept}-v{FORM}"


class ImageStore:
    """Verified images under ``work / images_key(config)``.

    Parameters
    ----------
    work : Path
        The work folder; paths in records are relative to it.
    config : ImagesConfig
        Resize settings and limits.
    """

    def __init__(self, work: Path, config: ImagesConfig) -> None:
        self.work = work
        self.config = config
        self.key = images_key(config)
        self.root = work / self.key
        self._incoming = self.root / "incoming"
        try:
            self._incoming.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(self.root, error) from None
        self._sweep()

    def is_whole(self, file: str, stored_bytes: int) -> bool:
        """Whether a recorded image is there in its full size; renamed into place, it never has another."""
        try:
            return (self.work / file).stat().st_size == stored_bytes
        except OSError:
            return False

    def put(self, data: bytes) -> StoredImage:
        """Verify, scale down and store one image; whole on disk when this returns.

        Equal bytes and settings give the equal file, so two processes may do the same one at once.

        Raises
        ------
        ImageFailure
            The bytes are no acceptable image.
        DownloadError
            The disk is full or cannot be written.
        """
        source_sha256 = hashlib.sha256(data).hexdigest()
        image = prepare(data, self.config)
        file = f"{self.key}/{source_sha256[:2]}/{source_sha256}.jpg"
        if self.config.keep_original:
            suffix = (sniff_format(data) or "bin").lower()
            self._write(f"{self.key}/original/{source_sha256[:2]}/{source_sha256}.{suffix}", data)
        self._write(file, image.jpeg)
        sha256 = hashlib.sha256(image.jpeg).hexdigest()
        return StoredImage(file, sha256, len(image.jpeg), image.width, image.height, source_sha256, len(data))

    def _write(self, file: str, data: bytes) -> None:
        """Write beside and rename; not synced, since a power cut is caught by the size at the next start."""
        target = self.work / file
        if self.is_whole(file, len(data)):
            return
        beside = self._incoming / f"{os.getpid()}-{next(_counter)}"
        try:
            beside.write_bytes(data)
            try:
                beside.replace(target)
            except FileNotFoundError:
                target.parent.mkdir(parents=True, exist_ok=True)
                beside.replace(target)
        except OSError as error:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            raise disk_error(target, error) from None

    def _sweep(self) -> None:
        """Remove what killed processes left half written."""
        for entry in self._incoming.iterdir():
            owner = entry.name.partition("-")[0]
            if not owner.isdigit() or (int(owner) != os.getpid() and not psutil.pid_exists(int(owner))):
                with contextlib.suppress(OSError):
                    entry.unlink()


def disk_error(path: Path, error: OSError) -> DownloadError:
    """The clear form of a failed write."""
    if error.errno in _FULL:
        return DownloadError(
            f"{path}: the disk is full ({error.strerror}); what was fetched stays. "
            "Free some space, or choose another folder with --artifacts, and start again"
        )
    return DownloadError(f"{path}: cannot be written ({error.strerror or error}); what was fetched stays")
