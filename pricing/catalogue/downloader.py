"""The resumable picture downloader.

One picture's way: wait in its host's queue, be taken by one of ``concurrency`` workers when the host's gate is open,
ask, follow redirects (each address checked, each at its own host's gate), read with limits, decode and scale down in a
thread, write beside and rename, commit to the manifest; only then is the worker free for the next one. A failure that
may pass goes back into the queue for exponential backoff with full jitter (Marc Brooker, "Exponential Backoff and
Jitter", AWS 2015), or for as long as Retry-After says.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from yarl import URL

from pricing.catalogue.event_loop import first_error, run_to_end
from pricing.catalogue.failures import PictureFailure
from pricing.catalogue.hosts import HostRules
from pricing.catalogue.manifest import HostState, Manifest, PictureRecord
from pricing.catalogue.pictures import PictureStore
from pricing.catalogue.progress import ProgressCallback, ProgressMeter, ShardReport
from pricing.catalogue.recorder import GroupRecorder
from pricing.catalogue.resuming import ResumeRules
from pricing.catalogue.scheduling import Job, Scheduler
from pricing.catalogue.sources import ImageSource
from pricing.catalogue.throttle import HostGate
from pricing.catalogue.transfer import Redirect, fetch_once, open_session
from pricing.config import ImagesConfig, ResourcesConfig

_T = TypeVar("_T")
_FOLDER = "folder"
"""Key of the one host of a source that needs none."""
_KNOWN_AT_ONCE = 1000
"""Records of earlier runs that are in memory at a time."""


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
        self.threads = threads or min(8, ResourcesConfig().available())
        self._progress = progress
        self._store = PictureStore(work, config)
        self._manifest_path = self._store.root / "manifest.sqlite"
        self._host_rules = HostRules(config.allow_hosts)
        self._resume = ResumeRules(self.source, config, self._store)
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
        return run_to_end(self._download_all(list(dict.fromkeys(links))))

    async def _download_all(self, links: list[str]) -> ShardReport:
        self._meter = ProgressMeter(len(links), self._progress)
        self._requests = 0
        with (
            Manifest(self._manifest_path) as self._manifest,
            ThreadPoolExecutor(self.threads, thread_name_prefix="decode") as self._decoders,
        ):
            self._remembered = self._manifest.hosts()
            self._scheduler = Scheduler(self._open_gate)
            self._recorder = GroupRecorder(self._save_progress)
            unasked = []
            for link in self._load_progress(links):
                try:
                    self._scheduler.add(link, self._host_of(link))
                except PictureFailure as failure:
                    unasked.append(self._resume.failure(link, 0, failure))
            async with open_session(self.config, self._host_rules) as self._session:
                await self._work_off(unasked)
            self._manifest.remember_hosts(
                {key: HostState(gate.down, gate.rate) for key, gate in self._scheduler.gates().items()}
            )
        self._meter.report()
        return self._meter.summary(self._requests)

    def _open_gate(self, key: str) -> HostGate:
        limit = self.config.concurrency if key == _FOLDER else self.config.per_host
        known = self._remembered.get(key, HostState())
        return HostGate(key, self.config, limit, suspected=known.down, rate=known.rate)

    def _url_of(self, link: str) -> URL:
        return self._host_rules.check_url(self.source.url_for(link))

    def _host_of(self, link: str) -> str:
        return _FOLDER if self.source.kind == "folder" else _key(self._url_of(link))

    async def _work_off(self, unasked: list[PictureRecord]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.config.concurrency):
                    group.create_task(self._work())
                # links that name nothing that may be asked
                for start in range(0, len(unasked), _KNOWN_AT_ONCE):
                    records = unasked[start : start + _KNOWN_AT_ONCE]
                    await self._in_thread(self._save_progress, records)
                    for record in records:
                        self._meter.add(record)
        except BaseExceptionGroup as errors:
            raise first_error(errors) from None

    async def _work(self) -> None:
        while (job := await self._scheduler.take()) is not None:
            record = await self._download_single(job)
            if record is not None:
                self._meter.add(record)
                self._scheduler.finished()

    async def _download_single(self, job: Job) -> PictureRecord | None:
        """One step of one picture: a request, and what follows from it.

        Returns
        -------
        PictureRecord or None
            The record as committed, with status ``ok``, ``failed`` or ``missing``; None where the picture went back
            into the queue, for another try or to another address.
        """
        try:
            return await self._ask(job)
        except PictureFailure as failure:
            patient = (failure.retry_after or 0.0) <= self.config.retry_after_max
            if failure.transient and failure.reason != "host_down":
                if patient and job.tries <= self.config.retries:
                    backoff = backoff_seconds(job.tries, self.config, self._rng)
                    self._scheduler.again(job, max(failure.retry_after or 0.0, backoff))
                    return None
                if not failure.unreachable:
                    self._scheduler.gave_up(job)
            record = self._resume.failure(job.link, job.tries, failure)
            await self._in_thread(self._recorder.record, record)
            return record

    async def _ask(self, job: Job) -> PictureRecord | None:
        """One request and, with its picture, the committed record; None after a redirect."""
        if job.ticket is None:
            raise PictureFailure("host_down", f"{job.host} does not answer; not asked again", transient=True)
        self._requests += 1
        if self.source.kind == "folder":
            try:
                return await self._in_thread(self._keep_local, job)
            finally:
                self._scheduler.answered(job, None)
        failure: PictureFailure | None = None
        try:
            answer = await fetch_once(self._session, job.url or self._url_of(job.link), self.config)
        except PictureFailure as raised:
            failure = raised
            raise
        finally:
            self._scheduler.answered(job, failure)
        if isinstance(answer, Redirect):
            if job.redirects == self.config.max_redirects:
                raise PictureFailure("too_many_redirects", f"more than {self.config.max_redirects}")
            url = self._host_rules.check_url(answer.url)
            self._scheduler.redirect(job, url, _key(url))
            return None
        return await self._in_thread(self._keep, job, answer)

    async def _in_thread(self, work: Callable[..., _T], *arguments: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._decoders, work, *arguments)

    def _keep_local(self, job: Job) -> PictureRecord:
        return self._keep(job, *self.source.read(job.link, self.config.max_bytes))

    def _keep(self, job: Job, data: bytes, fingerprint: str = "") -> PictureRecord:
        """Decode, store and commit; in one visit to a thread, since each costs the event loop two turns."""
        record = self._resume.success(job.link, job.tries, self._store.put(data), fingerprint)
        self._recorder.record(record)
        return record

    def _save_progress(self, records: Sequence[PictureRecord]) -> None:
        """Commit records to the manifest; by a thread, off the event loop."""
        self._manifest.save(records)

    def _load_progress(self, links: Sequence[str]) -> Iterator[str]:
        """Links that are still to be asked for; the others are counted as what they were recorded as."""
        for start in range(0, len(links), _KNOWN_AT_ONCE):
            part = links[start : start + _KNOWN_AT_ONCE]
            known = self._manifest.load(self.source.origin, part)
            for link in part:
                record = known.get(link)
                if record is not None and self._resume.still_holds(record):
                    self._meter.known(record)
                else:
                    yield link


def _key(url: URL) -> str:
    return f"{url.host}:{url.port}"
