"""What is asked of a server beside the address: formats, headers, whether an image has changed, and by which proxy."""

from __future__ import annotations

import hashlib
import io
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp import web
from PIL import Image

from pricing.config.catalogue import ImagesConfig
from pricing.download import resuming, verification
from pricing.download.fetch import collect_images
from pricing.download.shards import fetch_shard
from pricing.download.sources import ImageSource
from tests.download.fault_server import Fault, FaultServer, jpeg
from tests.download.test_downloader import FAST, WEB, read_manifest, tuned
from tests.download.test_fetch import catalogue


def avif() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(buffer, "AVIF")
    return buffer.getvalue()


AVIF = avif()
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 200
JXL = b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0" * 200
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>'


def shop(choose: Callable[[str], bytes | None]) -> FaultServer:
    """A server that chooses its answer by the Accept header; None is a 406."""

    def answer(request: web.BaseRequest) -> web.Response:
        body = choose(request.headers["Accept"])
        return web.Response(body=body, headers={"Vary": "Accept"}) if body else web.Response(status=406)

    return FaultServer(answer=answer)


@pytest.mark.parametrize(
    ("choose", "requests"),
    [
        # the shops of the bug reports: the newest format to any client that says image/* or names it
        (lambda accept: AVIF if "image/*" in accept or "image/avif" in accept else jpeg(), 1),
        (lambda accept: JXL if "image/*" in accept or "image/jxl" in accept else jpeg(), 1),
        # one that has nothing else, and one that sends it whatever is asked for
        (lambda accept: AVIF, 1),
        # one that takes */* for a licence, however small its weight
        (lambda accept: JXL if "*/*" in accept else jpeg(), 2),
        (lambda accept: HEIC if "*" in accept else jpeg(), 2),
        (lambda accept: SVG if "*/*" in accept else jpeg(), 2),
        # those that answer 406 to what they do not understand
        (lambda accept: jpeg() if accept == "*/*" else None, 2),
        (lambda accept: AVIF if accept == "*/*" else None, 2),
    ],
)
def test_a_shop_that_negotiates_gives_a_image(
    choose: Callable[[str], bytes | None], requests: int, tmp_path: Path
) -> None:
    with shop(choose) as server:
        report = fetch_shard([server.url("/a.jpg")], FAST, tmp_path, source=WEB)
        assert (report.present, report.failed) == (1, {})
        assert report.requests == len(server.requests) == requests


@pytest.mark.parametrize(("body", "name"), [(HEIC, "HEIC"), (JXL, "JPEG XL"), (SVG, "SVG")])
def test_a_shop_that_has_no_other_format_is_asked_twice_and_the_format_is_named(
    body: bytes, name: str, tmp_path: Path
) -> None:
    with shop(lambda accept: body) as server:
        link = server.url("/a.jpg")
        for _ in range(2):
            assert fetch_shard([link], FAST, tmp_path, source=WEB).failed == {"not_an_image": 1}
        assert len(server.requests) == 2
        assert name in str(read_manifest(tmp_path, FAST, [link])[link].detail)


def test_a_format_that_was_refused_is_asked_for_again_by_a_program_that_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shop(lambda accept: AVIF) as server:
        link = [server.url("/a.jpg")]
        with monkeypatch.context() as patch:  # an earlier version, or a Pillow without AVIF
            fewer = tuple(kind for kind in verification.FORMATS if kind != "AVIF")
            patch.setattr(verification, "FORMATS", fewer)
            patch.setattr(resuming, "FORMATS", fewer)
            for _ in range(2):
                assert fetch_shard(link, FAST, tmp_path, source=WEB).failed == {"not_an_image": 1}
            assert len(server.requests) == 2
        assert fetch_shard(link, FAST, tmp_path, source=WEB).present == 1


def test_servers_that_want_a_user_agent_or_a_referer_are_given_one(tmp_path: Path) -> None:
    wanted = {"User-Agent": "Mozilla/5.0 (shop)", "Referer": "https://shop.example/"}

    def answer(request: web.BaseRequest) -> web.Response | None:
        good = all(request.headers.get(name) == value for name, value in wanted.items())
        return None if good else web.Response(status=403)

    with FaultServer(answer=answer) as server:
        link = [server.url("/a.jpg")]
        assert fetch_shard(link, FAST, tmp_path, source=WEB).failed == {"http_403": 1}
        assert server.headers[0]["User-Agent"].startswith("smart-product-pricing/")
        assert "Referer" not in server.headers[0]
        # the refusal was final for the question that was asked, not for another one
        config = tuned(user_agent=wanted["User-Agent"], referer=wanted["Referer"])
        assert fetch_shard(link, config, tmp_path, source=WEB).present == 1


