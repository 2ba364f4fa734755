"""What is known of one output: its record, artifact.json, and the reference that is handed on."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from pricing.errors import ArtifactError
from pricing.store.stages import Stage

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


def read_record(folder: Path) -> dict[str, Any]:
    """The artifact.json of an output, with ``reference`` parsed.

    Raises
    ------
    ArtifactError
        It is missing or not what this program writes.
    """
    try:
        return parse_record((folder / RECORD).read_bytes(), str(folder))
    except OSError as error:
        raise _unreadable(str(folder), error) from None


def parse_record(content: bytes, where: str) -> dict[str, Any]:
    """Parse the content of an artifact.json: ``reference``, ``parts``, ``files``, ``sources`` and ``blobs``.

    Parameters
    ----------
    content : bytes
        JSON.
    where : str
        Folder or address, for the error.

    Raises
    ------
    ArtifactError
        It is not what this program writes, or names a file outside of the output.
    """
    try:
        record = json.loads(content)
        files = {str(name): (int(size), str(digest)) for name, (size, digest) in record["files"].items()}
        reference = Reference.model_validate(record["reference"])
        parts, sources = dict(record["parts"]), dict(record.get("sources", {}))
        blobs = [str(name) for name in record.get("blobs", [])]
        for path in map(PurePosixPath, files):
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"file {path}")
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise _unreadable(where, error) from None
    return {"reference": reference, "parts": parts, "files": files, "sources": sources, "blobs": blobs}


def _unreadable(where: str, error: Exception) -> ArtifactError:
    return ArtifactError(f"{where}: no readable {RECORD} ({type(error).__name__}); run again to rebuild it")


def read_json(path: Path) -> Any:
    """Read a JSON file; errors are those of the file system and of `json`."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON beside and rename it into place: sorted keys, so that equal values give equal bytes, and no NaN."""
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False)
    beside.write_text(text + "\n", encoding="utf-8")
    beside.replace(path)


def listing(folder: Path) -> dict[str, tuple[int, str]]:
    """Return the files of an output by their path in it: bytes and SHA-256."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): (path.stat().st_size, file_digest(path)) for path in paths}


def digest_of(files: Mapping[str, tuple[int, str]]) -> str:
    """Return the SHA-256 over names and contents of an output's files."""
    return hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()


def damage_of(folder: Path, files: Mapping[str, tuple[int, str]]) -> list[str]:
    """Say what is wrong with an output's files; nothing if all are whole."""
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


def peak_rss() -> int:
    """Return the largest resident memory of this process so far, bytes."""
    info = psutil.Process().memory_info()
    return int(getattr(info, "peak_wset", 0) or _rusage_peak() or info.rss)


def _rusage_peak() -> int:
    try:
        import resource
    except ImportError:
        # not on Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
