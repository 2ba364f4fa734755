"""Which addresses may be asked: http and https, and no private network unless it was allowed by name.

A catalogue is somebody else's list of URLs. Without these rules it could make this machine ask its own services or a
cloud's metadata address. The check is made on what the name resolves to, and the connection goes to exactly the
addresses that were checked, so that a name cannot answer differently the second time (DNS rebinding).
"""

import ipaddress
import socket
from collections.abc import Iterable

from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from pricing.catalogue.links import request_url
from pricing.download.failures import ImageFailure

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet.

    IPv6 forms that carry an IPv4 address (mapped, 6to4, NAT64) are judged by that address.

    Examples
    --------
    >>> is_public("8.8.8.8"), is_public("169.254.169.254"), is_public("::ffff:127.0.0.1")
    (True, False, False)
    """
    ip = ipaddress.ip_address(address.split("%", 1)[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast


class HostRules:
    """The rules for one download.

    Parameters
    ----------
    allow : iterable of str
        Hosts, by name or address as they stand in the URL, that may be private or loopback.
    """

    def __init__(self, allow: Iterable[str] = ()) -> None:
        self.allow = frozenset(_plain(host) for host in allow)

    def allows(self, host: str) -> bool:
        """Whether a host was allowed by name."""
        return _plain(host) in self.allow

    def check_url(self, url: str | URL) -> URL:
        """Make the address that is asked for a URL, and apply the rules that need no DNS.

        Raises
        ------
        ImageFailure
            ``bad_url``, ``forbidden_scheme`` or ``forbidden_address``.
        """
        try:
            parsed = url if isinstance(url, URL) else request_url(url)
            host, _ = parsed.host, parsed.port
        except (ValueError, TypeError) as error:
            raise ImageFailure("bad_url", f"{str(url)[:200]!r}: {error}") from None
        if parsed.scheme not in ("http", "https"):
            raise ImageFailure("forbidden_scheme", f"{parsed.scheme or 'no scheme'!r}: only http and https are fetched")
        if not host or not parsed.is_absolute():
            raise ImageFailure("bad_url", f"{str(url)[:200]!r}: no host")
        if parsed.user is not None or parsed.password is not None:
            raise ImageFailure("bad_url", "a URL with a user name is not fetched")
        self.check_address(host, _literal(host))
        return parsed

    def check_address(self, host: str, address: str) -> None:
        """Refuse an address that is not public, unless its host was allowed by name; names pass."""
        try:
            public = is_public(address)
        except ValueError:
            return
        if not public and not self.allows(host):
            raise ImageFailure(
                "forbidden_address",
                f"{host} is {address}, which is not public; allow it with --allow-host {host} if it is yours",
            )


class GuardedResolver(ThreadedResolver):
    """A resolver that hands out only addresses that the rules allow.

    One forbidden address among several refuses the host: a name that mixes public and private ones is no accident.
    """

    def __init__(self, rules: HostRules) -> None:
        super().__init__()
        self._rules = rules

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Addresses of a host, all of them checked."""
        results = await super().resolve(host, port, family)
        for result in results:
            self._rules.check_address(host, result["host"])
        return results


def _literal(host: str) -> str:
    """The address that a host names without DNS, in whichever spelling; other names as they are.

    The connector asks no resolver about addresses, and a proxy does as it likes with odd spellings (``127.1``,
    ``0x7f000001``) and with localhost.
    """
    name = _plain(host)
    if name == "localhost" or name.endswith(".localhost"):
        return "127.0.0.1"
    if name[:1].isdigit():
        try:
            return socket.inet_ntoa(socket.inet_aton(name))
        except (OSError, ValueError):
            return host
    return host


def _plain(host: str) -> str:
    return host.strip().strip("[]").rstrip(".").lower()