class Versions:
    """Serves images with validators, and says 304 to who has the present one."""

    def __init__(self, *, etag: bool = True, modified: bool = False) -> None:
        self.seed, self.etag, self.modified = 1, etag, modified

    def __call__(self, request: web.BaseRequest) -> web.Response:
        tag, date = f'"{self.seed}"', f"Mon, 0{self.seed} Jun 2026 10:00:00 GMT"
        headers = ({"ETag": tag} if self.etag else {}) | ({"Last-Modified": date} if self.modified else {})
        same = [request.headers.get("If-None-Match") == tag] if self.etag else []
        same += [request.headers.get("If-Modified-Since") == date] if self.modified else []
        if same and all(same):
            return web.Response(status=304, headers=headers)
        return web.Response(body=jpeg(self.seed), headers=headers)


def images(links: list[str], config: ImagesConfig, folder: Path) -> tuple[dict, bytes]:
    """Fetches; the totals of what the next stage's key is made of, and the table."""
    tables, out = folder / "tables", folder / "out"
    if not tables.exists():
        catalogue(tables, [*links], [])
        out.mkdir()
    report = fetch_shard(links, config, folder / "work", source=WEB)
    collect_images(tables, config, WEB.origin, None, folder / "work", WEB, out)
    return report.model_dump(), (out / "images.parquet").read_bytes()


@pytest.mark.parametrize("validators", [{}, {"modified": True}, {"etag": False, "modified": True}])
def test_refresh_keeps_what_has_not_changed_and_replaces_what_has(validators: dict, tmp_path: Path) -> None:
    """The state, which is in the key of the images' stage, changes exactly when an image does."""
    shown, refreshed = Versions(**validators), tuned(refresh=True)
    with FaultServer(answer=shown) as server:
        links = [server.url("/a.jpg"), server.url("/b.jpg")]
        first, table = images(links, FAST, tmp_path)
        assert images(links, FAST, tmp_path)[0]["requests"] == 0
        second, same = images(links, refreshed, tmp_path)
        assert (second["requests"], second["present"], second["state"]) == (2, 2, first["state"])
        assert same == table
        assert all({"If-None-Match", "If-Modified-Since"} & set(sent) for sent in server.headers[2:])
        shown.seed = 2
        assert images(links, FAST, tmp_path)[0]["state"] == first["state"]  # not asked, not seen
        third, changed = images(links, refreshed, tmp_path)
        assert (third["requests"], third["present"]) == (2, 2)
        assert third["state"] != first["state"]
        assert changed != table
        # and so does the other way
        shown.seed = 1
        fourth, back = images(links, refreshed, tmp_path)
        assert (fourth["state"], back) == (first["state"], table)


def test_refresh_without_validators_asks_for_the_image_itself(tmp_path: Path) -> None:
    shown = Versions(etag=False)
    with FaultServer(answer=shown) as server:
        links = [server.url("/a.jpg")]
        first, _ = images(links, FAST, tmp_path)
        again, _ = images(links, tuned(refresh=True), tmp_path)
        assert (again["state"], again["requests"]) == (first["state"], 1)
        shown.seed = 2
        assert images(links, tuned(refresh=True), tmp_path)[0]["state"] != first["state"]


@pytest.mark.parametrize(
    "fault", [Fault("status", 404), Fault("status", 500), Fault("reset"), Fault("body", body=b"<html>sold out</html>")]
)
def test_a_image_that_can_no_longer_be_had_stays(fault: Fault, tmp_path: Path) -> None:
    with FaultServer() as server:
        links = [server.url("/a.jpg"), server.url("/b.jpg")]
        first, table = images(links, FAST, tmp_path)
        server.always["/a.jpg"] = fault
        second, same = images(links, tuned(refresh=True, retries=1), tmp_path)
        assert (second["state"], second["failed"], same) == (first["state"], {}, table)


def test_refresh_asks_for_refused_links_too_and_for_lost_files_without_conditions(tmp_path: Path) -> None:
    with FaultServer(answer=Versions()) as server:
        links = [server.url("/a.jpg")]
        images(links, FAST, tmp_path)
        for file in (tmp_path / "work").rglob("*.jpg"):
            file.unlink()
        assert images(links, tuned(refresh=True), tmp_path)[0]["present"] == 1
        assert "If-None-Match" not in server.headers[-1]
    with FaultServer() as server:
        link = [server.url("/c.jpg")]
        server.always["/c.jpg"] = Fault("status", 404)
        assert fetch_shard(link, FAST, tmp_path, source=WEB).present == 0
        del server.always["/c.jpg"]
        assert fetch_shard(link, FAST, tmp_path, source=WEB).present == 0
        assert fetch_shard(link, tuned(refresh=True), tmp_path, source=WEB).present == 1


