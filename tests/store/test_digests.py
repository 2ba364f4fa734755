"""Digests of input files: a file that stayed as it was is read once, whoever asks."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pricing.store.digests import remembered_digest

OLD = time.time_ns() - 10_000_000_000


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    return write(tmp_path / "train.csv", b"one")


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    os.utime(path, ns=(OLD, OLD))
    return path


def settled(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Hash a file as if its last change were long ago; its inode's time cannot be set back."""
    monkeypatch.setattr("pricing.store.digests._RACY", -20_000_000_000)
    return remembered_digest(path, folder)


def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    found: list[Path] = []

    def count(path: Path) -> str:
        found.append(path)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr("pricing.store.digests.file_digest", count)
    return found


def test_a_file_is_hashed_once(catalogue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, folder = reads(monkeypatch), catalogue.parent / "digests"
    first = settled(catalogue, folder, monkeypatch)
    assert first == hashlib.sha256(b"one").hexdigest()
    assert remembered_digest(catalogue, folder) == first
    monkeypatch.chdir(catalogue.parent)
    assert remembered_digest(Path("train.csv"), folder) == first
    assert len(seen) == 1


def test_another_process_does_not_hash_it_again(catalogue: Path) -> None:
    code = (
        "import sys; from pathlib import Path; import pricing.store.digests as digests; digests._RACY = -20 * 10**9;"
        "opened = []; sys.addaudithook(lambda event, arguments: event == 'open' and opened.append(str(arguments[0])));"
        "digests.remembered_digest(Path(sys.argv[1]), Path(sys.argv[2])); print(opened.count(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(catalogue), str(catalogue.parent / "digests")]
    counts = [subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() for _ in range(2)]
    assert counts == ["1", "0"]


@pytest.mark.parametrize("change", ["content", "length", "inode", "same time"])
def test_a_changed_file_is_hashed_again(catalogue: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    folder = catalogue.parent / "digests"
    settled(catalogue, folder, monkeypatch)
    if change == "content":
        catalogue.write_bytes(b"two")
    elif change == "length":
        write(catalogue, b"two and more")
    elif change == "inode":
        write(catalogue.with_name("other.csv"), b"two").replace(catalogue)
    else:  # as `cp -p` and `rsync -t` leave it: the inode's own time tells
        time.sleep(0.02)
        write(catalogue, b"two")
    assert remembered_digest(catalogue, folder) == hashlib.sha256(catalogue.read_bytes()).hexdigest()


def test_a_file_changed_just_now_is_not_trusted(catalogue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second change within one tick of the clock would bear the same size and times."""
    seen, folder = reads(monkeypatch), catalogue.parent / "digests"
    assert remembered_digest(catalogue, folder) == remembered_digest(catalogue, folder)
    assert len(seen) == 2


def test_a_damaged_record_costs_one_more_reading(catalogue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = catalogue.parent / "digests"
    first = settled(catalogue, folder, monkeypatch)
    (record,) = folder.iterdir()
    for damage in ("", "[]", '{"state": 3}', "{"):
        record.write_text(damage)
        assert remembered_digest(catalogue, folder) == first


def test_a_file_that_changes_while_it_is_hashed_leaves_no_record(
    catalogue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(path: Path) -> str:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        write(path, b"two and more")
        return digest

    monkeypatch.setattr("pricing.store.digests.file_digest", slow)
    settled(catalogue, catalogue.parent / "digests", monkeypatch)
    assert not (catalogue.parent / "digests").exists()
