"""The download stage: shards fetch into the work folder, then one table says what is there."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from pricing.catalogue.links import tidy_links
from pricing.download.downloader import ResumableImageDownloader
from pricing.download.folder_images import FolderPictures
from pricing.download.image_store import PictureStore
from pricing.download.manifest import Manifest, PictureRecord
from pricing.download.progress import ProgressCallback, ShardReport
from pricing.download.sources import ImageSource
from pricing.store.artifacts import write_json

if TYPE_CHECKING:
    from pricing.config.catalogue import ImagesConfig

logger = logging.getLogger(__name__)

__all__ = ["ImageSource", "ShardReport", "catalogue_links", "collect_images", "fetch_shard", "ids_by_link", "shard_of"]

SCHEMA = {
    "image_link": pl.String,
    "file": pl.String,
    "sha256": pl.String,
    "width": pl.Int32,
    "height": pl.Int32,
    "status": pl.String,
    "reason": pl.String,
}
"""Columns of images.parquet."""


def fetch_shard(
    links: list[str],
    config: ImagesConfig,
    work: Path,
    *,
    source: ImageSource,
    sample_ids: Mapping[str, Sequence[str]] | None = None,
    threads: int | None = None,
    progress: ProgressCallback | None = None,
) -> ShardReport:
    """Fetch some pictures into the work folder; what is there already is not fetched again.

    Parameters
    ----------
    links : list of str
        The catalogue's links.
    config : ImagesConfig
        Limits, resize settings, patience.
    work : Path
        Work folder, shared by all shards; several processes may use it at once.
    source : ImageSource
        Where pictures come from.
    sample_ids : mapping of str to sequence of str, optional
        :func:`ids_by_link` of the whole catalogue. A folder's files are also looked for by them, and a file name that
        several of its links share is not taken.
    threads : int, optional
        Decoding threads; by default one for each core, at most 8.
    progress : callable, optional
        Called with a Progress at most twice a second and at the end.

    Returns
    -------
    ShardReport
        Failures of single pictures are counted in it, not raised.

    Raises
    ------
    DownloadError
        The disk is full or cannot be written.
    ArtifactError
        The manifest is damaged.
    """
    downloader = ResumableImageDownloader(config, work, source=source, threads=threads, progress=progress)
    return downloader.download_batch(links, sample_ids)


def catalogue_links(catalogue: Path) -> list[str]:
    """Distinct fields that hold a link, of a catalogue stage output, train and test, sorted."""
    # polars sorts text by code point, whatever the locale
    fields = _rows(catalogue, "image_link").drop_nulls().unique().sort("image_link").collect()["image_link"]
    return fields.filter(tidy_links(fields)[0].is_not_null()).to_list()


def ids_by_link(catalogue: Path) -> dict[str, list[str]]:
    """Sample ids of the rows of each of the :func:`catalogue_links`."""
    rows = _rows(catalogue, "image_link", "sample_id").drop_nulls("image_link").unique()
    rows = rows.sort("image_link", "sample_id")
    table = rows.group_by("image_link", maintain_order=True).agg("sample_id").collect()
    ids = dict(zip(table["image_link"], table["sample_id"].to_list(), strict=True))
    return {link: ids[link] for link in catalogue_links(catalogue)}


def _rows(catalogue: Path, *columns: str) -> pl.LazyFrame:
    frames = [
        pl.scan_parquet(file).select(columns)
        for file in (catalogue / "train.parquet", catalogue / "test.parquet")
        if file.exists()
    ]
    return pl.concat(frames)


def shard_of(links: list[str], shard: int, shards: int) -> list[str]:
    """Every ``shards``-th link, from ``shard`` on: shards of equal size, each with pictures of every host."""
    return links[shard::shards]


def collect_images(catalogue: Path, config: ImagesConfig, work: Path, source: ImageSource, out: Path) -> None:
    """Write what is there of the catalogue's pictures.

    Parameters
    ----------
    catalogue : Path
        Output of ``read_catalogue``.
    config : ImagesConfig
        The settings that the shards were fetched with.
    work : Path
        The work folder; ``file`` in the table is relative to it.
    source : ImageSource
        The source that the shards were fetched from.
    out : Path
        Receives ``images.parquet`` (one row a distinct link, sorted: image_link, file, sha256, width, height,
        status ``ok``/``failed``/``missing``, reason), ``missing.csv`` (image_link and reason of those that are not
        there) and ``summary.json`` (requested, present, failed by reason; the numbers add up).

    Raises
    ------
    ArtifactError
        The manifest is damaged.
    """
    links = catalogue_links(catalogue)
    store = PictureStore(work, config)
    with Manifest(store.root / "manifest.sqlite") as manifest:
        known = manifest.load(source.origin, links)
    rows = [_row(link, known.get(link), store) for link in links]
    table = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    table.write_parquet(out / "images.parquet")
    table.filter(pl.col("status") != "ok").select("image_link", "reason").write_csv(out / "missing.csv")
    failed = Counter(reason for *_, status, reason in rows if status != "ok")
    summary = {
        "requested": len(rows),
        "present": len(rows) - failed.total(),
        "failed": {str(reason): count for reason, count in sorted(failed.items())},
    }
    write_json(out / "summary.json", summary)
    if source.kind == "folder":
        _warn_of_unlinked(catalogue, Path(str(source.location)))


def _warn_of_unlinked(catalogue: Path, folder: Path) -> None:
    """A picture belongs to a link; say so where rows have none and the folder has files named after them."""
    rows = _rows(catalogue, "image_link", "sample_id").filter(pl.col("image_link").is_null()).collect()
    files = FolderPictures(folder, {}).named_after(rows["sample_id"].to_list())
    if files:
        logger.warning(
            "%d rows have no image_link, so %d images named by their sample_id, such as %s, are not used; "
            "give these rows the name of their file as image_link", len(rows), len(files), files[0],
        )  # fmt: skip


def _row(
    link: str, record: PictureRecord | None, store: PictureStore
) -> tuple[str, str | None, str | None, int | None, int | None, str, str | None]:
    if record is None:
        return link, None, None, None, None, "missing", "not_fetched"
    if record.status != "ok":
        return link, None, None, None, None, record.status, record.reason or "unknown"
    if record.file is None or not store.is_whole(record.file, record.stored_bytes or 0):
        return link, None, None, None, None, "missing", "file_lost"
    return link, record.file, record.sha256, record.width, record.height, "ok", None
