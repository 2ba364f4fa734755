"""The manifest: whole groups, several processes, and kill -9 at any moment."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pricing.config.catalogue import ImagesConfig
from pricing.download.image_store import images_key
from pricing.download.manifest import HostState, ImageRecord, Manifest
from pricing.download.shards import fetch_shard
from pricing.download.sources import ImageSource
from tests.download.fault_server import FaultServer

ROOT = Path(__file__).resolve().parents[2]
WEB = ImageSource.web()
CONFIG = ImagesConfig(side=32, concurrency=8, per_host=8, allow_hosts=("127.0.0.1",))

WORKER = """
import json, sys
from pathlib import Path
from pricing.download.shards import fetch_shard
from pricing.download.sources import ImageSource
from pricing.config.catalogue import ImagesConfig
links = json.loads(Path(sys.argv[1]).read_text())
config = ImagesConfig.model_validate_json(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
fetch_shard(links, config, Path(sys.argv[2]), source=ImageSource.web(), threads=1)
"""


def start(links: Path, work: Path, config: ImagesConfig = CONFIG) -> subprocess.Popen[str]:
    """A process that has imported everything and waits for a line before it downloads."""
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(links), str(work), config.model_dump_json()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def go(worker: subprocess.Popen[str]) -> None:
    assert worker.stdin is not None
    worker.stdin.write("\n")
    worker.stdin.flush()


def finish(worker: subprocess.Popen[str]) -> int:
    code = worker.wait(60)
    for stream in (worker.stdin, worker.stdout):
        assert stream is not None
        stream.close()
    return code


def present(work: Path, links: list[str]) -> dict[str, ImageRecord]:
    path = work / images_key(CONFIG) / "manifest.sqlite"
    if not path.exists():
        return {}
    with Manifest(path) as manifest:
        return manifest.load("web", links)


def kill_at_random_moments(kills: int, tmp_path: Path) -> None:
    """Kill and start again; what was recorded is whole and is not asked for again, and a kill costs at most the
    images in flight."""
    rng = random.Random(kills)
    with FaultServer(latency=0.01) as server:
        links = [server.url(f"/{index}.jpg") for index in range(60 * kills)]
        listed = tmp_path / "links.json"
        listed.write_text(json.dumps(links))
        work = tmp_path / "work"
        recorded: dict[str, ImageRecord] = {}
        for kill in range(kills):
            worker = start(listed, work)
            begun = len(server.requests)
            go(worker)
            # by progress of the server, not by the clock, so that the moment is inside the download on any machine
            target = begun + rng.randrange(0, 50)
            deadline = time.monotonic() + 30
            while len(server.requests) < target and time.monotonic() < deadline:
                pass
            worker.send_signal(signal.SIGKILL)
            assert finish(worker) == -signal.SIGKILL
            after = present(work, links)
            assert recorded.items() <= after.items(), f"kill {kill} lost a record"
            for link in after.keys() - recorded.keys():
                record = after[link]
                assert record.status == "ok"
                with Image.open(work / str(record.file)) as image:
                    image.load()
            recorded = after
        report = fetch_shard(links, CONFIG, work, source=WEB)
        assert report.present == len(links)
        assert report.reused == len(recorded)
        assert report.requests == len(links) - len(recorded)
        counts = server.counts()
        assert all(counts[f"/{index}.jpg"] >= 1 for index in range(len(links)))
        assert len(server.requests) <= len(links) + kills * CONFIG.concurrency
        assert not list(work.glob("*/incoming/*"))


def test_three_kills(tmp_path: Path) -> None:
    kill_at_random_moments(3, tmp_path)


@pytest.mark.slow
def test_twenty_kills(tmp_path: Path) -> None:
    kill_at_random_moments(20, tmp_path)


def test_two_processes_share_a_work_folder(tmp_path: Path) -> None:
    with FaultServer() as server:
        links = [server.url(f"/{index}.jpg") for index in range(200)]
        workers = []
        for number, part in enumerate((links[:120], links[80:])):
            listed = tmp_path / f"{number}.json"
            listed.write_text(json.dumps(part))
            workers.append(start(listed, tmp_path / "work"))
        for worker in workers:
            go(worker)
        assert [finish(worker) for worker in workers] == [0, 0]
        report = fetch_shard(links, CONFIG, tmp_path / "work", source=WEB)
        assert (report.present, report.reused) == (200, 200)


texts = st.text(max_size=20)
numbers = st.none() | st.integers(0, 2**40)
records = st.builds(
    ImageRecord, origin=st.sampled_from(["web", "folder:/a"]), link=texts, status=st.sampled_from(["ok", "failed"]),
    verdict=texts, final=st.booleans(), reason=st.none() | texts, detail=st.none() | texts, tries=st.integers(0, 99),
    file=st.none() | texts, sha256=st.none() | texts, stored_bytes=numbers, width=numbers, height=numbers,
    source_sha256=st.none() | texts, source_bytes=numbers, fingerprint=texts, etag=st.none() | texts,
    last_modified=st.none() | texts, fetched=st.none() | st.floats(0, 1e11),
)  # fmt: skip


@given(groups=st.lists(st.lists(records, max_size=5), max_size=4))
@settings(max_examples=25)
def test_what_was_saved_last_is_loaded(
    groups: list[list[ImageRecord]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("manifest") / "m.sqlite"
    expected: dict[str, dict[str, ImageRecord]] = {"web": {}, "folder:/a": {}}
    for group in groups:
        # opened anew each time, as another run would
        with Manifest(path) as manifest:
            manifest.save(group)
        for record in group:
            expected[record.origin][record.link] = record
    with Manifest(path) as manifest:
        for origin, known in expected.items():
            assert manifest.load(origin, [*known, "never seen"]) == known


def test_what_was_learned_of_hosts_is_believed_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Manifest(tmp_path / "m.sqlite") as manifest:
        learned = {"a:80": HostState(down=True), "b:80": HostState(rate=2.5), "c:80": HostState()}
        manifest.remember_hosts(learned)
        assert manifest.hosts() == learned
        manifest.remember_hosts({"a:80": HostState()})
        assert manifest.hosts() == learned | {"a:80": HostState()}
        monkeypatch.setattr("pricing.download.manifest.REMEMBER_HOSTS_SECONDS", 0.0)
        assert manifest.hosts() == {}


HOSTS = {
    1: "CREATE TABLE hosts (host TEXT PRIMARY KEY, down_until REAL NOT NULL) WITHOUT ROWID;",
    2: "CREATE TABLE hosts (host TEXT PRIMARY KEY, down INTEGER NOT NULL, rate REAL, seen REAL NOT NULL) "
    "WITHOUT ROWID;",
}


@pytest.mark.parametrize("version", [1, 2])
def test_a_manifest_of_an_earlier_version_is_taken_over(version: int, tmp_path: Path) -> None:
    """The images stay as they were recorded, in a table that lacked columns; the hosts are forgotten."""
    path = tmp_path / "m.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            """CREATE TABLE pictures (
            origin TEXT NOT NULL, link TEXT NOT NULL, status TEXT NOT NULL, verdict TEXT NOT NULL,
            final INTEGER NOT NULL, reason TEXT, detail TEXT, tries INTEGER NOT NULL, file TEXT, sha256 TEXT,
            stored_bytes INTEGER, width INTEGER, height INTEGER, source_sha256 TEXT, source_bytes INTEGER,
            fingerprint TEXT NOT NULL, PRIMARY KEY (origin, link)) WITHOUT ROWID;"""
            + HOSTS[version]
            + f"""INSERT INTO pictures
            VALUES ('web', 'a', 'ok', '', 1, NULL, NULL, 2, 'p/a.jpg', 'ff', 9, 3, 4, 'ee', 7, '');
            PRAGMA user_version = {version};"""
        )
    record = ImageRecord("web", "a", "ok", tries=2, file="p/a.jpg", sha256="ff", stored_bytes=9, width=3, height=4,
                           source_sha256="ee", source_bytes=7)  # fmt: skip
    confirmed = dataclasses.replace(record, link="b", etag='"1"', last_modified="yesterday", fetched=1.5)
    for _ in range(2):
        with Manifest(path) as manifest:
            assert manifest.load("web", ["a"]) == {"a": record}
            assert manifest.hosts() == {}
            manifest.remember_hosts({})
            manifest.save([confirmed])
            assert manifest.load("web", ["b"]) == {"b": confirmed}


@pytest.fixture
def file_limit() -> Iterator[None]:
    """No file may grow beyond some hundred kilobytes, as on a disk that fills up."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_manifest_that_cannot_grow_is_a_clear_error(tmp_path: Path, file_limit: None) -> None:
    from pricing.errors import DownloadError

    with Manifest(tmp_path / "m.sqlite") as manifest:
        manifest.save([ImageRecord("web", "first", "ok")])
        group = [ImageRecord("web", f"{index}", "ok", detail="x" * 1000) for index in range(1000)]
        with pytest.raises(DownloadError, match=r"m\.sqlite.*what was recorded stays"):
            manifest.save(group)
    with Manifest(tmp_path / "m.sqlite") as manifest:
        # the whole group, or nothing of it
        assert manifest.load("web", ["first", "0", "999"]).keys() == {"first"}
