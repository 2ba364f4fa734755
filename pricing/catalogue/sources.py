"""Where pictures come from: the web, a mirror of it, or a folder on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from pydantic import model_validator

from pricing.catalogue.failures import PictureFailure
from pricing.config.base import Section
from pricing.errors import ConfigError


class ImageSource(Section):
    """A frozen, serialisable description of where pictures come from.

    Whatever the source, a picture is known by the catalogue's own link.

    Examples
    --------
    >>> ImageSource.mirror("http://127.0.0.1:8000").url_for("https://images.example.com/I/a.jpg")
    'http://127.0.0.1:8000/I/a.jpg'
    """

    kind: Literal["web", "mirror", "folder"] = "web"
    """web asks the link itself; mirror asks another host for the same path; folder reads files and fetches nothing."""
    location: str | None = None
    """Base URL of the mirror, or the folder."""

    @model_validator(mode="after")
    def _location_fits(self) -> ImageSource:
        if (self.location is None) != (self.kind == "web"):
            raise ValueError(f"a {self.kind} source takes {'no' if self.kind == 'web' else 'a'} location")
        return self

    @classmethod
    def web(cls) -> ImageSource:
        """Pictures from the links themselves."""
        return cls(kind="web")

    @classmethod
    def mirror(cls, url: str) -> ImageSource:
        """Pictures from another scheme, host and port that serves the same paths.

        Raises
        ------
        ConfigError
            The URL is not http or https, or has no host.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"image mirror {url!r}: expected http://HOST[:PORT] or https://HOST[:PORT]")
        return cls(kind="mirror", location=url)

    @classmethod
    def folder(cls, path: Path | str) -> ImageSource:
        """Pictures that lie in a folder already, named by the last part of their link.

        Raises
        ------
        ConfigError
            There is no such folder.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise ConfigError(f"image folder {str(path)!r}: no such folder; give one that holds the pictures")
        return cls(kind="folder", location=str(folder.resolve()))

    @property
    def origin(self) -> str:
        """What shares fetched pictures: the web and its mirrors serve the same ones, a folder is by itself."""
        return f"folder:{self.location}" if self.kind == "folder" else "web"

    def url_for(self, link: str) -> str:
        """URL to ask for a link: the link itself, or its path and query at the mirror.

        Raises
        ------
        PictureFailure
            The link cannot be parsed as a URL.
        """
        if self.kind != "mirror":
            return link
        assert self.location is not None
        try:
            base, parts = urlsplit(self.location), urlsplit(link)
        except ValueError as error:
            raise PictureFailure("bad_url", f"{link[:200]!r}: {error}") from None
        query = f"?{parts.query}" if parts.query else ""
        return f"{base.scheme}://{base.netloc}{base.path.rstrip('/')}/{parts.path.lstrip('/')}{query}"

    def file_for(self, link: str) -> Path | None:
        """File of a link in the folder, or None where there is none.

        Only the link's last part is used, and only as a plain name, so that no link reaches outside the folder.
        """
        assert self.kind == "folder"
        assert self.location is not None
        try:
            raw = urlsplit(link).path.rsplit("/", 1)[-1]
        except ValueError:
            return None
        for name in dict.fromkeys((raw, unquote(raw))):
            if not name or name in (".", "..") or any(mark in name for mark in "/\\\0") or len(name) > 255:
                continue
            file = Path(self.location) / name
            if file.is_file():
                return file
        return None

    def read(self, link: str, max_bytes: int) -> tuple[bytes, str]:
        """Content of a link's file in the folder, and its fingerprint.

        Raises
        ------
        PictureFailure
            ``not_in_folder``, ``too_large`` or ``unreadable``.
        """
        file = self.file_for(link)
        if file is None:
            raise PictureFailure("not_in_folder", f"no file for {link[:200]!r}")
        try:
            status = file.stat()
            if status.st_size > max_bytes:
                raise PictureFailure("too_large", f"{status.st_size} bytes; at most {max_bytes} are accepted")
            return file.read_bytes(), _fingerprint(status)
        except OSError as error:
            raise PictureFailure("unreadable", f"{file}: {error.strerror}") from None

    def fingerprint(self, link: str) -> str | None:
        """Size and modification time of a link's file in the folder; None where there is none."""
        file = self.file_for(link)
        try:
            return None if file is None else _fingerprint(file.stat())
        except OSError:
            return None


def _fingerprint(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"
