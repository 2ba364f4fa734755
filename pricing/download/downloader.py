"""The resumable image downloader.

One image's way: wait in its host's queue, be taken by one of ``concurrency`` workers when the host's gate is open,
ask, follow redirects (each address checked, each at its own host's gate), read with limits, decode and scale down in a
thread, write beside and rename, commit to the manifest; only then is the worker free for the next one. A failure that
may pass goes back into the queue for exponential backoff with full jitter (Marc Brooker, "Exponential Backoff and
Jitter", AWS 2015), or for as long as Retry-After says.
"""

import asyncio
import logging
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from yarl import URL

from pricing.catalogue.links import complete, first_link, has_scheme
from pricing.config.catalogue import ImagesConfig
from pricing.config.resources import ResourcesConfig
from pricing.download.event_loop import first_error, run_to_end
from pricing.download.failures import ImageFailure
from pricing.download.folder_images import FolderImages
from pricing.download.hosts import HostRules
from pricing.download.image_store import ImageStore
from pricing.download.manifest import HostState, ImageRecord, Manifest
from pricing.download.progress import ProgressCallback, ProgressMeter, ShardReport
from pricing.download.recorder import GroupRecorder
from pricing.download.resuming import ResumeRules
from pricing.download.scheduling import Job, Scheduler
from pricing.download.sources import ImageSource
from pricing.download.throttle import HostGate
from pricing.download.transfer import ANYTHING, COMMON_ONLY, Answer, Redirect, Unchanged, fetch_once, open_session

