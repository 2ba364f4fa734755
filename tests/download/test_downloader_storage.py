"""What the downloader leaves on disk, and where it takes images from; a real server, real full disks."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pricing.download.shards import fetch_shard
from pricing.download.sources import ImageSource
from pricing.errors import ArtifactError, DownloadError
from tests.conftest import ROOT
from tests.download.fault_server import FaultServer, jpeg
from tests.download.test_downloader import FAST, WEB, tuned


def test_many_links_to_the_same_bytes_are_stored_once(tmp_path: Path) -> None:
    with FaultServer(image=lambda path: jpeg(1)) as server:
        links = [server.url(f"/{index}.jpg") for index in range(30)]
        assert fetch_shard(links, FAST, tmp_path, source=WEB).present == 30
        assert len(list(tmp_path.rglob("*.jpg"))) == 1


def test_a_new_link_costs_one_request_and_new_resize_settings_all(tmp_path: Path) -> None:
    with FaultServer() as server:
        links = [server.url(f"/{index}.jpg") for index in range(5)]
        fetch_shard(links[:4], FAST, tmp_path, source=WEB)
        assert fetch_shard(links, tuned(retries=1, concurrency=3), tmp_path, source=WEB).requests == 1
        assert fetch_shard(links, tuned(side=16), tmp_path, source=WEB).requests == 5


def test_a_full_disk_is_one_clear_error_and_what_was_fetched_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path.write_bytes
    written: list[Path] = []

    def full(self: Path, data: bytes) -> int:
        if len(written) >= 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(self)
        return whole(self, data)

    with FaultServer() as server:
        links = [server.url(f"/{index}.jpg") for index in range(40)]
        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", full)
            with pytest.raises(DownloadError, match=r"disk is full.*what was fetched stays"):
                fetch_shard(links, tuned(concurrency=4), tmp_path, source=WEB)
        before = server.counts()
        report = fetch_shard(links, FAST, tmp_path, source=WEB)
        assert report.present == 40
        assert report.reused > 0
        assert not list(tmp_path.glob("*/incoming/*"))
        kept = sum(server.counts()[path] == count for path, count in before.items())
        assert kept == report.reused


FULL_DISK = """
import json, sys
from pathlib import Path
from pricing.download.shards import fetch_shard
from pricing.download.sources import ImageSource
from pricing.config.catalogue import ImagesConfig
from pricing.errors import DownloadError
disk, config = Path(sys.argv[1]), ImagesConfig.model_validate_json(sys.argv[3])
links = [f"{sys.argv[2]}/{index}.jpg" for index in range(300)]
(disk / "ballast").write_bytes(bytes(8_000_000))
try:
    fetch_shard(links, config, disk, source=ImageSource.web())
except DownloadError as error:
    message = str(error)
(disk / "ballast").unlink()
report = fetch_shard(links, config, disk, source=ImageSource.web())
print(json.dumps([message, report.present, report.reused, len(list(disk.glob("*/incoming/*")))]))
"""


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """A file system of 9 MB, mounted in a namespace of its own where this machine allows that."""
    mount = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs -o size=9m none "$0" && exec "$@"']
    if not shutil.which("unshare") or subprocess.run([*mount, str(tmp_path), "true"], capture_output=True).returncode:
        pytest.skip("mounting in a namespace is not allowed here")
    with FaultServer() as server:
        arguments = [str(tmp_path), server.base, FAST.model_dump_json()]
        done = subprocess.run(
            [*mount, str(tmp_path), sys.executable, "-c", FULL_DISK, *arguments],
            capture_output=True, text=True, timeout=60, env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    message, present, reused, left = json.loads(done.stdout)
    assert "disk is full" in message
    assert "stays" in message
    assert (present, left) == (300, 0)
    assert 0 < reused < 300


def test_a_folder_is_read_and_nothing_is_fetched(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a+b.jpg").write_bytes(jpeg(1))
    (folder / "c d.jpg").write_bytes(jpeg(2))
    (folder / "broken.jpg").write_bytes(jpeg(3)[:200])
    (tmp_path / "secret.jpg").write_bytes(jpeg(4))
    links = [
        f"https://nowhere.invalid/I/{name}"
        for name in ("a+b.jpg", "c%20d.jpg", "broken.jpg", "gone.jpg", "..%2Fsecret.jpg")
    ]
    source = ImageSource.folder(folder)
    report = fetch_shard(links, FAST, tmp_path / "work", source=source)
    assert (report.present, report.failed) == (2, {"not_in_folder": 2, "truncated": 1})
    # a file that changed or came is seen
    (folder / "a+b.jpg").write_bytes(jpeg(5, (80, 80)))
    (folder / "gone.jpg").write_bytes(jpeg(6))
    again = fetch_shard(links, FAST, tmp_path / "work", source=source)
    assert (again.present, again.reused) == (3, 1)


def test_a_mirror_serves_the_same_paths(tmp_path: Path) -> None:
    with FaultServer() as server:
        source = ImageSource.mirror(server.base + "/copy/")
        link = "https://images.example.com:444/I/51%2Bx,y.jpg?size=2"
        assert source.url_for(link) == f"{server.base}/copy/I/51%2Bx,y.jpg?size=2"
        assert fetch_shard([link], FAST, tmp_path, source=source).present == 1
        assert server.counts() == {"/copy/I/51+x,y.jpg": 1}


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    fetch_shard([], FAST, tmp_path, source=WEB)
    manifest = next(tmp_path.rglob("manifest.sqlite"))
    manifest.write_bytes(b"this is no database" * 100)
    with pytest.raises(ArtifactError, match="manifest"):
        fetch_shard([], FAST, tmp_path, source=WEB)
