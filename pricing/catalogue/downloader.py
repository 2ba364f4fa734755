"""The resumable picture downloader.

One picture's way: wait at its host's gate, take one of ``concurrency`` places, ask, follow redirects (each address
checked), read with limits, decode and scale down in a thread, write beside and rename, commit to the manifest, and only
then give the place back. A failure that may pass waits, without a place, by exponential backoff with full jitter
(Marc Brooker, "Exponential Backoff and Jitter", AWS 2015) or for as long as Retry-After says, and tries again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import threading
import time
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pricing.catalogue.failures import PictureFailure
from pricing.catalogue.hosts import HostRules
from pricing.catalogue.manifest import Manifest, PictureRecord
from pricing.catalogue.pictures import PictureStore, StoredPicture
from pricing.catalogue.progress import ProgressCallback, ProgressMeter, ShardReport
from pricing.catalogue.recorder import GroupRecorder
from pricing.catalogue.sources import ImageSource
from pricing.catalogue.throttle import HostGate, HostGates
from pricing.catalogue.transfer import Redirect, fetch_once, open_session

if TYPE_CHECKING:
    from pricing.config import ImagesConfig

WAITING_FACTOR = 8
"""Pictures that are under way (most of them waiting to be tried again) for each one in flight."""
REMEMBER_DOWN_SECONDS = 600.0
"""How long a host that was found down gets only a single probe from later batches."""

_T = TypeVar("_T")


def backoff_seconds(tries: int, config: ImagesConfig, rng: random.Random) -> float:
    """Full jitter: uniform between 0 and ``min(backoff_max, backoff_base * 2**(tries - 1))``.

    Parameters
    ----------
    tries : int
        Tries that have failed, at least 1.
    config : ImagesConfig
        ``backoff_base`` and ``backoff_max``, in seconds.
    rng : random.Random
        Source of the jitter.
    """
    # 2**60 is beyond any maximum, and a float has no room for 2**2000
    return rng.uniform(0.0, min(config.backoff_max, config.backoff_base * 2.0 ** min(tries - 1, 60)))


class ResumableImageDownloader:
    """Fetches pictures into a work folder, and goes on where an earlier run ended.

    Parameters
    ----------
    config : ImagesConfig
        Limits, resize settings, patience.
    work : Path
        Work folder; manifest and pictures lie in ``work / pictures_key(config)``.
    source : ImageSource, optional
        Where pictures come from; the web by default.
    threads : int, optional
        Decoding threads; by default one for each core the process may use, at most 8.
    progress : callable, optional
        Called with a Progress, at most twice a second and at the end.

    Raises
    ------
    ArtifactError
        The manifest is damaged or of another version.
    DownloadError
        The work folder cannot be written.
    """

    def __init__(
        self,
        config: ImagesConfig,
        work: Path,
        *,
        source: ImageSource | None = None,
        threads: int | None = None,
        progress: ProgressCallback | None = None,
    ) -> None:
        self.config = config
        self.work = work
        self.source = ImageSource.web() if source is None else source
        self.threads = threads or min(8, len(os.sched_getaffinity(0)))
        self._progress = progress
        self._store = PictureStore(work, config)
        self._manifest_path = self._store.root / "manifest.sqlite"
        self._rules = HostRules(config.allow_hosts)
        self._verdict = _verdict_key(self.source, config)
        self._rng = random.Random()

    def download_batch(self, links: Iterable[str]) -> ShardReport:
        """Fetch what is not there yet; failures of single pictures are recorded and do not stop it.

        Parameters
        ----------
        links : iterable of str
            The catalogue's links; repeated ones are asked for once.

        Raises
        ------
        DownloadError
            The disk is full or cannot be written. What was recorded stays.
        """
        return _run(self._download_all(list(dict.fromkeys(links))))

    async def _download_all(self, links: list[str]) -> ShardReport:
        meter = ProgressMeter(len(links), self._progress)
        with (
            Manifest(self._manifest_path) as self._manifest,
            ThreadPoolExecutor(self.threads, thread_name_prefix="decode") as self._decoders,
            ThreadPoolExecutor(1, thread_name_prefix="manifest") as self._writer,
        ):
            known = self._load_progress(links)
            for record in known.values():
                meter.known(None if record.status == "ok" else record.reason)
            self._requests = self._fetched_bytes = 0
            self._places = asyncio.Semaphore(self.config.concurrency)
            self._gates = HostGates(self.config, self._manifest.down_hosts())
            self._recorder = GroupRecorder(self._save_progress)
            async with open_session(self.config, self._rules) as self._session:
                todo = iter([link for link in links if link not in known])
                await self._work_off(todo, len(links) - len(known), meter)
            until = time.time() + REMEMBER_DOWN_SECONDS
            states = self._gates.states()
            if states:
                self._manifest.mark_hosts({host: until if down else 0.0 for host, down in states.items()})
        meter.report()
        return ShardReport(
            requested=len(links),
            present=meter.present,
            reused=meter.reused,
            failed=dict(sorted(meter.failed.items())),
            requests=self._requests,
            fetched_bytes=self._fetched_bytes,
            seconds=meter.seconds,
        )

    async def _work_off(self, todo: Iterator[str], count: int, meter: ProgressMeter) -> None:
        async def work() -> None:
            for link in todo:
                record = await self._download_single(link)
                meter.add(None if record.status == "ok" else record.reason)

        workers = min(count, WAITING_FACTOR * self.config.concurrency)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(work())
        except BaseExceptionGroup as errors:
            # one full disk fails many pictures; one message is enough
            raise _first(errors) from None
        finally:
            await self._recorder.close()

    async def _download_single(self, link: str) -> PictureRecord:
        """Fetch, verify, store and record one picture, with retries.

        Returns
        -------
        PictureRecord
            The record as committed, with status ``ok``, ``failed`` or ``missing``.
        """
        tries = 0
        while True:
            tries += 1
            try:
                record = await self._try(link, tries)
            except PictureFailure as failure:
                patient = failure.retry_after is None or failure.retry_after <= self.config.retry_after_max
                if failure.transient and failure.reason != "host_down" and patient and tries <= self.config.retries:
                    await asyncio.sleep(max(failure.retry_after or 0.0, backoff_seconds(tries, self.config, self._rng)))
                    continue
                record = self._failure_record(link, failure, tries)
                async with self._places:
                    await self._recorder.record(record)
            return record

    async def _try(self, link: str, tries: int) -> PictureRecord:
        """One try, redirects and all; holds its place until the record is committed."""
        if self.source.kind == "folder":
            async with self._places:
                self._requests += 1
                return await self._store_and_record(link, None, tries)
        url = self._rules.check_url(self.source.url_for(link))
        first_gate: HostGate | None = None
        for _ in range(self.config.max_redirects + 1):
            gate = self._gates.gate(f"{url.host}:{url.port}")
            first_gate = first_gate or gate
            await gate.enter()
            failure: PictureFailure | None = None
            unknown = True
            try:
                # gate before place, and both given back before the next hop: the other way round two hosts that
                # redirect to each other could wait for each other for ever
                async with self._places:
                    try:
                        self._requests += 1
                        answer = await fetch_once(self._session, url, self.config)
                        unknown = False
                    except PictureFailure as raised:
                        failure, unknown = raised, False
                        raise
                    finally:
                        gate.leave(failure, unknown=unknown)
                    if not isinstance(answer, Redirect):
                        self._fetched_bytes += len(answer)
                        return await self._store_and_record(link, answer, tries)
            except PictureFailure as raised:
                if raised.transient and tries > self.config.retries and not raised.unreachable:
                    gate.give_up()
                raise
            url = self._rules.check_url(answer.url)
        raise PictureFailure("too_many_redirects", f"more than {self.config.max_redirects}")

    async def _store_and_record(self, link: str, data: bytes | None, tries: int) -> PictureRecord:
        loop = asyncio.get_running_loop()
        if data is None:
            stored, fingerprint = await loop.run_in_executor(self._decoders, self._store_local, link)
            self._fetched_bytes += stored.source_bytes
        else:
            stored, fingerprint = await loop.run_in_executor(self._decoders, self._store.put, data), ""
        record = PictureRecord(
            origin=self.source.origin,
            link=link,
            status="ok",
            tries=tries,
            file=stored.file,
            sha256=stored.sha256,
            stored_bytes=stored.stored_bytes,
            width=stored.width,
            height=stored.height,
            source_sha256=stored.source_sha256,
            source_bytes=stored.source_bytes,
            fingerprint=fingerprint,
        )
        await self._recorder.record(record)
        return record

    def _store_local(self, link: str) -> tuple[StoredPicture, str]:
        file = self.source.file_for(link)
        if file is None:
            raise PictureFailure("not_in_folder", f"no file for {link[:200]!r}")
        try:
            size = file.stat().st_size
            if size > self.config.max_bytes:
                raise PictureFailure("too_large", f"{size} bytes; at most {self.config.max_bytes} are accepted")
            fingerprint = _fingerprint(file)
            data = file.read_bytes()
        except OSError as error:
            raise PictureFailure("unreadable", f"{file}: {error.strerror}") from None
        return self._store.put(data), fingerprint

    def _failure_record(self, link: str, failure: PictureFailure, tries: int) -> PictureRecord:
        return PictureRecord(
            origin=self.source.origin,
            link=link,
            status="missing" if failure.reason == "not_in_folder" else "failed",
            verdict=self._verdict,
            final=not failure.transient,
            reason=failure.reason,
            detail=failure.detail[:500],
            tries=tries,
        )

    async def _save_progress(self, records: Sequence[PictureRecord]) -> None:
        """Commit records to the manifest, off the event loop."""
        await asyncio.get_running_loop().run_in_executor(self._writer, self._manifest.save, records)

    def _load_progress(self, links: Sequence[str]) -> dict[str, PictureRecord]:
        """Records of earlier runs that still hold, by link.

        A picture holds while its file is whole (and, from a folder, the file it came from is unchanged); a failure
        holds if it is final, under the same source and limits.
        """
        return {
            link: record
            for link, record in self._manifest.load(self.source.origin, links).items()
            if self._still_holds(record)
        }

    def _still_holds(self, record: PictureRecord) -> bool:
        if record.status == "ok":
            if record.file is None or not self._store.is_whole(record.file, record.stored_bytes or 0):
                return False
            if self.source.kind != "folder":
                return True
            file = self.source.file_for(record.link)
            return file is not None and _fingerprint(file) == record.fingerprint
        if self.source.kind == "folder":
            # looking again costs nothing, and the file may be there by now
            return False
        return record.final and record.verdict == self._verdict


def _verdict_key(source: ImageSource, config: ImagesConfig) -> str:
    """Under what a failure was final: another source or other limits may give another outcome."""
    names = ("max_bytes", "max_pixels", "max_side", "min_side", "max_redirects", "allow_hosts")
    values = {name: getattr(config, name) for name in names}
    return hashlib.sha256(json.dumps([source.kind, source.location, values], sort_keys=True).encode()).hexdigest()[:16]


def _fingerprint(file: Path) -> str:
    try:
        status = file.stat()
    except OSError:
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}"


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run to the end, also where a loop runs already (in a notebook): then in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    outcome: list[_T] = []
    errors: list[BaseException] = []

    def target() -> None:
        try:
            outcome.append(asyncio.run(work))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return outcome[0]
