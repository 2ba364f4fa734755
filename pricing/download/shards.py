"""The download step: the catalogue's images in shards, fetched one shard after another into the work folder."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pricing.config.catalogue import ImagesConfig
from pricing.download.downloader import ResumableImageDownloader
from pricing.download.fetch import catalogue_links, ids_by_link
from pricing.download.further import fetch_further
from pricing.download.progress import Progress, ProgressCallback, ShardReport, ShardTotals
from pricing.download.progress_display import progress_lines
from pricing.download.sources import ImageSource

logger = logging.getLogger(__name__)


def download_shard(
    catalogue: Path, shard: int, shards: int, before: Mapping[str, Any] | None, config: ImagesConfig,
    source: ImageSource, image_folder: Path, threads: int, say: Callable[[str], object] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Fetch one shard of a catalogue's images; its result is not cached, because the manifest knows what is there.

    Shards take turns, so that the limits on requests in flight hold over all of them and a full disk stops them all.

    Parameters
    ----------
    catalogue : Path
        Output of `pricing.catalogue.ingest.read_catalogue`.
    shard, shards : int
        Number of this shard, from 0, and of all.
    before : mapping or None
        Result of the shard before this one; None for the first.
    config, source, image_folder, threads
        As in `fetch_shard`; ``image_folder`` is its ``work``.
    say : callable
        Takes a line of text twice a second: how far all shards are. A log line follows once a minute.

    Returns
    -------
    dict
        `ShardTotals` of this shard and those before it.
    """
    links = catalogue_links(catalogue)
    ids = ids_by_link(catalogue) if source.kind == "folder" else None
    earlier = ShardTotals.model_validate(before or {})
    with progress_lines(logger.info) as show:

        def progress(moment: Progress) -> None:
            overall = moment.after(earlier, len(links))
            say(str(overall))
            show(overall)

        report = fetch_shard(
            shard_of(links, shard, shards), config, image_folder, source=source, sample_ids=ids, threads=threads,
            progress=progress,
        )  # fmt: skip
    return earlier.plus(report).model_dump()


def fetch_shard(
    links: list[str], config: ImagesConfig, work: Path, *, source: ImageSource,
    sample_ids: Mapping[str, Sequence[str]] | None = None, threads: int | None = None,
    progress: ProgressCallback | None = None,
) -> ShardReport:  # fmt: skip
    """Fetch some images into the work folder; what is there already is not fetched again.

    First the first links of all fields are asked for; then, for those that gave no image, the next ones in their order.

    Parameters
    ----------
    links : list of str
        The catalogue's fields, each of one or several links.
    config : ImagesConfig
        Limits, resize settings, patience.
    work : Path
        Work folder, shared by all shards; several processes may use it at once.
    source : ImageSource
        Where images come from.
    sample_ids : mapping of str to sequence of str, optional
        `ids_by_link` of the whole catalogue. A folder's files are also looked for by them, and a file name that
        several of its links share is not taken.
    threads : int, optional
        Decoding threads; by default one for each core, at most 8.
    progress : callable, optional
        Called with a Progress at most twice a second and at the end.

    Returns
    -------
    ShardReport
        Of fields. Failures of single images are counted in it, not raised.

    Raises
    ------
    DownloadError
        The disk is full or cannot be written.
    ArtifactError
        The manifest is damaged.
    """
    downloader = ResumableImageDownloader(config, work, source=source, threads=threads, progress=progress)
    report = downloader.download_batch(links, sample_ids)
    return fetch_further(links, report, config, work, source, sample_ids, threads, progress)


def shard_of(links: list[str], shard: int, shards: int) -> list[str]:
    """Every ``shards``-th link, from ``shard`` on: shards of equal size, each with images of every host."""
    return links[shard::shards]
