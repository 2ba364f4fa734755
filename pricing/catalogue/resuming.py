"""What a run leaves in the manifest for the next one, and what of it still holds then."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from pricing.catalogue.failures import PictureFailure
from pricing.catalogue.manifest import PictureRecord
from pricing.catalogue.pictures import PictureStore, StoredPicture
from pricing.catalogue.sources import ImageSource

if TYPE_CHECKING:
    from pricing.config import ImagesConfig


class ResumeRules:
    """Makes records of outcomes, and judges those of earlier runs.

    Parameters
    ----------
    source : ImageSource
        Where pictures come from now.
    config : ImagesConfig
        The present limits.
    store : PictureStore
        Where they lie.
    """

    def __init__(self, source: ImageSource, config: ImagesConfig, store: PictureStore) -> None:
        self._source = source
        self._store = store
        self._verdict = verdict_key(source, config)

    def success(self, link: str, tries: int, stored: StoredPicture, fingerprint: str) -> PictureRecord:
        """Record of a picture that lies whole in the store."""
        return PictureRecord(
            origin=self._source.origin,
            link=link,
            status="ok",
            tries=tries,
            file=stored.file,
            sha256=stored.sha256,
            stored_bytes=stored.stored_bytes,
            width=stored.width,
            height=stored.height,
            source_sha256=stored.source_sha256,
            source_bytes=stored.source_bytes,
            fingerprint=fingerprint,
        )

    def failure(self, link: str, tries: int, failure: PictureFailure) -> PictureRecord:
        """Record of a picture that could not be had."""
        return PictureRecord(
            origin=self._source.origin,
            link=link,
            status="missing" if failure.reason == "not_in_folder" else "failed",
            verdict=self._verdict,
            final=not failure.transient,
            reason=failure.reason,
            detail=failure.detail[:500],
            tries=tries,
        )

    def still_holds(self, record: PictureRecord) -> bool:
        """Whether nothing needs to be asked.

        A picture holds while its file is whole (and, from a folder, the file it came from is unchanged); a failure
        holds if it is final, under the same source and limits.
        """
        if record.status == "ok":
            if record.file is None or not self._store.is_whole(record.file, record.stored_bytes or 0):
                return False
            return self._source.kind != "folder" or self._source.fingerprint(record.link) == record.fingerprint
        if self._source.kind == "folder":
            # looking again costs nothing, and the file may be there by now
            return False
        return record.final and record.verdict == self._verdict


def verdict_key(source: ImageSource, config: ImagesConfig) -> str:
    """Under what a failure was final: another source or other limits may give another outcome."""
    names = ("max_bytes", "max_pixels", "max_side", "min_side", "max_redirects", "allow_hosts")
    values = {name: getattr(config, name) for name in names}
    return hashlib.sha256(json.dumps([source.kind, source.location, values], sort_keys=True).encode()).hexdigest()[:16]
