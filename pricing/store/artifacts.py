"""Content-addressed store of stage outputs.

A stage's output is a folder named by the key of what made it. It is written beside and renamed into place, so a killed
run leaves no half output; it is served only while every file in it is whole. What is handed on is a small Reference.

Layout::

    store/STAGE/KEY/artifact.json    key parts, files with size and SHA-256, times
    store/STAGE/KEY/...              the output
    store/.partial/...               outputs being written; swept by prune when nobody writes them any more
    store/.locks/...                 held while an output is made: by its key, so that two runs do no work twice, and
                                     by the name in .partial; swept by prune when no process holds them

Behind an address (`pricing.store.remote`) the same folder is this machine's cache: an output that is made is uploaded,
its record last; one that is asked for and not here is fetched; and the record there is the one that counts.
"""

import logging
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pricing.config.paths import PathsConfig
from pricing.errors import ArtifactError
from pricing.store.copies import Copies, lock_of
from pricing.store.keys import key_of, key_parts
from pricing.store.permissions import apply_umask
from pricing.store.references import (
    RECORD,
    Reference,
    damage_of,
    digest_of,
    file_digest,
    listing,
    parse_record,
    peak_rss,
    read_json,
    read_record,
    write_json,
)
from pricing.store.remote import Remote
from pricing.store.shared import SharedOutputs
from pricing.store.stages import Stage

__all__ = [
    "RECORD", "ArtifactStore", "Reference", "file_digest", "key_of", "key_parts", "read_json", "read_record",
    "write_json",
]  # fmt: skip

logger = logging.getLogger(__name__)


