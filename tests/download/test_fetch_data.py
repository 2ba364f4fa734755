"""Fetching and unpacking the challenge's archive."""

from __future__ import annotations

import asyncio
import hashlib
import io
import stat
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from pricing.download.archive import unpack_catalogue
from pricing.download.fetch_data import fetch_data, public_url
from pricing.errors import DownloadError, InputError

TRAIN = b"sample_id,catalog_content,image_link,price\n" + b"".join(b"%d,text,,1.0\n" % i for i in range(20_000))
TEST = b"sample_id,catalog_content,image_link\n7,text,\n"


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def tarred(members: dict[str, bytes], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


GOOD = {"dataset/train.csv": TRAIN, "dataset/test.csv": TEST, "dataset/other/train.csv": b"no", "README.md": b"hello"}


class ArchiveServer:
    """Serves one archive with ranges; drops the connection after ``drops.pop(0)`` bytes while there are any."""

    def __init__(self, data: bytes, etag: str | None = '"one"') -> None:
        self.data, self.etag = data, etag
        self.drops: list[int] = []
        self.ranges: list[str | None] = []
        self.sent = 0
        self.redirect: str | None = None
        self._ready = threading.Event()

    def __enter__(self) -> ArchiveServer:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/archive.zip"

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        asked = request.headers.get("Range")
        self.ranges.append(asked)
        if self.redirect is not None:
            return web.Response(status=302, headers={"Location": self.redirect})
        begin = 0
        if asked is not None and request.headers.get("If-Range") == self.etag:
            begin = int(asked.removeprefix("bytes=").removesuffix("-"))
        body = self.data[begin:]
        headers = {"Content-Length": str(len(body))}
        if self.etag is not None:
            headers["ETag"] = self.etag
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{len(self.data) - 1}/{len(self.data)}"
        response = web.StreamResponse(status=206 if begin else 200, headers=headers)
        await response.prepare(request)
        allowed = self.drops.pop(0) if self.drops else len(body)
        self.sent += min(allowed, len(body))
        await response.write(body[:allowed])
        if allowed < len(body):
            assert request.transport is not None
            request.transport.close()
        return response


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    with ArchiveServer(zipped(GOOD)) as running:
        yield running


def assert_catalogue(folder: Path) -> None:
    assert (folder / "train.csv").read_bytes() == TRAIN
    assert (folder / "test.csv").read_bytes() == TEST
    assert sorted(file.name for file in folder.iterdir()) == ["test.csv", "train.csv"]


def test_it_leaves_the_two_files(server: ArchiveServer, tmp_path: Path) -> None:
    files = fetch_data(server.url, tmp_path / "data", hashlib.sha256(server.data).hexdigest().upper())
    assert files == [tmp_path / "data" / "train.csv", tmp_path / "data" / "test.csv"]
    assert_catalogue(tmp_path / "data")


def test_a_broken_connection_is_resumed_by_range(server: ArchiveServer, tmp_path: Path) -> None:
    server.drops = [100_000, 70_000, 0, 1]
    fetch_data(server.url, tmp_path, retries=2, backoff_base=0.001)
    assert_catalogue(tmp_path)
    assert server.ranges == [None, "bytes=100000-", "bytes=170000-", "bytes=170000-", "bytes=170001-"]
    assert server.sent == len(server.data)


def test_the_next_call_goes_on_where_this_one_gave_up(server: ArchiveServer, tmp_path: Path) -> None:
    server.drops = [100_000, 0, 0]
    with pytest.raises(DownloadError, match="100000 bytes are kept"):
        fetch_data(server.url, tmp_path, retries=1, backoff_base=0.001)
    fetch_data(server.url, tmp_path, backoff_base=0.001)
    assert_catalogue(tmp_path)
    assert server.sent == len(server.data)


def test_a_file_that_changed_on_the_server_is_fetched_anew(server: ArchiveServer, tmp_path: Path) -> None:
    """Two halves of different archives would be no archive."""
    server.drops = [100_000]
    with pytest.raises(DownloadError):
        fetch_data(server.url, tmp_path, retries=0)
    server.data, server.etag = zipped({"train.csv": b"new", "test.csv": b"new too"}), '"two"'
    fetch_data(server.url, tmp_path)
    assert (tmp_path / "train.csv").read_bytes() == b"new"


def test_without_a_validator_nothing_is_glued_together(server: ArchiveServer, tmp_path: Path) -> None:
    server.etag = None
    server.drops = [100_000]
    fetch_data(server.url, tmp_path, backoff_base=0.001)
    assert server.ranges == [None, None]
    assert_catalogue(tmp_path)


def test_a_wrong_digest_leaves_nothing(server: ArchiveServer, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"sha256 is [0-9a-f]{64}, expected 0{64}"):
        fetch_data(server.url, tmp_path, "0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_a_redirect_to_a_private_host_is_refused(server: ArchiveServer, tmp_path: Path) -> None:
    server.redirect = "http://169.254.169.254/latest"
    with pytest.raises(DownloadError, match="forbidden_address"):
        fetch_data(server.url, tmp_path)


@pytest.mark.parametrize(
    "url", ["ftp://example.com/a.zip", "a.zip", "s3://bucket", "s3:///key", "s3://Bad_Bucket/key", "http://"]
)
def test_urls_that_are_none(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected"):
        fetch_data(url, tmp_path)


def test_a_digest_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="64 hexadecimal"):
        fetch_data("http://127.0.0.1/", tmp_path, "abc")


def test_s3_addresses() -> None:
    assert public_url("s3://my-bucket/a/b c+d.zip") == "https://my-bucket.s3.amazonaws.com/a/b%20c%2Bd.zip"
    assert public_url("s3://my.bucket/a.zip") == "https://s3.amazonaws.com/my.bucket/a.zip"


@pytest.mark.parametrize(
    "pack", [zipped, tarred, lambda members: tarred(members, "w"), lambda members: tarred(members, "w:xz")]
)
def test_forms_of_archives(pack: object, tmp_path: Path) -> None:
    archive = tmp_path / "a"
    archive.write_bytes(pack(GOOD))  # type: ignore[operator]
    out = tmp_path / "out"
    out.mkdir()
    unpack_catalogue(archive, out)
    assert_catalogue(out)


@pytest.mark.parametrize(
    "names", [("Train.csv", "Test.csv"), ("data/TRAIN.CSV", "data/test.csv"), ("train.CSV", "tEst.csv")]
)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_names_in_capitals(pack: object, names: tuple[str, str], tmp_path: Path) -> None:
    """Archives packed on other systems say Train.csv; what lies there afterwards has one name."""
    (tmp_path / "a").write_bytes(pack({names[0]: TRAIN, names[1]: TEST, "sub/deeper/train.csv": b"no"}))  # type: ignore[operator]
    (tmp_path / "out").mkdir()
    unpack_catalogue(tmp_path / "a", tmp_path / "out")
    assert_catalogue(tmp_path / "out")


def refused(archive_bytes: bytes, tmp_path: Path, match: str, **options: int) -> None:
    archive = tmp_path / "inner" / "a.bin"
    archive.parent.mkdir()
    archive.write_bytes(archive_bytes)
    out = tmp_path / "inner" / "out"
    out.mkdir()
    (out / "train.csv").write_bytes(b"old")
    with pytest.raises(DownloadError, match=match):
        unpack_catalogue(archive, out, **options)
    # nothing written anywhere, and what was there is untouched
    assert sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()) == [
        "inner/a.bin",
        "inner/out/train.csv",
    ]
    assert (out / "train.csv").read_bytes() == b"old"


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("path", ["../evil/train.csv", "/x/train.csv", "a/../../x", "..\\train.csv", "C:\\train.csv"])
def test_a_path_that_escapes_is_refused(pack: object, path: str, tmp_path: Path) -> None:
    refused(pack({**GOOD, path: b"evil"}), tmp_path, "elsewhere")  # type: ignore[operator]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_a_link_in_a_tar_is_refused(kind: bytes, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("train.csv")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
        archive.addfile(tarfile.TarInfo("test.csv"), io.BytesIO())
    refused(buffer.getvalue(), tmp_path, "expected a plain file")


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("train.csv")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
        archive.writestr("test.csv", "x")
    refused(buffer.getvalue(), tmp_path, "expected a plain file")


def test_a_bomb_is_refused_by_what_comes_out(tmp_path: Path) -> None:
    refused(
        zipped({"train.csv": b"0" * 5_000_000, "test.csv": b""}), tmp_path, "more than 1000000", max_bytes=1_000_000
    )


def test_missing_doubtful_and_damaged_archives(tmp_path: Path) -> None:
    cases = {
        "missing": (zipped({"train.csv": b""}), "holds no test.csv"),
        "twice": (zipped({"a/train.csv": b"", "b/train.csv": b"", "test.csv": b""}), "more than once"),
        "html": (b"<html>expired link</html>" * 30, "neither a zip nor a tar"),
        "cut": (tarred(GOOD)[:-30], "damaged|neither"),
    }
    for name, (data, match) in cases.items():
        folder = tmp_path / name
        folder.mkdir()
        refused(data, folder, match)
