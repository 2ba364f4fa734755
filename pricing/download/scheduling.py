"""Which image is asked for next: one queue per host, so that no link waits for another one's host.

An image that waits, for its next try, its host's pace or its host's breaker, lies in that host's queue and holds no
worker. A free worker takes from the host that could be asked now and has the fewest requests under way, so hosts share
the workers evenly (max-min fairness) and a slow one never holds more than its share while another has work.
"""

import asyncio
import heapq
import itertools
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from yarl import URL

from pricing.download.failures import ImageFailure
from pricing.download.throttle import HostGate, Ticket


@dataclass
class Job:
    """One image on its way."""

    link: str
    """The catalogue's link."""
    host: str
    """Key of the host that is asked next."""
    first_host: str
    """Key of the host that is asked first at every try."""
    url: URL | None = None
    """Where a redirect led; None before one."""
    accept: str | None = None
    """What is asked for in the Accept header; None for the usual."""
    scheme: str | None = None
    """What a link without a scheme of its own is asked by; None for the first choice."""
    tries: int = 1
    """The try under way, from 1."""
    redirects: int = 0
    """Followed in this try."""
    ticket: Ticket | None = None
    """The gate's, while a request is under way; None where the host is down."""


@dataclass
class _Host:
    key: str
    gate: HostGate
    fresh: deque[str] = field(default_factory=deque)
    # (moment, order, job); what was tried already goes before what was not, so that its last try is not the batch's end
    again: list[tuple[float, int, Job]] = field(default_factory=list)
    version: int = 0

    def ready_at(self, now: float) -> float:
        """When this host's next job may start."""
        if self.fresh:
            job = now
        elif self.again:
            job = now if self.gate.down else self.again[0][0]
        else:
            return math.inf
        return max(job, self.gate.opens_at(now))

    def pop(self, now: float) -> Job:
        if self.again and (self.again[0][0] <= now or not self.fresh):
            return heapq.heappop(self.again)[2]
        return Job(self.fresh.popleft(), self.key, self.key)


class Scheduler:
    """Hands jobs to workers; to be used inside a running event loop.

    Parameters
    ----------
    open_gate : callable
        Makes the gate of a host, by its key, at first use.
    """

    def __init__(self, open_gate: Callable[[str], HostGate]) -> None:
        self._open_gate = open_gate
        self._hosts: dict[str, _Host] = {}
        self._order = itertools.count()
        # each host has one valid entry in one of the two; older ones are known by their version
        self._ready: list[tuple[int, int, int, _Host]] = []
        self._later: list[tuple[float, int, int, _Host]] = []
        self._waiting: deque[asyncio.Future[Job | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._unfinished = 0

    def add(self, link: str, host: str) -> None:
        """Queue an image that was not asked for yet; only before the first :meth:`take`."""
        self._unfinished += 1
        entry = self._host(host)
        entry.fresh.append(link)
        if len(entry.fresh) == 1:
            self._place(entry, time.monotonic())

    async def take(self) -> Job | None:
        """The next job, as soon as its host may be asked; None once every job is finished.

        A job without a ticket is one whose host is down: it is to be recorded, not asked for.
        """
        future: asyncio.Future[Job | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._dispatch()
        return await future

    def answered(self, job: Job, failure: ImageFailure | None) -> None:
        """The job's request has ended; its host may be asked again."""
        entry = self._hosts[job.host]
        now = time.monotonic()
        assert job.ticket is not None
        entry.gate.finish(now, failure, job.ticket)
        job.ticket = None
        self._place(entry, now)
        self._dispatch()

    def again(self, job: Job, seconds: float) -> None:
        """Try a job again from its first address, not before some seconds have passed."""
        job.tries += 1
        job.url, job.redirects, job.host = None, 0, job.first_host
        self._queue(job, seconds)

    def redirect(self, job: Job, url: URL, host: str) -> None:
        """Go on at another address."""
        job.url, job.host = url, host
        job.redirects += 1
        self._queue(job, 0.0)

    def start_at(self, job: Job, url: URL, host: str) -> None:
        """Go on at another address, from which later tries begin too."""
        job.first_host = host
        self.redirect(job, url, host)

    def gave_up(self, job: Job) -> None:
        """The job used up its tries on failures of its host that should have passed."""
        entry = self._hosts[job.host]
        entry.gate.give_up()
        self._place(entry, time.monotonic())

    def finished(self) -> None:
        """One job is recorded."""
        self._unfinished -= 1
        self._dispatch()

    def gates(self) -> dict[str, HostGate]:
        """Gates of all hosts that have had a job."""
        return {key: host.gate for key, host in self._hosts.items()}

    def _host(self, key: str) -> _Host:
        if key not in self._hosts:
            self._hosts[key] = _Host(key, self._open_gate(key))
        return self._hosts[key]

    def _queue(self, job: Job, seconds: float) -> None:
        entry, now = self._host(job.host), time.monotonic()
        heapq.heappush(entry.again, (now + seconds, next(self._order), job))
        self._place(entry, now)
        self._dispatch()

    def _place(self, host: _Host, now: float) -> None:
        host.version += 1
        moment = host.ready_at(now)
        if moment <= now:
            heapq.heappush(self._ready, (host.gate.in_flight, next(self._order), host.version, host))
        elif moment < math.inf:
            heapq.heappush(self._later, (moment, next(self._order), host.version, host))

    def _next(self, now: float) -> Job | None:
        while self._later and self._later[0][0] <= now:
            *_, version, host = heapq.heappop(self._later)
            if version == host.version:
                self._place(host, now)
        while self._ready:
            *_, version, host = heapq.heappop(self._ready)
            if version != host.version:
                continue
            job = host.pop(now)
            job.ticket = None if host.gate.down else host.gate.start(now)
            self._place(host, now)
            return job
        return None

    def _dispatch(self) -> None:
        now = time.monotonic()
        while self._waiting:
            # cancelled
            if self._waiting[0].done():
                self._waiting.popleft()
                continue
            job = None if self._unfinished == 0 else self._next(now)
            if job is None and self._unfinished:
                break
            self._waiting.popleft().set_result(job)
        self._wake_later()

    def _wake_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting and self._later:
            loop = asyncio.get_running_loop()
            # its clock and time.monotonic are the same one, but may differ in their resolution
            delay = max(self._later[0][0] - time.monotonic(), 0.0) + 1e-4
            self._timer = loop.call_later(delay, self._dispatch)
