"""One HTTP request for one picture: addresses checked, limits applied while it streams, failures classified."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from pricing.catalogue.failures import PictureFailure, status_failure
from pricing.catalogue.hosts import GuardedResolver, HostRules
from pricing.catalogue.verification import SIGNATURE_BYTES, check_head

if TYPE_CHECKING:
    from pricing.config import ImagesConfig

USER_AGENT = "smart-product-pricing/0.1"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Redirect:
    """The server sent us elsewhere; the address is not checked yet."""

    url: URL


def open_session(config: ImagesConfig, rules: HostRules) -> aiohttp.ClientSession:
    """A session that connects to allowed addresses only and keeps connections alive.

    It has no connection limit of its own: the gates decide, and a request that waited here would be running against
    its timeout. Proxies of the environment are not used, since behind one the addresses could not be checked.
    """
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, resolver=GuardedResolver(rules), ttl_dns_cache=300),
        timeout=aiohttp.ClientTimeout(
            total=config.total_timeout, sock_connect=config.connect_timeout, sock_read=config.idle_timeout
        ),
        headers={"User-Agent": USER_AGENT, "Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity"},
        # a compressed answer would be a bomb or a mistake: pictures are compressed already
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )
    # aiohttp silently asks a second time where a connection breaks before the answer; unpaced and uncounted requests
    # are what a struggling server needs least. Its own test client sets the same attribute; a test of ours holds it.
    session._retry_connection = False
    return session


async def fetch_once(session: aiohttp.ClientSession, url: URL, config: ImagesConfig) -> bytes | Redirect:
    """Ask once, without following redirects.

    Parameters
    ----------
    session : aiohttp.ClientSession
        From :func:`open_session`.
    url : URL
        Checked by :meth:`HostRules.check_url`.
    config : ImagesConfig
        Limits.

    Returns
    -------
    bytes or Redirect
        The body, whose first bytes are those of an acceptable picture, or where to go on.

    Raises
    ------
    PictureFailure
        Anything else.
    """
    try:
        async with session.get(url, allow_redirects=False) as response:
            if response.status in _REDIRECTS:
                return _redirect(url, response)
            if response.status != 200:
                raise status_failure(response.status, response.headers.get("Retry-After"))
            return await _read_body(response, config)
    except PictureFailure:
        raise
    except aiohttp.ClientConnectorError as error:
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            raise PictureFailure("dns", str(error), transient=True, unreachable=True) from None
        raise PictureFailure("connect", str(error), transient=True, unreachable=True) from None
    except aiohttp.ConnectionTimeoutError as error:
        raise PictureFailure("connect_timeout", str(error), transient=True, unreachable=True) from None
    except TimeoutError as error:
        raise PictureFailure("timeout", str(error), transient=True) from None
    except aiohttp.ClientPayloadError as error:
        raise PictureFailure("body_cut_short", str(error), transient=True) from None
    except (aiohttp.InvalidURL, UnicodeError) as error:
        raise PictureFailure("bad_url", str(error)) from None
    except socket.gaierror as error:
        raise PictureFailure("dns", str(error), transient=True, unreachable=True) from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise PictureFailure("connection_lost", f"{type(error).__name__}: {error}", transient=True) from None


def _redirect(url: URL, response: aiohttp.ClientResponse) -> Redirect:
    location = response.headers.get("Location", "")
    if not location:
        raise PictureFailure("bad_redirect", f"the server answered {response.status} without a Location")
    try:
        return Redirect(url.join(URL(location)))
    except ValueError as error:
        raise PictureFailure("bad_redirect", f"to {location[:200]!r}: {error}") from None


async def _read_body(response: aiohttp.ClientResponse, config: ImagesConfig) -> bytes:
    """The body, given up as soon as it is too large or begins like no acceptable picture."""
    if response.content_length is not None and response.content_length > config.max_bytes:
        raise PictureFailure(
            "too_large", f"{response.content_length} bytes announced; at most {config.max_bytes} are accepted"
        )
    body = bytearray()
    accepted = False
    next_check = SIGNATURE_BYTES
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > config.max_bytes:
            raise PictureFailure("too_large", f"more than {config.max_bytes} bytes")
        # doubling keeps the checks of a picture with a long header (profiles, previews) linear in its length
        if not accepted and len(body) >= next_check:
            accepted = check_head(bytes(body), config)
            next_check = 2 * len(body)
    return bytes(body)
