"""How hard one host is asked: requests at once, a rate that follows what the host bears, and a circuit breaker.

* At most ``per_host`` requests at once.
* No pace is kept until the host throttles (429, 503). A single such answer only delays its own picture; when they are
  too many of the last forty, the pace drops below what the host has been serving, the whole host waits for its
  Retry-After, and the pace rises again by a tenth a second.
* A host to which no connection can be made is paused and probed, each pause twice as long; after some failed probes it
  is down and its other pictures fail at once. So is a host that answers, but with which picture after picture is given
  up and none succeeds. A dead host costs seconds, not hours.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Literal

from pricing.catalogue.failures import PictureFailure

if TYPE_CHECKING:
    from pricing.config import ImagesConfig

WINDOW = 40
"""Answers by which throttling is judged."""
EVIDENCE = 20
"""Answers needed before it is judged at all."""
TOLERATED_FREELY = 0.3
"""Share of throttling answers (a 503 counts a third of a 429) that starts no pacing: faults by chance reach it not
once in a long batch, a server with a limit far below our speed at once. With 0.15 a batch with 5 % of 429 by chance
was paced all the time and took seven times as long."""
TOLERATED_PACED = 0.2
"""The same once the host is known to throttle."""
FREE_RATE = 2000.0
"""Requests a second above which no pace is kept."""
SLOWEST = 0.2
"""Slowest pace, in requests a second."""


class HostGate:
    """The gate in front of one host.

    Parameters
    ----------
    host : str
        Host and port, for messages.
    config : ImagesConfig
        Limits.
    suspected : bool
        The host was found down not long ago: a single probe decides.
    """

    def __init__(self, host: str, config: ImagesConfig, *, suspected: bool = False) -> None:
        self.host = host
        self.rate: float | None = None
        self.down = False
        self._config = config
        self._slots = asyncio.Semaphore(config.per_host)
        self._state: Literal["closed", "open"] = "closed"
        self._open_until = 0.0
        self._failed_probes = 0
        self._probe: asyncio.Task[object] | None = None
        self._changed = asyncio.Event()
        self._unreachable = 0
        self._given_up = 0
        self._next_start = 0.0
        self._answers: deque[tuple[float, float, bool]] = deque(maxlen=WINDOW)
        if suspected:
            self._state, self._failed_probes = "open", config.breaker_probes - 1

    async def enter(self) -> None:
        """Wait for a free place, the pace and the breaker; every entry needs one :meth:`leave`.

        Raises
        ------
        PictureFailure
            ``host_down``: nothing is asked.
        """
        await self._slots.acquire()
        try:
            await self._pass_breaker()
            await self._keep_pace()
        except BaseException:
            self.leave(None, unknown=True)
            raise

    def leave(self, failure: PictureFailure | None, *, unknown: bool = False) -> None:
        """Give the place back and learn from how the request ended.

        Parameters
        ----------
        failure : PictureFailure, optional
            Why it failed; None for a success.
        unknown : bool
            It was cancelled, which says nothing about the host.
        """
        self._slots.release()
        probing = self._probe is not None and self._probe is asyncio.current_task()
        if probing:
            self._probe = None
        if unknown:
            if probing:
                self._signal()
            return
        if probing:
            self._judge_probe(failure)
        if failure is not None and failure.unreachable:
            self._unreachable += 1
            if self._state == "closed" and self._unreachable >= self._config.breaker_failures:
                self._open(failure)
            return
        self._unreachable = 0
        if failure is None or not failure.transient:
            self._given_up = 0
        self._judge_pace(failure)

    def give_up(self) -> None:
        """A picture has used up its tries on failures that should have passed."""
        self._given_up += 1
        if self._given_up >= self._config.breaker_failures:
            self._take_down()

    async def _pass_breaker(self) -> None:
        while True:
            if self.down:
                raise PictureFailure("host_down", f"{self.host} does not answer; not asked again", transient=True)
            if self._state == "closed":
                return
            pause = self._open_until - time.monotonic()
            if pause <= 0 and self._probe is None:
                self._probe = asyncio.current_task()
                return
            try:
                await asyncio.wait_for(self._changed.wait(), pause if pause > 0 else None)
            except TimeoutError:
                continue

    def _judge_probe(self, failure: PictureFailure | None) -> None:
        if failure is None or not failure.transient:
            self._state, self._failed_probes, self._unreachable, self._given_up = "closed", 0, 0, 0
            self._signal()
            return
        self._failed_probes += 1
        if self._failed_probes >= self._config.breaker_probes:
            self._take_down()
        else:
            self._open(failure)

    def _open(self, failure: PictureFailure) -> None:
        pause = self._config.breaker_seconds * 2**self._failed_probes
        if failure.retry_after is not None:
            pause = max(pause, min(failure.retry_after, self._config.retry_after_max))
        self._state = "open"
        self._open_until = time.monotonic() + pause
        self._signal()

    def _take_down(self) -> None:
        self.down = True
        self._signal()

    def _signal(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _keep_pace(self) -> None:
        now = time.monotonic()
        start = max(now, self._next_start)
        if self.rate is not None:
            self._next_start = start + 1.0 / self.rate
        if start > now:
            await asyncio.sleep(start - now)

    def _judge_pace(self, failure: PictureFailure | None) -> None:
        now = time.monotonic()
        throttled = failure is not None and failure.throttled
        weight = 0.0 if failure is None or not throttled else (1.0 if failure.reason == "http_429" else 1 / 3)
        self._answers.append((now, weight, not throttled))
        if throttled:
            share = sum(answer[1] for answer in self._answers) / len(self._answers)
            tolerated = TOLERATED_FREELY if self.rate is None else TOLERATED_PACED
            if len(self._answers) >= EVIDENCE and share > tolerated:
                self._slow_down(failure.retry_after if failure is not None else None)
        elif self.rate is not None:
            # a tenth a second, whatever the pace
            self.rate *= 1.0 + 0.1 / max(self.rate, 1.0)
            if self.rate > FREE_RATE:
                self.rate = None

    def _slow_down(self, retry_after: float | None) -> None:
        now = time.monotonic()
        seconds = max(now - self._answers[0][0], 1e-3)
        served = sum(answer[2] for answer in self._answers) / seconds
        asked = len(self._answers) / seconds
        lower = 0.8 * served if served > 0 else 0.25 * asked
        self.rate = max(SLOWEST, min(lower, 0.8 * self.rate if self.rate is not None else lower))
        # judged afresh, by answers to requests at the new pace
        self._answers.clear()
        if retry_after is not None:
            self._next_start = max(self._next_start, now + min(retry_after, self._config.retry_after_max))


class HostGates:
    """One gate for each host and port.

    Parameters
    ----------
    config : ImagesConfig
        Limits.
    suspected : set of str
        Hosts that an earlier batch found down.
    """

    def __init__(self, config: ImagesConfig, suspected: set[str]) -> None:
        self._config = config
        self._suspected = suspected
        self._gates: dict[str, HostGate] = {}

    def gate(self, host: str) -> HostGate:
        """The gate of a host, made at first use."""
        if host not in self._gates:
            self._gates[host] = HostGate(host, self._config, suspected=host in self._suspected)
        return self._gates[host]

    def states(self) -> dict[str, bool]:
        """Whether each host that was asked is down."""
        return {host: gate.down for host, gate in self._gates.items()}