def test_refresh_days_leaves_young_images_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tuned(refresh=True, refresh_days=2.0)
    with FaultServer(answer=Versions()) as server:
        links = [server.url("/a.jpg")]
        fetch_shard(links, config, tmp_path, source=WEB)
        assert fetch_shard(links, config, tmp_path, source=WEB).requests == 0
        now = resuming.time.time()
        monkeypatch.setattr(resuming.time, "time", lambda: now + 3 * 86400)
        assert fetch_shard(links, config, tmp_path, source=WEB).requests == 1
        # it was confirmed a moment ago
        assert fetch_shard(links, config, tmp_path, source=WEB).requests == 0


class Forwarder(socketserver.StreamRequestHandler):
    """One request of a proxy: an address in absolute form, or a tunnel (CONNECT)."""

    def handle(self) -> None:
        first = self.rfile.readline().decode()
        while line := self.rfile.readline().strip():
            self.server.headers.append(line.decode())  # type: ignore[attr-defined]
        self.server.asked.append(first.strip())  # type: ignore[attr-defined]
        method, target, _ = first.split()
        port = int(target.split(":")[-1].split("/")[0])
        with socket.create_connection(("127.0.0.1", port)) as upstream:
            if method == "CONNECT":
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                upstream.sendall(self.request.recv(65536))
            else:
                upstream.sendall(f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            while data := upstream.recv(65536):
                self.wfile.write(data)


@contextmanager
def forward_proxy() -> Iterator[tuple[str, list[str]]]:
    """A small HTTP proxy on loopback, and what it was asked for."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Forwarder) as server:
        server.asked, server.headers = [], []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", server.asked  # type: ignore[attr-defined]
        finally:
            server.shutdown()
            thread.join(30)


def test_a_proxy_is_asked_for_names_that_this_machine_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with FaultServer() as server, forward_proxy() as (proxy, asked):
        link = f"http://images.invalid:{server.port}/sig%27n.jpg"
        config = FAST.model_copy(update={"proxy": proxy, "allow_hosts": (), "retries": 0})
        assert fetch_shard([link], config, tmp_path, source=WEB).present == 1
        assert asked == [f"GET {link} HTTP/1.1"]
        assert server.raw_paths[0].endswith("/sig%27n.jpg")


def test_a_proxy_is_not_asked_for_private_addresses_and_may_not_be_asked_as_a_host(tmp_path: Path) -> None:
    with FaultServer() as server, forward_proxy() as (proxy, asked):
        config = FAST.model_copy(update={"proxy": proxy, "allow_hosts": (), "retries": 0})
        port = server.port
        links = [f"http://{host}:{port}/a.jpg" for host in ("127.0.0.1", "localhost", "127.1", "2130706433", "[::1]")]
        report = fetch_shard([*links, f"{proxy}/a.jpg"], config, tmp_path, source=WEB)
        assert report.failed == {"forbidden_address": 6}
        assert asked == []


def test_https_goes_through_a_tunnel_and_a_dead_proxy_is_named(tmp_path: Path) -> None:
    with FaultServer() as server, forward_proxy() as (proxy, asked):
        config = FAST.model_copy(update={"proxy": proxy, "retries": 0})
        report = fetch_shard([f"https://images.invalid:{server.port}/a.jpg"], config, tmp_path, source=WEB)
        assert report.present == 0  # the server speaks no TLS
        assert asked == [f"CONNECT images.invalid:{server.port} HTTP/1.1"]
    dead = FAST.model_copy(update={"proxy": proxy, "retries": 0})
    report = fetch_shard(["http://images.invalid/a.jpg"], dead, tmp_path, source=WEB)
    assert report.failed == {"proxy": 1}


def test_bytes_are_those_that_were_sent(tmp_path: Path) -> None:
    with FaultServer() as server:
        link = server.url("/a.jpg")
        fetch_shard([link], FAST, tmp_path, source=ImageSource.web())
        record = read_manifest(tmp_path, FAST, [link])[link]
        assert record.source_sha256 == hashlib.sha256(jpeg(sum(b"/a.jpg"))).hexdigest()
