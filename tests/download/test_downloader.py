"""The downloader against a real server on loopback (plan properties 1 to 4)."""

from __future__ import annotations

import email.utils
import io
import random
import socket
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pricing.config.catalogue import ImagesConfig
from pricing.download.downloader import ResumableImageDownloader, backoff_seconds
from pricing.download.failures import parse_retry_after
from pricing.download.manifest import Manifest
from pricing.download.shards import fetch_shard
from pricing.download.sources import ImageSource
from tests.download.fault_server import MIXED, NEVER, Fault, FaultServer, drawn, jpeg

WEB = ImageSource.web()
# patient enough for every scripted fault, and hardly waiting
FAST = ImagesConfig(
    side=32, backoff_base=0.001, backoff_max=0.004, allow_hosts=("127.0.0.1",), idle_timeout=5.0, breaker_seconds=0.02
)
TRANSIENT = (
    Fault("status", 500),
    Fault("status", 503),
    Fault("status", 408),
    Fault("status", 425),
    Fault("status", 429, {"Retry-After": "0"}),
    Fault("reset"),
    Fault("cut"),
)


def tuned(**changes: object) -> ImagesConfig:
    return FAST.model_copy(update=changes)


@given(
    broken=st.lists(st.sampled_from(["ok", "ok", "404", "html", "cut", "reset", "500"]), min_size=1, max_size=24),
    concurrency=st.integers(1, 12),
    per_host=st.integers(1, 12),
)
@settings(max_examples=12)
def test_batch_consistency(broken: list[str], concurrency: int, per_host: int) -> None:
    """Property 1: Batch download consistency. Whatever the concurrency and the faults, each distinct link is asked for
    as often as its faults need, ends in exactly one state, and every good image is whole on disk."""
    with FaultServer() as server, tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for index, kind in enumerate(broken):
            path = f"/{index}.jpg"
            if kind == "404":
                server.always[path] = Fault("status", 404)
            elif kind == "html":
                server.always[path] = Fault("body", body=b"<html>not found, politely</html>")
            elif kind != "ok":
                server.script[path] = [Fault("status", 500) if kind == "500" else Fault(kind)]
        links = [server.url(f"/{index}.jpg") for index in range(len(broken))]
        config = tuned(concurrency=concurrency, per_host=per_host)
        report = fetch_shard(links + links[:3], config, work, source=WEB)

        lost = sum(kind in ("404", "html") for kind in broken)
        assert report.requested == len(broken)
        assert report.present == len(broken) - lost
        assert sum(report.failed.values()) == lost
        for index, kind in enumerate(broken):
            assert server.counts()[f"/{index}.jpg"] == (1 if kind in ("ok", "404", "html") else 2)
        assert server.most_in_flight <= min(concurrency, per_host)
        records = read_manifest(work, config, links)
        for link, kind in zip(links, broken, strict=True):
            record = records[link]
            assert record.status == ("failed" if kind in ("404", "html") else "ok")
            if record.file is not None:
                with Image.open(work / record.file) as image:
                    image.load()
                    assert image.size == (record.width, record.height) == (32, 24)


@given(cuts=st.lists(st.integers(0, 20), min_size=1, max_size=4), lost=st.sets(st.integers(0, 19), max_size=4))
@settings(max_examples=12)
def test_resume(cuts: list[int], lost: set[int]) -> None:
    """Property 2: Resume from interruption. However a list is cut into batches, each by a new downloader on the same
    folder, a recorded image is asked for once in all, unless its file was lost, and then once more."""
    with FaultServer() as server, tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        links = [server.url(f"/{index}.jpg") for index in range(20)]
        server.always["/7.jpg"] = Fault("status", 410)
        for cut in cuts:
            fetch_shard(links[:cut], FAST, work, source=WEB)
        fetch_shard(links, FAST, work, source=WEB)
        assert server.counts() == {f"/{index}.jpg": 1 for index in range(20)}

        records = read_manifest(work, FAST, links)
        gone = {index for index in lost if index != 7}
        files = {records[links[index]].file for index in gone}
        for position, file in enumerate(sorted(str(file) for file in files)):
            path = work / file
            # a file that shrank, as after a power cut, is as lost as one that went
            path.unlink() if position % 2 else path.write_bytes(path.read_bytes()[:-5])
        report = fetch_shard(links, FAST, work, source=WEB)
        again = {index for index in range(20) if index != 7 and records[links[index]].file in files}
        assert report.present == 19
        assert report.reused == 19 - len(again)
        assert server.counts() == {f"/{index}.jpg": 1 + (index in again) for index in range(20)}


