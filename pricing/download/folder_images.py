"""Images that lie in a folder: which file belongs to which link.

A link's image is looked for under the end of its path, longest first (``shop.example/540/04/front.jpg``,
``540/04/front.jpg``, ``front.jpg``), then under the last part with another extension, then under the sample ids of the
rows that have the link (``12345.jpg``). A file that would serve several different links serves none of them: which of
them it shows cannot be known, and a wrong image teaches a wrong price.
"""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from pricing.catalogue.links import complete, first_link
from pricing.download.failures import ImageFailure

EXTENSIONS = frozenset({"jpg", "jpeg", "jfif", "png", "gif", "webp", "bmp", "avif"})
"""Extensions of the formats that are taken, in lower case."""


class FolderImages:
    """The files of a folder by link.

    Parameters
    ----------
    folder : Path
        Holds the images, by themselves or in folders as the links have them.
    sample_ids : mapping of str to sequence of str
        Every link of the catalogue, with the sample ids of its rows as far as they are known. Whether a file name is
        ambiguous depends on all of them.
    """

    def __init__(self, folder: Path, sample_ids: Mapping[str, Sequence[str]]) -> None:
        self._folder = folder
        self._names: dict[str, str] = {}
        stems: dict[str, list[str]] = defaultdict(list)
        self._deep = False
        for entry in os.scandir(folder):
            if entry.is_dir():
                self._deep = True
            elif entry.is_file():
                self._names[_normal(entry.name)] = entry.name
                stem, _, extension = entry.name.rpartition(".")
                if extension.lower() in EXTENSIONS:
                    stems[_normal(stem)].append(entry.name)
        self._stems = {stem: sorted(names) for stem, names in stems.items()}
        self._ids = sample_ids
        self._candidates: dict[str, list[str]] = {}
        owners: dict[str, set[str]] = defaultdict(set)
        for link, ids in sample_ids.items():
            parts = _Parts.of(link)
            self._candidates[link] = files = self._files_of(parts, ids)
            for file in files:
                owners[file].add(parts.image)
        self._shared = frozenset(file for file, images in owners.items() if len(images) > 1)

    def file_for(self, link: str) -> Path:
        """File of a link.

        Raises
        ------
        ImageFailure
            ``not_in_folder`` or ``ambiguous_file_name``, with what was looked for.
        """
        files = self._candidates[link]
        for file in files:
            if file not in self._shared:
                return self._folder / file
        last, ids = _Parts.of(link).name, self._ids[link]
        by_id = f"{ids[0]}.*" if ids else "SAMPLE_ID.*"
        if files:
            raise ImageFailure(
                "ambiguous_file_name",
                f"{files[0]} in {self._folder} would serve several different links; name files by sample_id ({by_id}) "
                "or keep the links' folders above them",
            )
        example = min(self._names.values(), default=None)
        files_there = "1 file" if len(self._names) == 1 else f"{len(self._names)} files"
        nothing = "it holds folders only; give the one that holds the images" if self._deep else "it holds no files"
        holds = f"it holds {files_there}, such as {example}" if example else nothing
        raise ImageFailure(
            "not_in_folder",
            f"{self._folder}: neither {last or first_link(link)[:100]!r} (last part of the link) nor {by_id} "
            f"(sample_id) is there; {holds}",
        )

    def named_after(self, sample_ids: Sequence[str]) -> list[str]:
        """Files that are named by one of the sample ids."""
        return [file for sample_id in sample_ids for file in self._stems.get(_normal(sample_id), ())]

    def read(self, link: str, max_bytes: int) -> tuple[bytes, str]:
        """Content of a link's file, and its fingerprint.

        Raises
        ------
        ImageFailure
            ``not_in_folder``, ``ambiguous_file_name``, ``too_large`` or ``unreadable``.
        """
        file = self.file_for(link)
        try:
            status = file.stat()
            if status.st_size > max_bytes:
                raise ImageFailure("too_large", f"{status.st_size} bytes; at most {max_bytes} are accepted")
            return file.read_bytes(), _fingerprint(status)
        except OSError as error:
            raise ImageFailure("unreadable", f"{file}: {error.strerror}") from None

    def fingerprint(self, link: str) -> str | None:
        """Size and modification time of a link's file; None where there is none."""
        try:
            return _fingerprint(self.file_for(link).stat())
        except (ImageFailure, OSError):
            return None

    def _files_of(self, parts: _Parts, ids: Sequence[str]) -> list[str]:
        """Files that may be a link's, relative to the folder, in the order of preference."""
        found: dict[str, None] = {}
        if self._deep:
            for path in parts.ends():
                if (self._folder / path).is_file():
                    found[path] = None
        plain = unquote(parts.name)
        for name in dict.fromkeys((parts.name, plain)):
            if _safe(name) and (actual := self._names.get(_normal(name))):
                found[actual] = None
        if not found and _safe(plain):
            stem, _, extension = plain.rpartition(".")
            name = stem if extension.lower() in EXTENSIONS else plain
            found.update(dict.fromkeys(self._stems.get(_normal(name), ())))
        # looked up among the names that are there: no id can lead out of the folder
        found.update(dict.fromkeys(self.named_after(ids)))
        return list(found)


class _Parts(NamedTuple):
    """A link in the parts that files are named after."""

    host: str
    path: str
    query: str

    @classmethod
    def of(cls, link: str) -> _Parts:
        """Parts of a link; of a file name or a path, the path alone."""
        first = first_link(link)
        try:
            parts = urlsplit(complete(first))
        except ValueError:
            return cls("", "", "")
        if parts.scheme in ("http", "https"):
            return cls(parts.netloc.lower(), parts.path, parts.query)
        # backslashes are Windows'
        return cls("", first.replace("\\", "/"), "")

    @property
    def name(self) -> str:
        """The last part."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def image(self) -> str:
        """What tells images apart: host and path; the query too where the path names no image (``show?id=7``)."""
        path = unquote(self.path)
        imaged = path.rpartition(".")[2].lower() in EXTENSIONS
        return f"{self.host}/{path.lstrip('/')}" + ("" if imaged else f"?{self.query}")

    def ends(self) -> Iterator[str]:
        """Ends of the path of at least one folder and the name, the longest first."""
        for text in dict.fromkeys((self.path, unquote(self.path))):
            steps = [self.host, *(step for step in text.split("/") if step)]
            if all(_safe(step) for step in steps[1:]):
                first = 0 if _safe(self.host) else 1
                yield from ("/".join(steps[start:]) for start in range(first, len(steps) - 1))


def _safe(name: str) -> bool:
    """Whether a name is that of a file and leads nowhere else."""
    return bool(name) and name not in (".", "..") and not any(mark in name for mark in "/\\\0") and len(name) <= 255


def _normal(name: str) -> str:
    """A name as it is compared: some file systems spell letters with marks in two parts."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _fingerprint(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"
