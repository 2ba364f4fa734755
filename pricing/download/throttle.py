"""How hard one host is asked: requests at once, a pace that follows what the host bears, and a circuit breaker.

* At most ``limit`` requests at once.
* No pace is kept until the host throttles (429, 503). A single such answer only delays its own image; when they are
  too many of the last forty, the pace drops below what the host has been serving, and rises again by a tenth a second.
  If forty answers later there are about as many refusals as before, they do not come from our pace but by chance: then
  the pace is given up, and a larger share is tolerated from this host for a while.
* A host to which no connection can be made, or that answers every request with an error, is paused and probed, each
  pause twice as long; after some failed probes it is down and its other images fail at once. So is a host with which
  image after image is given up and none succeeds. A dead host costs seconds, not hours. A 429 does not count: the
  host is alive, and the pace is the answer.

Nothing here waits or reads a clock: times are monotonic seconds that the caller passes in.
"""

import math
from collections import deque
from typing import NamedTuple

from pricing.config.catalogue import ImagesConfig
from pricing.download.failures import ImageFailure

WINDOW = 40
"""Answers by which throttling is judged."""
EVIDENCE = 20
"""Answers needed before it is judged at all."""
TOLERATED = 0.2
"""Share of throttling answers (a 503 counts a third of a 429) above which the pace drops. With 0.15 a batch with 5 % of
429 by chance was paced all the time and took seven times as long."""
OVERWHELMING = 0.75
"""Share above which nothing is by chance: the pace drops without waiting for a full window, and the whole host waits
for its Retry-After. With 0.6, half of all answers refused by chance ended at the slowest pace."""
MARGIN = 0.25
"""How far above a share that came by chance the next alarm lies."""
ERRORS_AS_BREAKER = 3
"""How many times ``breaker_failures`` a host may answer with errors in a row: they are weaker evidence."""
TRUST = 500
"""Answers until a share that came by chance is put to the test again; doubled each time it did."""
FREE_RATE = 2000.0
"""Requests a second above which no pace is kept."""
SLOWEST = 0.2
"""Slowest pace, in requests a second."""


class Ticket(NamedTuple):
    """What a request was started under."""

    probe: bool
    """An open breaker decides by it."""
    epoch: int
    """Counts changes of pace."""


