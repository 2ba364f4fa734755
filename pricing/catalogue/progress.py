"""How a download is going, and how it went."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from pricing.catalogue.manifest import PictureRecord
from pricing.config.base import Section


@dataclass(frozen=True)
class Progress:
    """A moment of a running download."""

    total: int
    """Pictures asked for."""
    done: int
    """Present, failed or missing by now."""
    present: int
    """Whole on disk, those of earlier runs among them."""
    failed: dict[str, int]
    """Failures by reason."""
    rate: float
    """Pictures a second since the start, without those of earlier runs."""
    seconds_left: float | None
    """Expected at that rate; None while there is none."""

    def __str__(self) -> str:
        failures = ", ".join(f"{reason} {count}" for reason, count in sorted(self.failed.items())) or "none"
        left = "" if self.seconds_left is None else f", {self.seconds_left:.0f} s left"
        return f"pictures {self.done}/{self.total}, {self.rate:.0f}/s{left}, failures: {failures}"


ProgressCallback = Callable[[Progress], None]


class ShardReport(Section):
    """What came of one batch of links; counts are of distinct links."""

    requested: int
    """Distinct links."""
    present: int
    """Whole on disk now."""
    reused: int
    """Of those, present before."""
    failed: dict[str, int]
    """Failures by reason, those remembered from earlier runs among them."""
    requests: int
    """HTTP requests, or files read."""
    fetched_bytes: int
    """Bytes of the pictures that arrived."""
    seconds: float
    """Wall time."""
    state: str
    """Digest of what became of every link; equal if and only if every picture and every failure is the same."""


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

    def known(self, record: PictureRecord) -> None:
        """One outcome of an earlier run that holds."""
        self._known += 1
        self.reused += record.status == "ok"
        self._count(record)

    def add(self, record: PictureRecord) -> None:
        """One outcome of this run."""
        self._count(record)

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

    def summary(self, requests: int, fetched_bytes: int) -> ShardReport:
        """The report at the end."""
        return ShardReport(
            requested=self.total,
            present=self.present,
            reused=self.reused,
            failed=dict(sorted(self.failed.items())),
            requests=requests,
            fetched_bytes=fetched_bytes,
            seconds=time.monotonic() - self._start,
            state=f"{self._state:064x}",
        )

    def _count(self, record: PictureRecord) -> None:
        if record.status == "ok":
            self.present += 1
            outcome = record.sha256
        else:
            outcome = record.reason or "unknown"
            self.failed[outcome] += 1
        # a sum, because the order in which pictures arrive says nothing
        digest = hashlib.sha256(json.dumps([record.link, outcome]).encode()).digest()
        self._state = (self._state + int.from_bytes(digest)) % 2**256
        if self._callback is not None and time.monotonic() - self._last >= self._interval:
            self.report()
