"""Content-addressed store of stage outputs.

A stage's output is a folder named by the key of what made it. It is written beside and renamed into place, so a killed
run leaves no half output; it is served only while every file in it is whole. What is handed on is a small Reference.

Layout::

    store/STAGE/KEY/artifact.json    key parts, files with size and SHA-256, times
    store/STAGE/KEY/...              the output
    store/.partial/...               outputs being written; swept by prune when nobody writes them any more
    store/.locks/...                 held while an output is made: by its key, so that two runs do no work twice, and
                                     by the name in .partial; swept by prune when no process holds them
"""

import hashlib
import json
import logging
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from pricing.errors import ArtifactError
from pricing.store.codehash import code_digests, library_versions
from pricing.store.permissions import apply_umask
from pricing.store.stages import Stage

logger = logging.getLogger(__name__)

RECORD = "artifact.json"


class Reference(BaseModel):
    """A stage output, by key and content; small enough to be a task's result.

    ``digest`` is the SHA-256 over the output's file names and contents; it alone goes into the keys of later stages, so
    a stage that ran again with the same outcome makes nothing after it run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: Stage
    """Also its folder in the store."""
    name: str
    """Of the step."""
    slot: str
    """Which of the step's outputs, such as a member and a fold."""
    key: str
    digest: str
    size: int
    """Bytes."""
    started: float
    """Unix time, seconds."""
    ended: float
    """Unix time, seconds."""
    threads: int
    peak_rss: int
    """Largest resident memory of the process that made it, bytes."""

    @property
    def label(self) -> str:
        """Step and slot, for people."""
        return f"{self.name} {self.slot}".strip()

    @property
    def seconds(self) -> float:
        """How long it took to make."""
        return self.ended - self.started


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def key_parts(
    step: str, entries: str | Sequence[str], inputs: Mapping[str, Any], digest: Callable[[Path], str] = file_digest
) -> dict[str, Any]:
    """What makes a stage's output, in a form that hashes alike in every process.

    Parameters
    ----------
    step : str
        Name of the step.
    entries : str or sequence of str
        Dotted names of the modules that do the work.
    inputs : mapping
        The stage's arguments: References count by digest, configuration sections by value, files (Path) by
        content; anything else must be JSON.
    digest : callable
        Returns the SHA-256 of a file's content; see `pricing.store.digests` for one that remembers it.
    """
    modules = [entries] if isinstance(entries, str) else entries
    return {
        "step": step,
        "inputs": {name: _canonical(value, digest) for name, value in sorted(inputs.items())},
        "code": code_digests(*modules),
        "versions": library_versions(*modules),
    }