class HostGate:
    """The gate in front of one host.

    Parameters
    ----------
    host : str
        Host and port, for messages.
    config : ImagesConfig
        Patience of breaker and Retry-After.
    limit : int
        Requests at once.
    suspected : bool
        The host was found down not long ago: a single probe decides.
    rate : float, optional
        Pace that an earlier batch learned, in requests a second.
    """

    def __init__(
        self, host: str, config: ImagesConfig, limit: int, *, suspected: bool = False, rate: float | None = None
    ) -> None:
        self.host = host
        self.rate = rate
        self.down = False
        self.in_flight = 0
        self._config = config
        self._limit = limit
        # breaker
        self._open_until: float | None = None
        self._failed_probes = 0
        self._probing = False
        self._unreachable = 0
        self._errors = 0
        self._given_up = 0
        # pace
        self._next_start = 0.0
        self._answers: deque[tuple[float, float, bool]] = deque(maxlen=WINDOW)
        self._ceiling = 0.0
        self._tolerated = TOLERATED
        self._trusted = 0
        self._trust = TRUST
        self._share_before: float | None = None
        self._epoch = 0
        if suspected:
            self._open_until, self._failed_probes = 0.0, config.breaker_probes - 1

    def opens_at(self, now: float) -> float:
        """When the next request may start: ``now``, a later moment, or infinity while only an answer can tell."""
        if self.down:
            return now
        if self.in_flight >= self._limit or self._probing:
            return math.inf
        return max(now, self._next_start, self._open_until or 0.0)

    def start(self, now: float) -> Ticket:
        """Begin a request at a moment that :meth:`opens_at` allowed; every start needs one :meth:`finish`."""
        self.in_flight += 1
        if self.rate is not None:
            self._next_start = max(now, self._next_start) + 1.0 / self.rate
        self._probing = self._open_until is not None
        return Ticket(self._probing, self._epoch)

    def finish(self, now: float, failure: ImageFailure | None, ticket: Ticket) -> None:
        """Learn from how a request ended.

        Parameters
        ----------
        now : float
            Monotonic seconds.
        failure : ImageFailure, optional
            Why it failed; None for an answer that was an image or a redirect.
        ticket : Ticket
            From :meth:`start`.
        """
        self.in_flight -= 1
        if ticket.probe:
            self._probing = False
            self._judge_probe(now, failure)
        if failure is None or not failure.transient:
            self._unreachable = self._errors = self._given_up = 0
        elif failure.reason != "http_429":
            self._errors += 1
            self._unreachable = self._unreachable + 1 if failure.unreachable else 0
            most = self._config.breaker_failures
            if self._open_until is None and (self._unreachable >= most or self._errors >= ERRORS_AS_BREAKER * most):
                self._open(now, failure)
        if failure is not None and failure.unreachable:
            return
        # an answer to a request at an earlier pace says nothing about this one
        if ticket.epoch == self._epoch:
            self._judge_pace(now, failure)

    def give_up(self) -> None:
        """An image has used up its tries on failures that should have passed."""
        self._given_up += 1
        self.down = self.down or self._given_up >= self._config.breaker_failures

    def _judge_probe(self, now: float, failure: ImageFailure | None) -> None:
        if failure is None or not failure.transient:
            self._open_until, self._failed_probes = None, 0
            return
        self._failed_probes += 1
        if self._failed_probes >= self._config.breaker_probes:
            self.down = True
        else:
            self._open(now, failure)

    def _open(self, now: float, failure: ImageFailure) -> None:
        pause = self._config.breaker_seconds * 2**self._failed_probes
        if failure.retry_after is not None:
            pause = max(pause, min(failure.retry_after, self._config.retry_after_max))
        self._open_until = now + pause

    def _judge_pace(self, now: float, failure: ImageFailure | None) -> None:
        throttled = failure is not None and failure.throttled
        weight = 0.0 if failure is None or not throttled else (1.0 if failure.reason == "http_429" else 1 / 3)
        self._answers.append((now, weight, not throttled))
        if not throttled and self.rate is not None:
            # a tenth a second; near what the host could just not bear at most half a percent an answer, because forty
            # answers have to be seen before the next change
            growth = 0.1 / max(self.rate, 1.0)
            self.rate *= 1.0 + (growth if self.rate < 0.9 * self._ceiling else min(growth, 0.005))
            if self.rate > FREE_RATE:
                self.rate = None
        self._trusted -= 1
        if self._trusted == 0:
            self._tolerated = TOLERATED
        judged = len(self._answers)
        if judged < EVIDENCE:
            return
        share = sum(answer[1] for answer in self._answers) / judged
        before = self._share_before
        if before is not None and judged == WINDOW:
            self._share_before = None
            if before <= OVERWHELMING and 0.25 * before <= share <= before + 0.1:
                self.rate, self._tolerated = None, min(before + MARGIN, OVERWHELMING)
                self._trusted, self._trust = self._trust, 2 * self._trust
                self._new_epoch()
                return
            self._trust = TRUST
        # right after a change of pace a full window is waited for, unless the answer is plain; and half a window has
        # to be twice as plain as a whole one
        tolerated = self._tolerated if judged == WINDOW else 2 * self._tolerated
        if throttled and share > (tolerated if self._share_before is None else OVERWHELMING):
            self._slow_down(now, share, failure.retry_after if failure is not None else None)

    def _slow_down(self, now: float, share: float, retry_after: float | None) -> None:
        seconds = max(now - self._answers[0][0], 1e-3)
        served = sum(answer[2] for answer in self._answers) / seconds
        asked = len(self._answers) / seconds
        lower = 0.8 * served if served > 0 else 0.25 * asked
        self._ceiling = served if served > 0 else asked
        self.rate = max(SLOWEST, min(lower, 0.8 * self.rate if self.rate is not None else lower))
        self._new_epoch()
        self._share_before = share
        self._tolerated = TOLERATED
        if share > OVERWHELMING and retry_after is not None:
            self._next_start = max(self._next_start, now + min(retry_after, self._config.retry_after_max))

    def _new_epoch(self) -> None:
        """Judge afresh, by answers to requests at the new pace."""
        self._answers.clear()
        self._epoch += 1
