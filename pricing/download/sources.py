"""Where images come from: the web, a mirror of it, or a folder on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import model_validator

from pricing.config.base import Section
from pricing.download.failures import ImageFailure
from pricing.errors import ConfigError


class ImageSource(Section):
    """A frozen, serialisable description of where images come from.

    Whatever the source, an image is known by the catalogue's own link.

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
    def of(cls, images: str | Path | None) -> ImageSource:
        """Return where images come from: a mirror for a text with ``://``, else a folder; None asks the links.

        Raises
        ------
        ConfigError
            The mirror's address is none, or there is no such folder.
        """
        if images is None:
            return cls.web()
        text = str(images)
        return cls.mirror(text) if "://" in text else cls.folder(text)

    @classmethod
    def web(cls) -> ImageSource:
        """Images from the links themselves."""
        return cls(kind="web")

    @classmethod
    def mirror(cls, url: str) -> ImageSource:
        """Images from another scheme, host and port that serves the same paths.

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
        """Images that lie in a folder already; see `pricing.download.folder_images` for how they are found.

        Raises
        ------
        ConfigError
            There is no such folder.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise ConfigError(f"image folder {str(path)!r}: no such folder; give one that holds the images")
        return cls(kind="folder", location=str(folder.resolve()))

    @property
    def origin(self) -> str:
        """What shares fetched images: the web and its mirrors serve the same ones, a folder is by itself."""
        return f"folder:{self.location}" if self.kind == "folder" else "web"

    def url_for(self, link: str) -> str:
        """URL to ask for a link: the link itself, or its path and query at the mirror.

        Raises
        ------
        ImageFailure
            The link cannot be parsed as a URL.
        """
        if self.kind != "mirror":
            return link
        assert self.location is not None
        try:
            base, parts = urlsplit(self.location), urlsplit(link)
        except ValueError as error:
            raise ImageFailure("bad_url", f"{link[:200]!r}: {error}") from None
        query = f"?{parts.query}" if parts.query else ""
        return f"{base.scheme}://{base.netloc}{base.path.rstrip('/')}/{parts.path.lstrip('/')}{query}"
