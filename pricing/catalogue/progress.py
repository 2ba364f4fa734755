"""How a download is going, and how it went."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

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


class ProgressMeter:
    """Counts outcomes and reports them at most twice a second.

    Parameters
    ----------
    total : int
        Distinct links.
    callback : callable, optional
        Called with a :class:`Progress`, always from the thread that runs the download.
    """

    def __init__(self, total: int, callback: ProgressCallback | None, *, interval: float = 0.5) -> None:
        self.total = total
        self.present = self.reused = 0
        self.failed: Counter[str] = Counter()
        self._known = 0
        self._callback = callback
        self._interval = interval
        self._start = self._last = time.monotonic()

    def known(self, reason: str | None) -> None:
        """One outcome that an earlier run recorded; ``reason`` is None for a picture that is there."""
        self._known += 1
        self.reused += reason is None
        self._count(reason)

    def add(self, reason: str | None) -> None:
        """One outcome of this run."""
        self._count(reason)
        if self._callback is not None and time.monotonic() - self._last >= self._interval:
            self.report()

    def report(self) -> None:
        """Call back now."""
        if self._callback is not None:
            self._last = time.monotonic()
            self._callback(self.snapshot())

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def snapshot(self) -> Progress:
        """The present state."""
        done = self.present + sum(self.failed.values())
        rate = (done - self._known) / max(self.seconds, 1e-9)
        left = (self.total - done) / rate if rate > 0 else None
        return Progress(self.total, done, self.present, dict(sorted(self.failed.items())), rate, left)

    def _count(self, reason: str | None) -> None:
        if reason is None:
            self.present += 1
        else:
            self.failed[reason] += 1