logger = logging.getLogger(__name__)

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
    """Fetches images into a work folder, and goes on where an earlier run ended.

    Parameters
    ----------
    config : ImagesConfig
        Limits, resize settings, patience.
    work : Path
        Work folder; manifest and images lie in ``work / images_key(config)``.
    source : ImageSource, optional
        Where images come from; the web by default.
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
        self._store = ImageStore(work, config)
        self._manifest_path = self._store.root / "manifest.sqlite"
        self._host_rules = HostRules(config.allow_hosts)
        self._rng = random.Random()

    def download_batch(
        self, links: Iterable[str], sample_ids: Mapping[str, Sequence[str]] | None = None
    ) -> ShardReport:
        """Fetch what is not there yet; failures of single images are recorded and do not stop it.

        Parameters
        ----------
        links : iterable of str
            The catalogue's links; repeated ones are asked for once.
        sample_ids : mapping of str to sequence of str, optional
            For a folder: every link of the catalogue with its rows' ids; see `FolderImages`.

        Raises
        ------
        DownloadError
            The disk is full or cannot be written. What was recorded stays.
        """
        wanted = list(dict.fromkeys(links))
        self._folder = None
        if self.source.kind == "folder":
            named = {**dict.fromkeys(wanted, ()), **(sample_ids or {})}
            self._folder = FolderImages(Path(str(self.source.location)), named)
        self._resume = ResumeRules(self.source, self.config, self._store, self._folder)
        return run_to_end(self._download_all(wanted))

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
            self._stale: dict[str, ImageRecord] = {}
            self._schemes = _schemes(links)
            self._kept = 0
            unasked = []
            for link in self._load_progress(links):
                try:
                    self._scheduler.add(link, self._host_of(link))
                except ImageFailure as failure:
                    unasked.append(self._resume.failure(link, 0, failure))
            async with open_session(self.config, self._host_rules) as self._session:
                await self._work_off(unasked)
            self._manifest.remember_hosts(
                {key: HostState(gate.down, gate.rate) for key, gate in self._scheduler.gates().items()}
            )
        if self._kept:
            logger.warning("%d images could not be asked for again; those of earlier runs stay", self._kept)
        self._meter.report()
        return self._meter.summary(self._requests)

    def _open_gate(self, key: str) -> HostGate:
        limit = self.config.concurrency if key == _FOLDER else self.config.per_host
        known = self._remembered.get(key, HostState())
        return HostGate(key, self.config, limit, suspected=known.down, rate=known.rate)

    def _url_of(self, link: str, scheme: str | None = None) -> URL:
        """Address of a link, checked; one without a scheme is asked as most links of its host are, else by https."""
        first = first_link(link)
        if scheme is None and not has_scheme(first):
            scheme = self._schemes.get(_authority(complete(first)))
        return self._host_rules.check_url(self.source.url_for(complete(first, scheme or "https")))

    def _host_of(self, link: str) -> str:
        return _FOLDER if self.source.kind == "folder" else _key(self._url_of(link))

    async def _work_off(self, unasked: list[ImageRecord]) -> None:
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

    async def _download_single(self, job: Job) -> ImageRecord | None:
        """One step of one image: a request, and what follows from it.

        Returns
        -------
        ImageRecord or None
            The record as committed, with status ``ok``, ``failed`` or ``missing``; None where the image went back
            into the queue, for another try or to another address.
        """
        try:
            return await self._ask(job)
        except ImageFailure as failure:
            if self._ask_differently(job, failure):
                return None
            patient = (failure.retry_after or 0.0) <= self.config.retry_after_max
            if failure.transient and failure.reason != "host_down":
                if patient and job.tries <= self.config.retries:
                    backoff = backoff_seconds(job.tries, self.config, self._rng)
                    self._scheduler.again(job, max(failure.retry_after or 0.0, backoff))
                    return None
                if not failure.unreachable:
                    self._scheduler.gave_up(job)
            stale = self._stale.get(job.link)
            if stale is not None:
                self._kept += 1
                return stale
            record = self._resume.failure(job.link, job.tries, failure)
            await self._in_thread(self._recorder.record, record)
            return record

    def _ask_differently(self, job: Job, failure: ImageFailure) -> bool:
        """Ask once more at once where another question may be answered: by http, or for other formats."""
        if self.source.kind == "folder":
            return False
        if failure.unreachable or failure.reason == "host_down":
            # a link that names no scheme may be that of a server without https
            if self.source.kind == "mirror" or job.scheme is not None or has_scheme(first_link(job.link)):
                return False
            url = self._url_of(job.link)
            if url.scheme != "https" or job.redirects:
                return False
            job.scheme = "http"
            url = self._url_of(job.link, job.scheme)
            self._scheduler.start_at(job, url, _key(url))
            return True
        if job.accept is not None or not (failure.reason == "http_406" or failure.other_format):
            return False
        job.accept = COMMON_ONLY if failure.other_format else ANYTHING
        self._scheduler.redirect(job, job.url or self._url_of(job.link, job.scheme), job.host)
        return True

    async def _ask(self, job: Job) -> ImageRecord | None:
        """One request and, with its image, the committed record; None after a redirect."""
        if job.ticket is None:
            raise ImageFailure("host_down", f"{job.host} does not answer; not asked again", transient=True)
        self._requests += 1
        if self.source.kind == "folder":
            try:
                return await self._in_thread(self._keep_local, job)
            finally:
                self._scheduler.answered(job, None)
        failure: ImageFailure | None = None
        try:
            url = job.url or self._url_of(job.link, job.scheme)
            answer = await fetch_once(
                self._session, url, self.config, accept=job.accept, known=self._stale.get(job.link)
            )
        except ImageFailure as raised:
            failure = raised
            raise
        finally:
            self._scheduler.answered(job, failure)
        if isinstance(answer, Redirect):
            if job.redirects >= self.config.max_redirects:
                raise ImageFailure("too_many_redirects", f"more than {self.config.max_redirects}")
            url = self._host_rules.check_url(answer.url)
            self._scheduler.redirect(job, url, _key(url))
            return None
        if isinstance(answer, Unchanged):
            record = self._resume.confirmed(self._stale[job.link])
            await self._in_thread(self._recorder.record, record)
            return record
        return await self._in_thread(self._keep, job, answer)

    async def _in_thread(self, work: Callable[..., _T], *arguments: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._decoders, work, *arguments)

    def _keep_local(self, job: Job) -> ImageRecord:
        assert self._folder is not None
        data, fingerprint = self._folder.read(job.link, self.config.max_bytes)
        return self._keep(job, Answer(data), fingerprint)

    def _keep(self, job: Job, answer: Answer, fingerprint: str = "") -> ImageRecord:
        """Decode, store and commit; in one visit to a thread, since each costs the event loop two turns."""
        record = self._resume.success(job.link, job.tries, self._store.put(answer.data), fingerprint, answer)
        self._recorder.record(record)
        return record

    def _save_progress(self, records: Sequence[ImageRecord]) -> None:
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
                    continue
                if record is not None and record.status == "ok" and self._resume.is_there(record):
                    self._stale[link] = record
                yield link


def _key(url: URL) -> str:
    return str(url.origin())


def _authority(link: str) -> str:
    return link.partition("//")[2].partition("/")[0].lower()


def _schemes(links: Sequence[str]) -> dict[str, str]:
    """By host and port, the scheme that most of the links name; nothing where every link names its own."""
    firsts = [first_link(link) for link in links]
    if all(has_scheme(link) for link in firsts):
        return {}
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for link in firsts:
        if has_scheme(link):
            counts[_authority(link)][link.partition(":")[0].lower()] += 1
    return {host: "http" if found["http"] > found["https"] else "https" for host, found in counts.items()}
