"""Why one image could not be had.

A :class:`ImageFailure` never leaves the downloader: it becomes a row of the manifest, and the pipeline goes on.
Reasons are short and few, so that a report can count them; the detail is for people.
"""

import email.utils
import time
from dataclasses import dataclass
from datetime import UTC

from pricing.errors import DownloadError

RETRIED_STATUSES = frozenset({408, 425, 429})
"""4xx answers worth another try (RFC 9110, 8470, 6585); every 5xx is too."""

THROTTLING_STATUSES = frozenset({429, 503})
"""Answers by which a server asks for fewer requests."""


@dataclass(eq=False)
class ImageFailure(DownloadError):
    """One image failed.

    Parameters
    ----------
    reason : str
        Short and countable: ``http_404``, ``truncated``, ``not_an_image``, ``timeout`` ...
    detail : str
        What was found, for people.
    transient : bool
        Worth another try, now and in a later run. A failure that is not transient is remembered.
    retry_after : float, optional
        Seconds the server asked to wait.
    unreachable : bool
        No connection could be made at all, which speaks against the host and not the image.
    throttled : bool
        The server asked for fewer requests.
    other_format : bool
        It is an image in a format that is not taken; the server may have another one.
    """

    reason: str
    detail: str = ""
    transient: bool = False
    retry_after: float | None = None
    unreachable: bool = False
    throttled: bool = False
    other_format: bool = False

    def __post_init__(self) -> None:
        super().__init__(f"{self.reason}: {self.detail}" if self.detail else self.reason)


def status_failure(status: int, retry_after: str | None = None) -> ImageFailure:
    """Failure for an HTTP answer that is neither an image nor a redirect."""
    return ImageFailure(
        f"http_{status}",
        f"the server answered {status}",
        transient=status >= 500 or status in RETRIED_STATUSES,
        retry_after=parse_retry_after(retry_after),
        throttled=status in THROTTLING_STATUSES,
    )


def parse_retry_after(value: str | None, now: float | None = None) -> float | None:
    """Seconds to wait by a Retry-After header, in either of its forms (RFC 9110, 10.2.3).

    Parameters
    ----------
    value : str, optional
        The header: a number of seconds or an HTTP date.
    now : float, optional
        Unix time; the present by default.

    Returns
    -------
    float or None
        Seconds, at least 0; None where there is no header or it cannot be understood.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        # longer numbers than a float has room for are still only "very long"
        return float(text[:12])
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - (time.time() if now is None else now))
