"""What is known about every image, in one SQLite file.

The manifest is written in groups, in WAL mode, so that killing a process at any moment leaves the last group whole,
and several processes may have it open at once. A row is only written after the image it names lies whole on disk.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from pricing.errors import ArtifactError, DownloadError

BUSY_SECONDS = 60.0
"""How long a writer waits for another process."""

REMEMBER_HOSTS_SECONDS = 600.0
"""How long what was learned of a host is believed."""

_VERSION = 3
_CHUNK = 500


@dataclass(frozen=True)
class HostState:
    """What a batch learned of a host."""

    down: bool = False
    """It did not answer; later batches begin with a single probe."""
    rate: float | None = None
    """Pace that it bears, in requests a second; None where none is kept."""


@dataclass(frozen=True)
class ImageRecord:
    """One row of the manifest."""

    origin: str
    """``web`` (also through mirrors) or ``folder:PATH``; see ImageSource.origin."""
    link: str
    """The catalogue's own link."""
    status: str
    """``ok``, ``failed`` or ``missing``."""
    verdict: str = ""
    """For failures: the source and limits under which it failed; under others it is tried again."""
    final: bool = True
    """False for a failure that may pass, such as a timeout."""
    reason: str | None = None
    """Short and countable; see ImageFailure."""
    detail: str | None = None
    """What was found."""
    tries: int = 0
    """Requests made."""
    file: str | None = None
    """Stored image, relative to the work folder."""
    sha256: str | None = None
    """Of the stored file."""
    stored_bytes: int | None = None
    """Size of the stored file."""
    width: int | None = None
    """Stored width, in pixels."""
    height: int | None = None
    """Stored height, in pixels."""
    source_sha256: str | None = None
    """Of the bytes as they came."""
    source_bytes: int | None = None
    """Bytes as they came."""
    fingerprint: str = ""
    """Size and modification time of the source file, for folders."""
    etag: str | None = None
    """The server's ETag of the image, to ask whether it has changed."""
    last_modified: str | None = None
    """The server's Last-Modified of the image, as sent."""
    fetched: float | None = None
    """When this was last fetched or confirmed, in Unix seconds; None in records of earlier versions."""


_COLUMNS = [field.name for field in fields(ImageRecord)]
_TABLES = """
CREATE TABLE IF NOT EXISTS pictures (
    origin TEXT NOT NULL, link TEXT NOT NULL, status TEXT NOT NULL, verdict TEXT NOT NULL, final INTEGER NOT NULL,
    reason TEXT, detail TEXT, tries INTEGER NOT NULL, file TEXT, sha256 TEXT, stored_bytes INTEGER,
    width INTEGER, height INTEGER, source_sha256 TEXT, source_bytes INTEGER, fingerprint TEXT NOT NULL,
    etag TEXT, last_modified TEXT, fetched REAL, PRIMARY KEY (origin, link)) WITHOUT ROWID;
DROP TABLE IF EXISTS hosts;
CREATE TABLE hosts (host TEXT PRIMARY KEY, down INTEGER NOT NULL, rate REAL, seen REAL NOT NULL) WITHOUT ROWID;
"""
"""Makes a new manifest; of an older one, whose hosts are not worth keeping, it makes the table of hosts again."""
_ADDED = {"etag": "TEXT", "last_modified": "TEXT", "fetched": "REAL"}
"""Columns that manifests of versions 1 and 2 lack."""
_UPSERT = f"INSERT OR REPLACE INTO pictures ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"


class Manifest:
    """The image manifest; a context manager, safe to use from several threads.

    Parameters
    ----------
    path : Path
        The SQLite file; made where there is none.

    Raises
    ------
    ArtifactError
        The file is no manifest, or one of another version.
    DownloadError
        The disk is full or the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the last one to do so folds the write-ahead log in."""
        with self._lock:
            self._connection.close()

    def save(self, records: Sequence[ImageRecord]) -> None:
        """Write records in one transaction."""
        with self._transaction() as connection:
            connection.executemany(_UPSERT, [astuple(record) for record in records])

    def load(self, origin: str, links: Iterable[str]) -> dict[str, ImageRecord]:
        """Records of some links, by link; links that are not known are left out."""
        found: dict[str, ImageRecord] = {}
        wanted = list(links)
        with self._errors(), self._lock:
            for start in range(0, len(wanted), _CHUNK):
                chunk = wanted[start : start + _CHUNK]
                rows = self._connection.execute(
                    f"SELECT {', '.join(_COLUMNS)} FROM pictures "
                    f"WHERE origin = ? AND link IN ({', '.join('?' * len(chunk))})",
                    [origin, *chunk],
                )
                for row in rows:
                    values = dict(zip(_COLUMNS, row, strict=True))
                    values["final"] = bool(values["final"])
                    found[values["link"]] = ImageRecord(**values)
        return found

    def remember_hosts(self, states: dict[str, HostState]) -> None:
        """Keep for later batches what this one learned of the hosts."""
        now = time.time()
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO hosts VALUES (?, ?, ?, ?)",
                [(host, state.down, state.rate, now) for host, state in states.items()],
            )

    def hosts(self) -> dict[str, HostState]:
        """What was learned of hosts, not long ago."""
        with self._errors(), self._lock:
            rows = self._connection.execute(
                "SELECT host, down, rate FROM hosts WHERE seen > ?", [time.time() - REMEMBER_HOSTS_SECONDS]
            )
            return {host: HostState(bool(down), rate) for host, down, rate in rows}

    def _prepare(self) -> None:
        # switching to WAL needs the file alone for a moment and does not wait for it by itself
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        # a killed process loses nothing with NORMAL; only a power cut may lose the last transactions, whole
        self._connection.execute("PRAGMA synchronous = NORMAL")
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if not 0 <= version <= _VERSION:
            raise ArtifactError(
                f"{self.path}: image manifest of version {version}, expected {_VERSION}; "
                f"delete {self.path.parent} and fetch again"
            )
        if version < _VERSION:
            with self._transaction() as connection:
                for statement in _TABLES.split(";"):
                    connection.execute(statement)
                there = {row[1] for row in connection.execute("PRAGMA table_info(pictures)")}
                for name, kind in _ADDED.items():
                    if name not in there:
                        connection.execute(f"ALTER TABLE pictures ADD COLUMN {name} {kind}")
                connection.execute(f"PRAGMA user_version = {_VERSION}")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._errors(), self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # a full disk has rolled back already
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise DownloadError(
                f"{self.path}: the image manifest cannot be read or written ({error}); what was recorded stays. "
                "Check the disk's space and rights, and start again"
            ) from None
        except sqlite3.DatabaseError as error:
            raise ArtifactError(
                f"{self.path}: not an image manifest or damaged ({error}); delete {self.path.parent} and fetch again"
            ) from None
