"""Taking train.csv and test.csv out of an archive that is not trusted.

Only these two files are ever written, each under a name of our own, so no member's path decides where anything goes.
An archive with a path that tries to escape is refused all the same: it is not the one the user meant.
"""

import contextlib
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from pricing.download.image_store import disk_error
from pricing.errors import DownloadError

WANTED = ("train.csv", "test.csv")
MAX_UNPACKED_BYTES = 20_000_000_000
"""Largest file taken out, in bytes; the challenge's own is some 100 MB."""
_PIECE = 1 << 20

Member = tuple[str, bool, Callable[[], IO[bytes] | None]]


def unpack_catalogue(archive: Path, destination: Path, *, max_bytes: int = MAX_UNPACKED_BYTES) -> list[Path]:
    """Leave ``train.csv`` and ``test.csv`` of a zip or tar archive in a folder.

    Parameters
    ----------
    archive : Path
        A zip, or a tar, plain or compressed by gzip, bzip2 or xz.
    destination : Path
        Existing folder.
    max_bytes : int
        Largest size of one unpacked file, in bytes, counted while it is written.

    Returns
    -------
    list of Path
        The two files; both are whole, or neither was touched.

    Raises
    ------
    DownloadError
        Not an archive, a damaged or hostile one, one of the files missing or there twice, or the disk is full.
    """
    beside = {name: destination / f".{name}.unpacking" for name in WANTED}
    try:
        with _members(archive) as members:
            chosen = _choose(archive, members)
            for name, (path, regular, open_member) in chosen.items():
                if not regular:
                    raise DownloadError(f"{archive}: {path} is a link or a device, expected a plain file")
                _copy(archive, path, open_member, beside[name], max_bytes)
        for name, file in beside.items():
            file.replace(destination / name)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DownloadError(f"{archive}: the archive is damaged ({error}); fetch it again") from None
    except OSError as error:
        raise disk_error(archive, error) from None
    finally:
        for file in beside.values():
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
    return [destination / name for name in WANTED]


@contextlib.contextmanager
def _members(archive: Path) -> Iterator[list[Member]]:
    """Path, whether it is a plain file, and how to open it, for every member."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            # the upper half of the attributes is the Unix mode, where there is one
            yield [
                (info.filename, _plain_mode(info.external_attr >> 16), lambda info=info: zipped.open(info))  # type: ignore[misc]
                for info in zipped.infolist()
                if not info.is_dir()
            ]
        return
    try:
        tarred = tarfile.open(archive)  # noqa: SIM115
    except tarfile.ReadError:
        raise DownloadError(f"{archive}: neither a zip nor a tar archive; is the URL the archive's own?") from None
    with tarred:
        yield [
            (info.name, info.isreg(), lambda info=info: tarred.extractfile(info))  # type: ignore[misc]
            for info in tarred
            if not info.isdir()
        ]


def _plain_mode(mode: int) -> bool:
    return stat.S_IFMT(mode) in (0, stat.S_IFREG)


def _choose(archive: Path, members: list[Member]) -> dict[str, Member]:
    found: dict[str, list[Member]] = {name: [] for name in WANTED}
    for member in members:
        path = PurePosixPath(member[0].replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
            raise DownloadError(f"{archive}: member {member[0]!r} would be unpacked elsewhere; the archive is refused")
        # Train.csv, TEST.CSV: case says nothing, and our names are in lower case
        if path.name.lower() in found:
            found[path.name.lower()].append(member)
    chosen = {}
    for name, candidates in found.items():
        if not candidates:
            raise DownloadError(f"{archive}: holds no {name}; it has {len(members)} files")
        depths = [_depth(member) for member in candidates]
        shallowest = [member for member, depth in zip(candidates, depths, strict=True) if depth == min(depths)]
        if len(shallowest) > 1:
            paths = ", ".join(member[0] for member in shallowest[:5])
            raise DownloadError(f"{archive}: holds {name} more than once ({paths}); unpack it by hand")
        chosen[name] = shallowest[0]
    return chosen


def _depth(member: Member) -> int:
    return len(PurePosixPath(member[0].replace("\\", "/")).parts)


def _copy(archive: Path, path: str, open_member: Callable[[], IO[bytes] | None], target: Path, max_bytes: int) -> None:
    written = 0
    source = open_member()
    if source is None:
        raise DownloadError(f"{archive}: {path} cannot be read")
    with source, target.open("wb") as sink:
        while piece := source.read(_PIECE):
            written += len(piece)
            if written > max_bytes:
                raise DownloadError(f"{archive}: {path} unpacks to more than {max_bytes} bytes; refused")
            sink.write(piece)