@given(
    faults=st.lists(st.lists(st.sampled_from(TRANSIENT), max_size=5), min_size=1, max_size=8), retries=st.integers(0, 4)
)
@settings(max_examples=15)
def test_retry(faults: list[list[Fault]], retries: int) -> None:
    """Property 3: Retry with exponential backoff. An image with k faults that pass takes k + 1 requests and is had if
    k is at most the retries; otherwise it is given up after retries + 1 requests with the last fault's reason."""
    with FaultServer() as server, tempfile.TemporaryDirectory() as folder:
        config = tuned(retries=retries, breaker_failures=1000)
        links = [server.url(f"/{index}.jpg") for index in range(len(faults))]
        server.script = {f"/{index}.jpg": list(script) for index, script in enumerate(faults)}
        fetch_shard(links, config, Path(folder), source=WEB)
        records = read_manifest(Path(folder), config, links)
        for index, script in enumerate(faults):
            expected = min(len(script), retries) + 1
            assert server.counts()[f"/{index}.jpg"] == expected == records[links[index]].tries
            assert records[links[index]].status == ("ok" if len(script) <= retries else "failed")
            assert records[links[index]].final == (len(script) <= retries)


@given(
    mix=st.dictionaries(st.sampled_from(sorted(MIXED)), st.floats(0.02, 0.12), max_size=6), seed=st.integers(0, 10**6)
)
@settings(max_examples=12)
def test_any_mix_of_faults_costs_only_the_images_that_can_never_be_had(mix: dict[str, float], seed: int) -> None:
    mix.pop("429-wait", None)
    paths = [f"/{seed}-{index}.jpg" for index in range(60)]
    with FaultServer(mix=mix) as server, tempfile.TemporaryDirectory() as folder:
        config = tuned(retries=20, max_redirects=2)
        report = fetch_shard([server.url(path) for path in paths], config, Path(folder), source=WEB)
    impossible = [drawn(path, 0, {name: mix[name] for name in NEVER if name in mix}) for path in paths]
    assert report.failed == dict(
        Counter(
            {"status": "http_404", "body": "not_an_image", "redirect": "too_many_redirects"}[fault.kind]
            for fault in impossible
            if fault is not None
        )
    )
    assert report.present == impossible.count(None)


@given(tries=st.integers(1, 3000), base=st.floats(0.001, 10), longest=st.floats(0.001, 100), seed=st.integers(0, 99))
def test_backoff_is_full_jitter(tries: int, base: float, longest: float, seed: int) -> None:
    """The wait lies between nothing and a ceiling that doubles with each try, up to the longest."""
    config = tuned(backoff_base=base, backoff_max=longest)
    ceiling = base
    for _ in range(tries - 1):
        ceiling = min(2 * ceiling, longest)
    assert 0 <= backoff_seconds(tries, config, random.Random(seed)) <= min(ceiling, longest)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 418, 451, 204, 304])
def test_final_answers_are_asked_for_once(status: int, tmp_path: Path) -> None:
    with FaultServer() as server:
        server.always["/a.jpg"] = Fault("status", status)
        for _ in range(2):
            report = fetch_shard([server.url("/a.jpg")], FAST, tmp_path, source=WEB)
            assert report.failed == {f"http_{status}": 1}
        assert server.counts() == {"/a.jpg": 1}


def test_a_failure_that_may_pass_is_tried_again_in_the_next_run(tmp_path: Path) -> None:
    with FaultServer() as server:
        server.script["/a.jpg"] = [Fault("status", 500)] * 3
        config = tuned(retries=2)
        assert fetch_shard([server.url("/a.jpg")], config, tmp_path, source=WEB).failed == {"http_500": 1}
        assert fetch_shard([server.url("/a.jpg")], config, tmp_path, source=WEB).present == 1


