"""Fetching the challenge's archive: resumed by Range, checked by sha256, unpacked safely."""

import asyncio
import contextlib
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlsplit

import aiohttp
from yarl import URL

from pricing.download.archive import unpack_catalogue
from pricing.download.failures import ImageFailure, status_failure
from pricing.download.hosts import GuardedResolver, HostRules
from pricing.download.image_store import disk_error
from pricing.download.transfer import USER_AGENT
from pricing.errors import DownloadError, InputError
from pricing.store.artifacts import file_digest, read_json

_PIECE = 1 << 20
_MAX_REDIRECTS = 5


def fetch_data(
    url: str,
    destination: Path,
    sha256: str | None = None,
    *,
    retries: int = 8,
    backoff_base: float = 1.0,
    progress: Callable[[int, int | None], None] | None = None,
) -> list[Path]:
    """Fetch an archive and leave ``train.csv`` and ``test.csv`` in a folder.

    The archive gathers beside them as ``.download.part``; a later call with the same URL goes on where it ended. The
    host that is named may be private, since the user named it; those it redirects to may not.

    Parameters
    ----------
    url : str
        ``http://``, ``https://`` or ``s3://BUCKET/KEY`` (a public object).
    destination : Path
        Folder; made where there is none.
    sha256 : str, optional
        Expected digest of the archive, in hex.
    retries : int
        Tries after one that brought nothing; any progress starts the count again.
    backoff_base : float
        First pause in seconds; doubles, with full jitter, up to a minute.
    progress : callable, optional
        Called with bytes so far and bytes in all (None where the server does not say).

    Returns
    -------
    list of Path
        The two files.

    Raises
    ------
    InputError
        The URL or the digest is malformed.
    DownloadError
        The server, the digest, the archive or the disk.
    """
    address = public_url(url)
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise InputError(f"sha256 {sha256!r}: expected 64 hexadecimal digits")
    part = destination / ".download.part"
    try:
        destination.mkdir(parents=True, exist_ok=True)
        asyncio.run(_Fetch(address, part, progress).run(retries, backoff_base))
        if sha256 is not None:
            found = file_digest(part)
            if found != sha256.lower():
                _forget(part)
                raise DownloadError(f"{url}: sha256 is {found}, expected {sha256.lower()}; the file was removed")
    except OSError as error:
        raise disk_error(part, error) from None
    files = unpack_catalogue(part, destination)
    _forget(part)
    return files


def public_url(url: str) -> str:
    """The https form of an ``s3://BUCKET/KEY`` address; http and https pass.

    Raises
    ------
    InputError
        Another scheme, or no host, bucket or key.

    Examples
    --------
    >>> public_url("s3://bucket/folder/student resource.zip")
    'https://bucket.s3.amazonaws.com/folder/student%20resource.zip'
    """
    parts = urlsplit(url)
    if parts.scheme in ("http", "https") and parts.hostname:
        return url
    if parts.scheme == "s3":
        bucket, key = parts.netloc, url.split("://", 1)[1].partition("/")[2]
        if re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket) and key:
            # a bucket with dots is outside the wildcard certificate
            host = f"s3.amazonaws.com/{bucket}" if "." in bucket else f"{bucket}.s3.amazonaws.com"
            return f"https://{host}/{quote(key)}"
    raise InputError(f"{url!r}: expected http://, https:// or s3://BUCKET/KEY of the archive")


class _Fetch:
    """One archive, with what is known about the bytes gathered so far beside them."""

    def __init__(self, url: str, part: Path, progress: Callable[[int, int | None], None] | None) -> None:
        self._url = url
        self._part = part
        self._state_file = part.with_suffix(".json")
        self._progress = progress

    async def run(self, retries: int, backoff_base: float) -> None:
        """Fetch to the end, or raise DownloadError."""
        rules = HostRules([urlsplit(self._url).hostname or ""])
        failures = 0
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=GuardedResolver(rules)),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=30.0, sock_read=60.0),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            auto_decompress=False,
        ) as session:
            while True:
                before = self._size()
                try:
                    await self._attempt(session, rules)
                    return
                except ImageFailure as error:
                    failure = error
                except (aiohttp.ClientError, TimeoutError) as error:
                    failure = ImageFailure("connection_lost", f"{type(error).__name__}: {error}", transient=True)
                failures = 1 if self._size() > before else failures + 1
                if not failure.transient or failures > retries:
                    raise DownloadError(
                        f"{self._url}: {failure}; {self._size()} bytes are kept, the same command goes on from there"
                    )
                pause = random.uniform(0.0, min(60.0, backoff_base * 2.0 ** (failures - 1)))
                await asyncio.sleep(max(pause, min(failure.retry_after or 0.0, 300.0)))

    async def _attempt(self, session: aiohttp.ClientSession, rules: HostRules) -> None:
        url = rules.check_url(self._url)
        state = self._state()
        # resumed only where the server can tell us that it is still the same file
        validator = state.get("validator") if state.get("url") == self._url else None
        start = self._size() if validator else 0
        if validator and state.get("total") == start:
            return
        headers = {"Range": f"bytes={start}-", "If-Range": str(validator)} if start else {}
        for _ in range(_MAX_REDIRECTS + 1):
            async with session.get(url, headers=headers, allow_redirects=False) as response:
                if response.status in (301, 302, 303, 307, 308) and "Location" in response.headers:
                    url = rules.check_url(url.join(URL(response.headers["Location"])))
                    continue
                if response.status == 416:
                    _forget(self._part)
                    raise ImageFailure("http_416", "the file changed on the server", transient=True)
                if response.status not in (200, 206):
                    raise status_failure(response.status, response.headers.get("Retry-After"))
                await self._receive(response, start if response.status == 206 else 0)
                return
        raise ImageFailure("too_many_redirects", f"more than {_MAX_REDIRECTS}")

    async def _receive(self, response: aiohttp.ClientResponse, start: int) -> None:
        if response.status == 206:
            found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
            if found is None or int(found.group(1)) != start:
                _forget(self._part)
                raise ImageFailure("bad_range", "the server sent another part than asked for", transient=True)
        total = None if response.content_length is None else start + response.content_length
        etag = response.headers.get("ETag", "")
        # a weak ETag does not promise equal bytes (RFC 9110, 13.1.5)
        validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
        if start == 0:
            self._part.unlink(missing_ok=True)
        self._state_file.write_text(
            json.dumps({"url": self._url, "validator": validator, "total": total}), encoding="utf-8"
        )
        with self._part.open("ab") as sink:
            sink.truncate(start)
            size = start
            async for piece in response.content.iter_chunked(_PIECE):
                sink.write(piece)
                size += len(piece)
                if self._progress is not None:
                    self._progress(size, total)

    def _size(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _state(self) -> dict[str, object]:
        with contextlib.suppress(OSError, ValueError):
            state = read_json(self._state_file)
            if isinstance(state, dict):
                return state
        return {}


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    part.with_suffix(".json").unlink(missing_ok=True)