def key_of(parts: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of the key parts, 32 hexadecimal digits of it."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _canonical(value: Any, digest: Callable[[Path], str]) -> Any:
    if isinstance(value, Reference):
        return {"stage": value.stage.value, "digest": value.digest}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Path):
        return {"file": digest(value)}
    if isinstance(value, Mapping):
        return {str(name): _canonical(item, digest) for name, item in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [_canonical(item, digest) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} cannot be part of a cache key")


class ArtifactStore:
    """The store.

    Parameters
    ----------
    root : Path
        Folder of the store; made when the first output is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def path(self, reference: Reference) -> Path:
        """Folder of an output."""
        return self.root / reference.stage / reference.key

    def find(self, stage: str, key: str) -> Reference | None:
        """The output under a key, or None where there is none or it is damaged."""
        folder = self.root / stage / key
        try:
            record = read_record(folder)
        except ArtifactError:
            return None
        return record["reference"] if not _damage(folder, record["files"]) else None

    def build(
        self, stage: Stage, name: str, slot: str, parts: Mapping[str, Any], make: Callable[[Path], None],
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
            Result of :func:`key_parts`.
        make : callable
            Writes the output into the empty folder that it is given.
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
        self, stage: Stage, name: str, slot: str, key: str, parts: Mapping[str, Any], make: Callable[[Path], None],
        threads: int, sources: Mapping[str, str] | None,
    ) -> Reference:  # fmt: skip
        partial = self.root / ".partial" / f"{stage}-{key}-{uuid.uuid4().hex}"
        lock = self._lock(partial.name)
        # or prune would take it for abandoned
        lock.acquire()
        partial.mkdir(parents=True)
        started = time.time()
        try:
            make(partial)
            apply_umask(partial)
            files = _listing(partial)
            reference = Reference(
                stage=stage, name=name, slot=slot, key=key, digest=_digest(files),
                size=sum(size for size, _ in files.values()), started=started, ended=time.time(), threads=threads,
                peak_rss=_peak_rss(),
            )  # fmt: skip
            record = {"reference": reference.model_dump(), "parts": parts, "files": files, "sources": sources or {}}
            write_json(partial / RECORD, record)
            return self._move_in(partial, reference)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            lock.release()
            # nobody waits for this one
            Path(lock.lock_file).unlink(missing_ok=True)

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
        folder = self.root / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{name}.lock")

    def _move_in(self, partial: Path, made: Reference) -> Reference:
        """Put an output in its place, or serve the whole one that another run has put there in the meantime.

        The first one stays, or what that run was told of its content would be wrong where the two differ.
        """
        final = self.path(made)
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            # never replaces a folder that holds something
            partial.rename(final)
        except OSError:
            if found := self.find(made.stage, made.key):
                return found
            if not final.exists():
                raise
            aside = partial.with_name(partial.name + "-old")
            # damaged
            final.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)
            partial.rename(final)
        return made

    def outputs(self, stage: str | None = None) -> list[dict[str, Any]]:
        """Readable records of the store, oldest first: ``{"reference", "parts", "files", "sources"}``."""
        records = []
        for folder in self.root.glob(f"{stage or '[!.]*'}/*"):
            try:
                records.append(read_record(folder))
            except ArtifactError:
                continue
        return sorted(records, key=lambda record: record["reference"].ended)

    def verify(self) -> dict[str, list[str]]:
        """Folders with what is wrong in each; whole ones are not named."""
        problems = {}
        for folder in sorted(self.root.glob("[!.]*/*")):
            try:
                record = read_record(folder)
            except ArtifactError as error:
                problems[str(folder.relative_to(self.root))] = [str(error)]
                continue
            if damage := _damage(folder, record["files"]):
                problems[str(folder.relative_to(self.root))] = damage
        return problems

    def prune(self, keep: set[str]) -> tuple[int, int]:
        """Remove outputs whose key is not in ``keep``, half-written ones that no run is at, and locks that none holds.

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
        return len(gone), size

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


def read_record(folder: Path) -> dict[str, Any]:
    """The artifact.json of an output, with ``reference`` parsed.

    Raises
    ------
    ArtifactError
        It is missing or not what this program writes.
    """
    try:
        record = read_json(folder / RECORD)
        files = {str(name): (int(size), str(digest)) for name, (size, digest) in record["files"].items()}
        reference = Reference.model_validate(record["reference"])
        parts, sources = dict(record["parts"]), dict(record.get("sources", {}))
        return {"reference": reference, "parts": parts, "files": files, "sources": sources}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise ArtifactError(
            f"{folder}: no readable {RECORD} ({type(error).__name__}); run again to rebuild it"
        ) from None


def read_json(path: Path) -> Any:
    """Read a JSON file; errors are those of the file system and of `json`."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON beside and rename it into place: sorted keys, so that equal values give equal bytes, and no NaN."""
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False)
    beside.write_text(text + "\n", encoding="utf-8")
    beside.replace(path)


def _listing(folder: Path) -> dict[str, tuple[int, str]]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): (path.stat().st_size, file_digest(path)) for path in paths}


def _digest(files: Mapping[str, tuple[int, str]]) -> str:
    return hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()


def _damage(folder: Path, files: Mapping[str, tuple[int, str]]) -> list[str]:
    damage = []
    for name, (size, digest) in files.items():
        path = folder / name
        if not path.is_file():
            damage.append(f"{name}: missing")
        elif path.stat().st_size != size:
            damage.append(f"{name}: {path.stat().st_size} bytes, expected {size}")
        elif file_digest(path) != digest:
            damage.append(f"{name}: content changed")
    return damage


def _peak_rss() -> int:
    info = psutil.Process().memory_info()
    return int(getattr(info, "peak_wset", 0) or _rusage_peak() or info.rss)


def _rusage_peak() -> int:
    try:
        import resource
    except ImportError:
        # not on Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
