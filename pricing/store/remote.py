"""A storage that several machines share, behind an fsspec address such as ``s3://bucket/prefix``.

::

    store/STAGE/KEY/artifact.json       the record of an output; its last object, so that without it there is no output
    store/STAGE/KEY/DIGEST/...          the files, by what they hold: two workers with different outcomes of one key
                                        do not mix
    blobs/NAME                          what an output's record names besides, such as a shard of images
    work/KEY/...                        checkpoints of a training that is under way

Credentials are the environment's; an address has none (`pricing.config.paths.place`).
"""

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from pricing.config.hiding import without_secrets
from pricing.errors import ArtifactError, ConfigError

BLOBS, WORK = "blobs", "work"
_EXTRAS = {"s3": "s3", "s3a": "s3"}
"""Scheme to the extra of this project that brings its driver; others are packages of their own."""


class Remote:
    """Objects by name under one address.

    Parameters
    ----------
    address : str
        As fsspec takes it. Nothing is asked of it before the first call.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """File system and the path of the address in it."""
        from fsspec.core import url_to_fs

        scheme = self.address.partition(":")[0]
        # what another machine has written must be seen; folders of a local file system are made
        options = {"auto_mkdir": True} if scheme == "file" else {"use_listings_cache": False}
        try:
            system, root = url_to_fs(self.address, **options)
        except ImportError as error:
            extra = _EXTRAS.get(scheme)
            how = f"pip install 'smart-product-pricing[{extra}]'" if extra else "install its fsspec driver"
            raise ConfigError(f"paths.artifacts {self.address}: the driver is missing ({error}); {how}") from None
        except ValueError as error:
            raise ConfigError(
                f"paths.artifacts {self.address}: {without_secrets(str(error))}; give a folder or an address such as "
                "s3://bucket/prefix"
            ) from None
        return system, str(root)

    @contextmanager
    def _asking(self) -> Iterator[tuple[Any, str]]:
        """File system and root; what a driver raises becomes one error, but for what is missing or there already."""
        opened = self._opened
        try:
            yield opened
        except (FileNotFoundError, FileExistsError):
            raise
        except Exception as error:  # every driver has errors of its own
            raise ArtifactError(
                f"{self.address}: cannot be read or written ({type(error).__name__}: {without_secrets(str(error))}); "
                "check the network, the credentials in the environment and their rights. What is finished is kept, "
                "run again"
            ) from None

    def check(self) -> None:
        """Write and remove a small object.

        Raises
        ------
        ConfigError
            The driver is missing.
        ArtifactError
            The storage does not answer, has no such bucket, or may not be written to.
        """
        probe = f".probe-{uuid.uuid4().hex}"
        self.write(probe, b"")
        self.remove([probe])

    def read(self, name: str) -> bytes | None:
        """Return an object's content; None where there is none."""
        with self._asking() as (system, root):
            try:
                return bytes(system.cat_file(f"{root}/{name}"))
            except FileNotFoundError:
                return None

    def create(self, name: str, content: bytes) -> bool:
        """Write an object unless there is one; whether it was written. Of several writers one wins (S3, GCS)."""
        with self._asking() as (system, root):
            try:
                system.pipe_file(f"{root}/{name}", content, mode="create")
            except FileExistsError:
                return False
            return True

    def write(self, name: str, content: bytes) -> None:
        """Write an object, or replace it."""
        with self._asking() as (system, root):
            try:
                system.pipe_file(f"{root}/{name}", content)
            except FileNotFoundError as error:
                raise ArtifactError(f"{self.address}: there is no such bucket ({error}); make it first") from None

    def put(self, files: Mapping[str, Path]) -> None:
        """Upload files by the names of their objects.

        Raises
        ------
        FileNotFoundError
            A file is gone.
        """
        with self._asking() as (system, root):
            system.put([str(path) for path in files.values()], [f"{root}/{name}" for name in files])

    def get(self, files: Mapping[str, Path]) -> None:
        """Download objects into files.

        Raises
        ------
        FileNotFoundError
            An object is gone.
        """
        for path in files.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        with self._asking() as (system, root):
            system.get([f"{root}/{name}" for name in files], [str(path) for path in files.values()])

    def digest(self, name: str) -> str:
        """SHA-256 of an object's content.

        Raises
        ------
        FileNotFoundError
            There is none.
        """
        with self._asking() as (system, root), system.open(f"{root}/{name}", "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the names of all objects in a folder and below, with their bytes."""
        with self._asking() as (system, root):
            try:
                found = system.find(f"{root}/{folder}", detail=True)
            except FileNotFoundError:
                return {}
            return {path.removeprefix(root).lstrip("/"): int(about["size"] or 0) for path, about in found.items()}

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; one that is gone already is no error."""
        with self._asking() as (system, root):
            for name in names:
                try:
                    system.rm_file(f"{root}/{name}")
                except FileNotFoundError:
                    continue

    def clear(self, folder: str) -> int:
        """Remove all objects in a folder and below; returns their bytes."""
        found = self.sizes(folder)
        self.remove(found)
        return sum(found.values())
