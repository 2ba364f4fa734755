"""How a download is going, and how it went."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from pydantic import Field

from pricing.config.base import Section
from pricing.download.manifest import ImageRecord

_STATES = 2**256


@dataclass(frozen=True)
class Progress:
    """A moment of a running download."""

    total: int
    """Images asked for."""
    done: int
    """Present, failed or missing by now."""
    present: int
    """Whole on disk, those of earlier runs among them."""
    failed: dict[str, int]
    """Failures by reason."""
    rate: float
    """Images a second since the start, without those of earlier runs."""
    seconds_left: float | None
    """Expected at that rate; None while there is none."""

    @property
    def failures(self) -> str:
        """Failures by reason, the most frequent first, as text."""
        ranked = sorted(self.failed.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{reason} {count}" for reason, count in ranked) or "none"

    @property
    def time_left(self) -> str:
        """Hours, minutes and seconds to go, as text."""
        return "-:--:--" if self.seconds_left is None else str(timedelta(seconds=round(self.seconds_left)))

    def __str__(self) -> str:
        return f"images {self.done}/{self.total}, {self.rate:.0f}/s, {self.time_left} left, failures: {self.failures}"

    def after(self, earlier: ShardTotals, total: int) -> Progress:
        """The same moment seen over all shards.

        Parameters
        ----------
        earlier : ShardTotals
            What the shards before this one came to.
        total : int
            Images of all shards.
        """
        failed = Counter(self.failed) + Counter(earlier.failed)
        done = self.done + earlier.requested
        left = (total - done) / self.rate if self.rate > 0 else None
        return Progress(total, done, self.present + earlier.present, dict(sorted(failed.items())), self.rate, left)


ProgressCallback = Callable[[Progress], None]


class ShardTotals(Section):
    """What became of some links; counts are of distinct links."""

    requested: int = 0
    """Distinct links."""
    present: int = 0
    """Whole on disk now."""
    failed: dict[str, int] = Field(default_factory=dict)
    """Failures by reason, those remembered from earlier runs among them."""
    state: str = f"{0:064x}"
    """Digest of what became of every link; equal if and only if every image and every failure is the same."""

    def plus(self, other: ShardTotals) -> ShardTotals:
        """Both together; they share no link."""
        failed = Counter(self.failed) + Counter(other.failed)
        return ShardTotals(
            requested=self.requested + other.requested,
            present=self.present + other.present,
            failed=dict(sorted(failed.items())),
            state=f"{(int(self.state, 16) + int(other.state, 16)) % _STATES:064x}",
        )


class ShardReport(ShardTotals):
    """How one batch went."""

    reused: int
    """Images that were present before."""
    requests: int
    """HTTP requests, or files read."""
    seconds: float
    """Wall time."""


class ProgressMeter:
    """Counts outcomes and reports them at most twice a second.

    Parameters
    ----------
    total : int
        Distinct links.
    callback : callable, optional
        Called with a :class:`Progress`, always from the thread that runs the download.
    interval : float
        Seconds between calls.
    """

    def __init__(self, total: int, callback: ProgressCallback | None, *, interval: float = 0.5) -> None:
        self.total = total
        self.present = self.reused = 0
        self.failed: Counter[str] = Counter()
        self._known = 0
        self._state = 0
        self._callback = callback
        self._interval = interval
        self._start = self._last = time.monotonic()

    def known(self, record: ImageRecord) -> None:
        """One outcome of an earlier run that holds."""
        self._known += 1
        self.reused += record.status == "ok"
        self.add(record)

    def report(self) -> None:
        """Call back now."""
        if self._callback is not None:
            self._last = time.monotonic()
            self._callback(self.snapshot())

    def snapshot(self) -> Progress:
        """The present state."""
        done = self.present + self.failed.total()
        rate = (done - self._known) / max(time.monotonic() - self._start, 1e-9)
        left = (self.total - done) / rate if rate > 0 else None
        return Progress(self.total, done, self.present, dict(sorted(self.failed.items())), rate, left)

    def summary(self, requests: int) -> ShardReport:
        """The report at the end."""
        return ShardReport(
            requested=self.total,
            present=self.present,
            reused=self.reused,
            failed=dict(sorted(self.failed.items())),
            requests=requests,
            seconds=time.monotonic() - self._start,
            state=f"{self._state:064x}",
        )

    def add(self, record: ImageRecord) -> None:
        """Count one outcome of this run."""
        if record.status == "ok":
            self.present += 1
            outcome = record.sha256
        else:
            outcome = record.reason or "unknown"
            self.failed[outcome] += 1
        # a sum, because the order in which images arrive says nothing
        digest = hashlib.sha256(json.dumps([record.link, outcome]).encode()).digest()
        self._state = (self._state + int.from_bytes(digest)) % _STATES
        if self._callback is not None and time.monotonic() - self._last >= self._interval:
            self.report()
