"""What a run leaves in the manifest for the next one, and what of it still holds then."""

import hashlib
import json
import time
from dataclasses import replace

from pricing.config.catalogue import ImagesConfig
from pricing.download.failures import ImageFailure
from pricing.download.folder_images import FolderImages
from pricing.download.image_store import ImageStore, StoredImage
from pricing.download.manifest import ImageRecord
from pricing.download.sources import ImageSource
from pricing.download.transfer import Answer
from pricing.download.verification import FORMATS


class ResumeRules:
    """Makes records of outcomes, and judges those of earlier runs.

    Parameters
    ----------
    source : ImageSource
        Where images come from now.
    config : ImagesConfig
        The present limits.
    store : ImageStore
        Where they lie.
    folder : FolderImages, optional
        The files of a source that is a folder.
    """

    def __init__(
        self, source: ImageSource, config: ImagesConfig, store: ImageStore, folder: FolderImages | None = None
    ) -> None:
        self._folder = folder
        self._source = source
        self._config = config
        self._store = store
        self._verdict = verdict_key(source, config)

    def success(self, link: str, tries: int, stored: StoredImage, fingerprint: str, answer: Answer) -> ImageRecord:
        """Record of an image that lies whole in the store."""
        return ImageRecord(
            self._source.origin, link, "ok", tries=tries, fingerprint=fingerprint, etag=answer.etag,
            last_modified=answer.last_modified, fetched=time.time(), **vars(stored),
        )  # fmt: skip

    def confirmed(self, record: ImageRecord) -> ImageRecord:
        """Record of an image that the server says has not changed."""
        return replace(record, fetched=time.time())

    def failure(self, link: str, tries: int, failure: ImageFailure) -> ImageRecord:
        """Record of an image that could not be had."""
        status = "missing" if failure.reason in ("not_in_folder", "ambiguous_file_name") else "failed"
        return ImageRecord(
            self._source.origin, link, status, self._verdict, not failure.transient, failure.reason,
            failure.detail[:500], tries, fetched=time.time(),
        )  # fmt: skip

    def is_there(self, record: ImageRecord) -> bool:
        """Whether a record's image lies whole in the store."""
        return record.file is not None and self._store.is_whole(record.file, record.stored_bytes or 0)

    def still_holds(self, record: ImageRecord) -> bool:
        """Whether nothing needs to be asked.

        An image holds while its file is whole (and, from a folder, the file it came from is unchanged); a failure
        holds if it is final, under the same source and limits. With ``images.refresh`` neither holds beyond its age.
        """
        if record.status == "ok":
            if self._folder is None:
                return self.is_there(record) and not self._aged(record)
            return self.is_there(record) and self._folder.fingerprint(record.link) == record.fingerprint
        if self._folder is not None:
            # looking again costs nothing, and the file may be there by now
            return False
        return record.final and record.verdict == self._verdict and not self._aged(record)

    def _aged(self, record: ImageRecord) -> bool:
        if not self._config.refresh:
            return False
        return record.fetched is None or time.time() - record.fetched >= self._config.refresh_days * 86400.0


LINK_RULES = 1
"""Raised when other addresses may be asked for the same links, so that links refused before are asked for again."""


def verdict_key(source: ImageSource, config: ImagesConfig) -> str:
    """Under what a failure was final: another source, other limits or more formats may give another outcome."""
    names = ("max_bytes", "max_pixels", "max_side", "min_side", "max_redirects", "allow_hosts", "user_agent", "referer",
             "proxy")  # fmt: skip
    values = {name: getattr(config, name) for name in names}
    parts = [source.kind, source.location, values, FORMATS, LINK_RULES]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