class ArtifactStore:
    """The store.

    Parameters
    ----------
    root : Path
        Folder of the store; made when the first output is written.
    remote : Remote, optional
        The storage that several machines share, of which the folder is this machine's cache.
    cache_size : int, optional
        Maximum size of that cache, bytes.
    """

    def __init__(self, root: Path, remote: Remote | None = None, cache_size: int = 0) -> None:
        self.root = Path(root)
        self.copies = Copies(self.root, cache_size)
        self.shared = SharedOutputs(remote) if remote else None

    @classmethod
    def of(cls, paths: PathsConfig) -> "ArtifactStore":
        """The store that the settings name."""
        return cls(paths.store, Remote(paths.address) if paths.address else None, paths.cache_size)

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return self.shared.remote.address if self.shared else str(self.root)

    def path(self, reference: Reference) -> Path:
        """Folder of an output; behind an address it is fetched unless it is here.

        Raises
        ------
        ArtifactError
            It is neither here nor there, or damaged.
        """
        folder = self.root / reference.stage / reference.key
        if self.shared and not self.copies.use(reference):
            content = self.shared.read(reference.stage, reference.key)
            record = parse_record(content, str(folder)) if content else None
            if record is None or record["reference"].digest != reference.digest or not self._fetch(record):
                raise ArtifactError(
                    f"{reference.label}: its output {reference.stage}/{reference.key} is no longer whole in "
                    f"{self.place}; run again to rebuild it"
                )
        return folder

    def find(self, stage: str, key: str) -> Reference | None:
        """The output under a key, or None where there is none or it is damaged.

        Behind an address it is here afterwards, and what the record there says of it is what counts.
        """
        here = self._find_here(stage, key)
        if not self.shared:
            return here
        content = self.shared.read(stage, key)
        if content is None:
            # made by a run that was killed before it was uploaded, or pruned there
            return here and self._upload(here)
        try:
            record = parse_record(content, key)
        except ArtifactError:
            return None
        if not self.shared.has_blobs(record["blobs"]):
            self.shared.withdraw(stage, key)
            return None
        reference: Reference = record["reference"]
        if here and here.digest == reference.digest:
            self.copies.use(reference)
            return reference
        return reference if self._fetch(record) else None

    def _find_here(self, stage: str, key: str) -> Reference | None:
        folder = self.root / stage / key
        try:
            record = read_record(folder)
        except ArtifactError:
            return None
        return record["reference"] if not damage_of(folder, record["files"]) else None

    def build(
        self, stage: Stage, name: str, slot: str, parts: Mapping[str, Any], make: Callable[[Path], Any],
        threads: int = 1, *, together: bool = False, sources: Mapping[str, str] | None = None,
    ) -> Reference:  # fmt: skip
        """Serve the output with these key parts, or make it, or wait for the run that is at it.

        Parameters
        ----------
        stage : Stage
            The stage.
        name, slot : str
            The step, and which of its outputs this is ("0" for a fold).
        parts : mapping
            Result of `pricing.store.keys.key_parts`.
        make : callable
            Writes the output into the empty folder that it is given; may return the names of blobs of the shared
            storage (`pricing.store.remote`) that belong to it, without which it is not served.
        threads : int
            Recorded, not part of the key.
        together : bool
            Several runs may be at it at once; the first to finish is the one that counts.
        sources : mapping, optional
            Names of the files among the inputs, recorded for `pricing why`; not part of the key.
        """
        key = key_of(parts)
        if found := self.find(stage, key):
            return found
        if together:
            return self._make(stage, name, slot, key, parts, make, threads, sources)
        with self._alone(stage, key):
            return self.find(stage, key) or self._make(stage, name, slot, key, parts, make, threads, sources)

    def _make(
        self, stage: Stage, name: str, slot: str, key: str, parts: Mapping[str, Any], make: Callable[[Path], Any],
        threads: int, sources: Mapping[str, str] | None,
    ) -> Reference:  # fmt: skip
        started = time.time()
        with self._partial(stage, key) as partial:
            blobs = make(partial)
            apply_umask(partial)
            files = listing(partial)
            reference = Reference(
                stage=stage, name=name, slot=slot, key=key, digest=digest_of(files),
                size=sum(size for size, _ in files.values()), started=started, ended=time.time(), threads=threads,
                peak_rss=peak_rss(),
            )  # fmt: skip
            record = {"reference": reference.model_dump(), "parts": parts, "files": files, "sources": sources or {}}
            write_json(partial / RECORD, record | ({"blobs": blobs} if blobs else {}))
            made = self._move_in(partial, reference)
        return self._upload(made) if self.shared else made

    @contextmanager
    def _partial(self, stage: str, key: str) -> Iterator[Path]:
        """An empty folder beside the outputs; it is gone at the end of the block, unless it was renamed."""
        partial = self.root / ".partial" / f"{stage}-{key}-{uuid.uuid4().hex}"
        lock = self._lock(partial.name)
        # or prune would take it for abandoned
        lock.acquire()
        partial.mkdir(parents=True)
        try:
            yield partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            lock.release()
            # nobody waits for this one
            Path(lock.lock_file).unlink(missing_ok=True)

    def _upload(self, made: Reference) -> Reference:
        """Give an output that is here to all machines; returns the one that counts, which may be another's."""
        assert self.shared is not None
        folder = self.root / made.stage / made.key
        record = read_record(folder)
        counts = self.shared.publish(folder, record)
        if counts["reference"].digest != made.digest and not self._fetch(counts):
            # the other one's is damaged, and withdrawn by now
            counts = self.shared.publish(folder, record)
        self.copies.use(made)
        return Reference.model_validate(counts["reference"])

    def _fetch(self, record: Mapping[str, Any]) -> bool:
        """Put a copy of a shared output in its place here; a damaged one is withdrawn there, so that it is rebuilt."""
        assert self.shared is not None
        reference: Reference = record["reference"]
        with self._partial(reference.stage, reference.key) as partial:
            if not self.shared.fetch(record, partial):
                self.shared.withdraw(reference.stage, reference.key)
                return False
            apply_umask(partial)
            final = self.root / reference.stage / reference.key
            with self.copies.lock():
                # of another digest, or damaged
                self._set_aside(final, partial.with_name(partial.name + "-old"))
                final.parent.mkdir(parents=True, exist_ok=True)
                with suppress(OSError):  # another process was first
                    partial.rename(final)
        self.copies.use(reference)
        return True

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep copies that are found or asked for in the block until its end; then remove what the cache has too much.

        Nothing of this in a store without an address: all that is there is the only one.
        """
        if not self.shared:
            yield
            return
        with self.copies.in_use():
            yield
        self.copies.evict(self.shared)

    @contextmanager
    def _alone(self, stage: str, key: str) -> Iterator[None]:
        lock = self._lock(f"{stage}-{key}")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            logger.info("another run is making %s %s; waiting for it", stage, key)
            # the kernel frees it when that process ends, however it does
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _lock(self, name: str) -> FileLock:
        return lock_of(self.root, name)

    def _move_in(self, partial: Path, made: Reference) -> Reference:
        """Put an output in its place, or serve the whole one that another run has put there in the meantime.

        The first one stays, or what that run was told of its content would be wrong where the two differ.
        """
        final = self.root / made.stage / made.key
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            # never replaces a folder that holds something
            partial.rename(final)
        except OSError:
            if found := self._find_here(made.stage, made.key):
                return found
            if not final.exists():
                raise
            # damaged
            self._set_aside(final, partial.with_name(partial.name + "-old"))
            partial.rename(final)
        return made

    def _set_aside(self, folder: Path, aside: Path) -> None:
        if folder.exists():
            folder.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)

    def outputs(self, stage: str | None = None) -> list[dict[str, Any]]:
        """Readable records of the store, oldest first: ``{"reference", "parts", "files", "sources"}``."""
        records = []
        contents = self.shared.contents(stage) if self.shared else _contents(self.root, stage)
        for where, content in contents:
            with suppress(ArtifactError):
                records.append(parse_record(content, where))
        return sorted(records, key=lambda record: record["reference"].ended)

    def verify(self) -> dict[str, list[str]]:
        """Folders with what is wrong in each; whole ones are not named."""
        if self.shared:
            return self.shared.verify()
        problems = {}
        for folder in sorted(self.root.glob("[!.]*/*")):
            try:
                record = read_record(folder)
            except ArtifactError as error:
                problems[str(folder.relative_to(self.root))] = [str(error)]
                continue
            if damage := damage_of(folder, record["files"]):
                problems[str(folder.relative_to(self.root))] = damage
        return problems

    def prune(self, keep: set[str]) -> tuple[int, int]:
        """Remove outputs whose key is not in ``keep``, half-written ones that no run is at, and locks that none holds.

        Behind an address, there too: half-uploaded ones of any run, and blobs that no output names any more.

        Returns
        -------
        tuple of int
            Their number and bytes.
        """
        gone = [folder for folder in self.root.glob("[!.]*/*") if folder.name not in keep]
        gone += [folder for folder in self.root.glob(".partial/*") if self._abandoned(folder)]
        size = sum(path.stat().st_size for folder in gone for path in folder.rglob("*") if path.is_file())
        for folder in gone:
            shutil.rmtree(folder)
        self._sweep_locks()
        return self.shared.prune(keep) if self.shared else (len(gone), size)

    def _sweep_locks(self) -> None:
        for file in self.root.glob(".locks/*.lock"):
            # removed while it is held: a process that has opened it meanwhile sees that it is gone, and makes a new one
            with suppress(Timeout), FileLock(file).acquire(timeout=0):
                file.unlink(missing_ok=True)

    def _abandoned(self, partial: Path) -> bool:
        try:
            with self._lock(partial.name).acquire(timeout=0):
                # its run may have ended since it was listed
                return partial.exists()
        except Timeout:
            return False


def _contents(root: Path, stage: str | None) -> Iterator[tuple[str, bytes]]:
    for file in root.glob(f"{stage or '[!.]*'}/*/{RECORD}"):
        with suppress(OSError):
            yield str(file.parent), file.read_bytes()
