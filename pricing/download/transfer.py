"""One HTTP request for one image: addresses checked, limits applied while it streams, failures classified."""

import socket
from dataclasses import dataclass

import aiohttp
from yarl import URL

from pricing.catalogue.links import request_url
from pricing.config.catalogue import ImagesConfig
from pricing.download.failures import ImageFailure, status_failure
from pricing.download.hosts import GuardedResolver, HostRules
from pricing.download.manifest import ImageRecord
from pricing.download.verification import SIGNATURE_BYTES, check_head

USER_AGENT = "smart-product-pricing/0.1"
ACCEPT = "image/webp,image/jpeg,image/png,image/gif;q=0.8,*/*;q=0.1"
"""What is asked for. Not ``image/*``: shops answer it with formats that are not taken (JPEG XL, HEIC). AVIF is taken
but not asked for, since a JPEG of the same image can be decoded at a part of its size."""
ANYTHING = "*/*"
"""Asked for after a 406: the server has none of what was named, or does not understand the list."""
COMMON_ONLY = "image/jpeg,image/png"
"""Asked for after an image in a format that is not taken: some servers send their newest one to any ``*/*``."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LONGEST_VALIDATOR = 500
# the first that fits
_REASONS = {
    aiohttp.ClientProxyConnectionError: "proxy", aiohttp.ClientConnectorDNSError: "dns",
    aiohttp.ClientConnectorError: "connect", aiohttp.ConnectionTimeoutError: "connect_timeout",
    TimeoutError: "timeout", aiohttp.ClientPayloadError: "body_cut_short", aiohttp.InvalidURL: "bad_url",
    UnicodeError: "bad_url", socket.gaierror: "dns",
}  # fmt: skip
_UNREACHABLE = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, socket.gaierror)


@dataclass(frozen=True)
class Answer:
    """A body, whose first bytes are those of an acceptable image, and how to ask later whether it has changed."""

    data: bytes
    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True)
class Redirect:
    """The server sent us elsewhere; the address is not checked yet."""

    url: URL


class Unchanged:
    """The server says that the image is still the one that is there (304)."""


def open_session(config: ImagesConfig, rules: HostRules) -> aiohttp.ClientSession:
    """A session that connects to allowed addresses only and keeps connections alive.

    It has no connection limit of its own: the gates decide, and a request that waited here would be running against
    its timeout. Proxies of the environment are not used: behind a proxy it cannot be checked what a
    name resolves to. With ``images.proxy`` the user accepts that, and only the proxy's own name is resolved here.
    """
    if config.proxy is not None:
        rules = HostRules([str(URL(config.proxy).host)])
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, resolver=GuardedResolver(rules), ttl_dns_cache=300),
        timeout=aiohttp.ClientTimeout(
            total=config.total_timeout, sock_connect=config.connect_timeout, sock_read=config.idle_timeout
        ),
        headers={
            "User-Agent": config.user_agent or USER_AGENT,
            "Accept": ACCEPT,
            "Accept-Encoding": "identity",
            **({"Referer": config.referer} if config.referer else {}),
        },
        # a compressed answer would be a bomb or a mistake: images are compressed already
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )
    # aiohttp silently asks a second time where a connection breaks before the answer; unpaced and uncounted requests
    # are what a struggling server needs least. Its own test client sets the same attribute; a test of ours holds it.
    session._retry_connection = False
    return session


async def fetch_once(
    session: aiohttp.ClientSession,
    url: URL,
    config: ImagesConfig,
    *,
    accept: str | None = None,
    known: ImageRecord | None = None,
) -> Answer | Redirect | Unchanged:
    """Ask once, without following redirects.

    Parameters
    ----------
    session : aiohttp.ClientSession
        From :func:`open_session`.
    url : URL
        Checked by :meth:`HostRules.check_url`.
    config : ImagesConfig
        Limits.
    accept : str, optional
        Accept header; :data:`ACCEPT` by default.
    known : ImageRecord, optional
        The image that is there, which is not sent again if it is still the same.

    Raises
    ------
    ImageFailure
        Anything else.
    """
    headers = {"Accept": accept} if accept else {}
    if known is not None and known.etag:
        headers["If-None-Match"] = known.etag
    if known is not None and known.last_modified:
        headers["If-Modified-Since"] = known.last_modified
    try:
        async with session.get(url, allow_redirects=False, headers=headers, proxy=config.proxy) as response:
            if response.status in _REDIRECTS:
                return _redirect(url, response)
            if response.status == 304 and known is not None and (known.etag or known.last_modified):
                return Unchanged()
            if response.status != 200:
                raise status_failure(response.status, response.headers.get("Retry-After"))
            data = await _read_body(response, config)
            return Answer(data, _validator(response, "ETag"), _validator(response, "Last-Modified"))
    except aiohttp.ClientHttpProxyError as error:
        detail = f"the proxy {config.proxy} answered {error.status}"
        raise ImageFailure("proxy", detail, transient=True, unreachable=True) from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        kinds = (reason for kind, reason in _REASONS.items() if isinstance(error, kind))
        reason, unreachable = next(kinds, "connection_lost"), isinstance(error, _UNREACHABLE)
        detail = f"{type(error).__name__}: {error}" if reason == "connection_lost" else str(error)
        raise ImageFailure(reason, detail, transient=reason != "bad_url", unreachable=unreachable) from None


def _redirect(url: URL, response: aiohttp.ClientResponse) -> Redirect:
    location = response.headers.get("Location", "")
    if not location:
        raise ImageFailure("bad_redirect", f"the server answered {response.status} without a Location")
    try:
        return Redirect(url.join(request_url(location.strip())))
    except ValueError as error:
        raise ImageFailure("bad_redirect", f"to {location[:200]!r}: {error}") from None


def _validator(response: aiohttp.ClientResponse, name: str) -> str | None:
    """A header that can be sent back later, if the server gave one that fits into a record."""
    value = response.headers.get(name, "")
    return value if value and len(value) <= _LONGEST_VALIDATOR and value.isascii() and value.isprintable() else None


async def _read_body(response: aiohttp.ClientResponse, config: ImagesConfig) -> bytes:
    """The body, given up as soon as it is too large or begins like no acceptable image."""
    if response.content_length is not None and response.content_length > config.max_bytes:
        raise ImageFailure(
            "too_large", f"{response.content_length} bytes announced; at most {config.max_bytes} are accepted"
        )
    body = bytearray()
    accepted = False
    next_check = SIGNATURE_BYTES
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > config.max_bytes:
            raise ImageFailure("too_large", f"more than {config.max_bytes} bytes")
        # doubling keeps the checks of an image with a long header (profiles, previews) linear in its length
        if not accepted and len(body) >= next_check:
            accepted = check_head(bytes(body), config)
            next_check = 2 * len(body)
    return bytes(body)