def test_a_refusal_by_limits_ends_with_the_limits(tmp_path: Path) -> None:
    with FaultServer() as server:
        link = [server.url("/a.jpg")]
        assert fetch_shard(link, tuned(max_pixels=100), tmp_path, source=WEB).failed == {"too_many_pixels": 1}
        assert fetch_shard(link, FAST, tmp_path, source=WEB).present == 1


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_obeyed(form: str, tmp_path: Path) -> None:
    with FaultServer() as server:
        # a date has whole seconds: two ahead is between one and two away
        value = "1" if form == "seconds" else email.utils.formatdate(time.time() + 2, usegmt=True)
        server.script["/a.jpg"] = [Fault("status", 429, {"Retry-After": value})]
        assert fetch_shard([server.url("/a.jpg")], FAST, tmp_path, source=WEB).present == 1
        (first, *_), (second, *_) = server.requests
        assert 0.9 <= second - first <= 5


def test_a_retry_after_beyond_patience_gives_up_at_once(tmp_path: Path) -> None:
    with FaultServer() as server:
        server.always["/a.jpg"] = Fault("status", 503, {"Retry-After": "86400"})
        assert fetch_shard([server.url("/a.jpg")], FAST, tmp_path, source=WEB).failed == {"http_503": 1}
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:01:40", 90.0),
        ("soon", None),
        ("-3", None),
        ("1.5", None),
        (None, None),
    ],
)
def test_parse_retry_after(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, now=10.0) == seconds


