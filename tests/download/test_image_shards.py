"""Images reach another machine whole, and where one has changed only its shard is written again."""

import hashlib
from pathlib import Path

import polars as pl
import pytest

from pricing.download import image_shards
from pricing.download.image_shards import bring_images, send_images
from pricing.errors import ArtifactError
from pricing.store.remote import Remote


def table_of(root: Path, contents: dict[str, bytes]) -> Path:
    """A download's output and, beside it, its images; the last row has none."""
    rows = []
    for name, content in contents.items():
        file = root / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        rows.append((name, hashlib.sha256(content).hexdigest(), "ok"))
    out = root / "out"
    out.mkdir(exist_ok=True)
    frame = pl.DataFrame([*rows, (None, None, "failed")], schema=["file", "sha256", "status"], orient="row")
    frame.write_parquet(out / "images.parquet")
    return out


def test_one_change_writes_one_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_shards, "IMAGES_PER_SHARD", 4)
    contents = {f"p/{number}.jpg": f"image {number}".encode() for number in range(40)}
    remote, images = Remote(f"file://{tmp_path / 'storage'}"), tmp_path / "images"
    first = send_images(table_of(tmp_path, contents), images, remote)
    assert len(first) > 4
    contents["p/7.jpg"] = b"another"
    out = table_of(tmp_path, contents)
    second = send_images(out, images, remote)
    assert len(set(second) - set(first)) == 1
    there = tmp_path / "elsewhere"
    bring_images(out, there, remote)
    assert {str(path.relative_to(there)): path.read_bytes() for path in there.rglob("*.jpg")} == contents


def test_a_damaged_shard_is_refused_and_made_again(tmp_path: Path) -> None:
    remote, images = Remote(f"file://{tmp_path / 'storage'}"), tmp_path / "images"
    out = table_of(tmp_path, {"p/1.jpg": b"one"})
    (name,) = send_images(out, images, remote)
    shard = tmp_path / "storage" / "blobs" / name
    shard.write_bytes(shard.read_bytes().replace(b"one", b"two"))
    with pytest.raises(ArtifactError, match="missing or damaged"):
        bring_images(out, tmp_path / "elsewhere", remote)
    send_images(out, images, remote)
    bring_images(out, tmp_path / "elsewhere", remote)
    assert (tmp_path / "elsewhere" / "p" / "1.jpg").read_bytes() == b"one"
