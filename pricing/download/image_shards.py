"""Images on their way between machines: in shards that are named by what is in them.

The table of the images says of every image its file and its SHA-256. A hash of the file's name says its shard; the name
of a shard is the SHA-256 over its files and theirs. So reader and writer find the same names from the same table, and
where some images have changed only their shards are written again.
"""

import hashlib
import io
import json
import tarfile
from collections import defaultdict
from pathlib import Path

import polars as pl

from pricing.errors import ArtifactError
from pricing.store.remote import BLOBS, Remote
from pricing.store.tables import read_table

IMAGES_PER_SHARD = 512
"""Maximum mean number of images per shard: some 8 MB. The number of shards is a power of two, so that it changes
seldom."""


def send_images(images: Path, folder: Path, remote: Remote) -> list[str]:
    """Upload the shards that are not there yet.

    Parameters
    ----------
    images : Path
        Folder with images.parquet.
    folder : Path
        What its files are relative to.
    remote : Remote
        The storage.

    Returns
    -------
    list of str
        Names of all shards.
    """
    shards = _shards(images)
    there = remote.sizes(BLOBS)
    for name, files in shards.items():
        if f"{BLOBS}/{name}" not in there:
            remote.write(f"{BLOBS}/{name}", _packed(files, folder))
    return list(shards)


def bring_images(images: Path, folder: Path, remote: Remote) -> None:
    """Download the shards of images that are not in the folder.

    Raises
    ------
    ArtifactError
        A shard is missing or damaged; it is removed, so that the next run makes it again.
    """
    for name, files in _shards(images).items():
        missing = {file: digest for file, digest in files.items() if not (folder / file).exists()}
        if missing and not _unpacked(remote.read(f"{BLOBS}/{name}"), missing, folder):
            remote.remove([f"{BLOBS}/{name}"])
            raise ArtifactError(
                f"{remote.address}/{BLOBS}/{name}: this shard of images is missing or damaged; run again, it is "
                "made again"
            )


def _shards(images: Path) -> dict[str, dict[str, str]]:
    """Return the shards of a table: name to files and their SHA-256."""
    table = read_table(images / "images.parquet", ["file", "sha256", "status"]).filter(pl.col("status") == "ok")
    files = dict(sorted(zip(table["file"], table["sha256"], strict=True)))
    count = 1 << (len(files) // IMAGES_PER_SHARD).bit_length()
    shards: dict[int, dict[str, str]] = defaultdict(dict)
    for file, digest in files.items():
        shards[int(hashlib.sha256(file.encode()).hexdigest()[:8], 16) % count][file] = digest
    return {
        hashlib.sha256(json.dumps(shards[number]).encode()).hexdigest(): shards[number] for number in sorted(shards)
    }


def _packed(files: dict[str, str], folder: Path) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for file in files:
            content = (folder / file).read_bytes()
            entry = tarfile.TarInfo(file)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def _unpacked(content: bytes | None, wanted: dict[str, str], folder: Path) -> bool:
    """Write the wanted files, each beside and renamed; whether all were there and whole. Other entries are ignored."""
    left = dict(wanted)
    try:
        with tarfile.open(fileobj=io.BytesIO(content or b"")) as archive:
            for entry in archive:
                stream = archive.extractfile(entry)
                data = stream.read() if stream and entry.name in left else b""
                if hashlib.sha256(data).hexdigest() == left.get(entry.name):
                    target = folder / entry.name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    beside = target.with_name(f".{hashlib.sha256(entry.name.encode()).hexdigest()[:8]}.{id(data)}.part")
                    beside.write_bytes(data)
                    beside.replace(target)
                    del left[entry.name]
    except (tarfile.TarError, EOFError):
        return False
    return not left