@pytest.mark.parametrize(
    ("fault", "reason", "requests"),
    [
        (Fault("body", body=b""), "empty", 1),
        (Fault("body", body=b"<html><body>Not here</body></html>"), "not_an_image", 1),
        (
            Fault("body", body=b"<html><body>Not here</body></html>", headers={"Content-Type": "text/html"}),
            "not_an_image",
            1,
        ),
        (Fault("body", body=jpeg(), headers={"Content-Type": "text/html"}), None, 1),
        (Fault("body", body=jpeg()[:-400]), "truncated", 1),
        (Fault("body", body=jpeg(), headers={"Content-Encoding": "gzip"}), None, 1),
        (Fault("cut"), "body_cut_short", 3),
        (Fault("trickle", seconds=0.02), "timeout", 3),
        (Fault("slow", seconds=0.8), "timeout", 3),
        (Fault("redirect", headers={"Location": "/a.jpg"}), "too_many_redirects", 6),
        (Fault("redirect", headers={"Location": "/other.jpg"}), None, 2),
        (Fault("redirect"), "bad_redirect", 1),
        (Fault("redirect", headers={"Location": "ftp://example.com/a.jpg"}), "forbidden_scheme", 1),
        (Fault("redirect", headers={"Location": "file:///etc/passwd"}), "forbidden_scheme", 1),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else str(value),
)
def test_a_lying_server(fault: Fault, reason: str | None, requests: int, tmp_path: Path) -> None:
    with FaultServer() as server:
        server.always["/a.jpg"] = fault
        config = tuned(retries=2, total_timeout=0.4)
        report = fetch_shard([server.url("/a.jpg")], config, tmp_path, source=WEB)
        assert report.failed == ({} if reason is None else {reason: 1})
        assert len(server.requests) == requests


def test_limits_are_applied_while_it_streams(tmp_path: Path) -> None:
    """A huge body, announced or not, and an image of huge sides, cost what was read until they were known."""
    bomb = io.BytesIO()
    Image.new("1", (25_000, 3_000)).save(bomb, "PNG")
    with FaultServer() as server:
        server.always["/huge.jpg"] = Fault("body", body=jpeg() + b"\0" * 300_000)
        # the rest of this one never comes: only the header can refuse it in time
        server.always["/bomb.png"] = Fault("trickle", body=bomb.getvalue(), seconds=0.004)
        config = tuned(max_bytes=100_000, retries=0, total_timeout=3.0)
        links = [server.url("/huge.jpg"), server.url("/bomb.png")]
        report = fetch_shard(links, config, tmp_path, source=WEB)
        assert report.failed == {"too_large": 1, "too_many_pixels": 1}
        assert report.seconds < 3.0


def test_a_dead_host_costs_seconds(tmp_path: Path) -> None:
    """Connections are refused: the breaker opens, its probes fail, and the rest is not asked for."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        links = [f"http://127.0.0.1:{port}/{index}.jpg" for index in range(1000)]
        first = fetch_shard(links, FAST, tmp_path, source=WEB)
        assert sum(first.failed.values()) == 1000
        assert first.failed["host_down"] > 500
        assert first.requests < 150
        # and the next batch asks once
        second = fetch_shard(links, FAST, tmp_path, source=WEB)
        assert second.requests == 1


def test_a_host_that_comes_back_is_used_again(tmp_path: Path) -> None:
    with FaultServer() as server, socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{unused.getsockname()[1]}"
        links = [f"https://images.example.com/{index}.jpg" for index in range(50)]
        assert fetch_shard(links, FAST, tmp_path, source=ImageSource.mirror(dead)).present == 0
        assert fetch_shard(links, FAST, tmp_path, source=ImageSource.mirror(server.base)).present == 50


def test_a_host_that_only_fails_is_given_up(tmp_path: Path) -> None:
    with FaultServer(gate=lambda path: Fault("status", 500)) as server:
        links = [server.url(f"/{index}.jpg") for index in range(600)]
        report = fetch_shard(links, tuned(retries=1, concurrency=8), tmp_path, source=WEB)
        assert sum(report.failed.values()) == 600
        assert report.requests < 300


def test_a_throttling_server_is_served_at_its_own_pace(tmp_path: Path) -> None:
    """A token bucket of 150 a second: every image is had, and few requests are wasted."""
    bucket = {"tokens": 20.0, "at": time.monotonic()}

    def gate(path: str) -> Fault | None:
        now = time.monotonic()
        bucket["tokens"] = min(20.0, bucket["tokens"] + 150 * (now - bucket["at"]))
        bucket["at"] = now
        if bucket["tokens"] < 1:
            return Fault("status", 429)
        bucket["tokens"] -= 1
        return None

    with FaultServer(gate=gate) as server:
        links = [server.url(f"/{index}.jpg") for index in range(400)]
        report = fetch_shard(links, tuned(backoff_base=0.1, backoff_max=2.0), tmp_path, source=WEB)
        assert report.failed == {}
        assert report.requests < 2 * 400

        # the next batch, a shard of the same run, knows the pace from its first request
        links = [server.url(f"/more/{index}.jpg") for index in range(100)]
        report = fetch_shard(links, tuned(backoff_base=0.1, backoff_max=2.0), tmp_path, source=WEB)
        assert report.failed == {}
        assert report.requests < 120


def test_a_host_that_asks_to_be_left_alone_for_a_day_is_left_alone(tmp_path: Path) -> None:
    with FaultServer(gate=lambda path: Fault("status", 429, {"Retry-After": "86400"})) as server:
        links = [server.url(f"/{index}.jpg") for index in range(500)]
        report = fetch_shard(links, FAST, tmp_path, source=WEB)
        assert sum(report.failed.values()) == 500
        assert report.failed["host_down"] > 400
        assert report.seconds < 10


def test_connections_are_kept(tmp_path: Path) -> None:
    with FaultServer() as server:
        links = [server.url(f"/{index}.jpg") for index in range(100)]
        assert fetch_shard(links, tuned(concurrency=6, per_host=4), tmp_path, source=WEB).present == 100
        assert len(server.connections) <= 4


def test_progress_tells_how_it_goes_and_ends(tmp_path: Path) -> None:
    seen = []
    with FaultServer() as server:
        server.always["/0.jpg"] = Fault("status", 404)
        links = [server.url(f"/{index}.jpg") for index in range(10)]
        fetch_shard(links, FAST, tmp_path, source=WEB, progress=seen.append)
    assert (seen[-1].total, seen[-1].done, seen[-1].present, seen[-1].failed) == (10, 10, 9, {"http_404": 1})
    assert "10/10" in str(seen[-1])


def test_it_runs_where_a_loop_runs_already(tmp_path: Path) -> None:
    """A notebook has a running event loop."""
    import asyncio

    async def notebook() -> int:
        return ResumableImageDownloader(FAST, tmp_path).download_batch(["http://10.0.0.1/a.jpg"]).present

    assert asyncio.run(notebook()) == 0


def read_manifest(work: Path, config: ImagesConfig, links: list[str]) -> dict:
    downloader = ResumableImageDownloader(config, work)
    with Manifest(downloader._manifest_path) as manifest:
        return manifest.load("web", links)
