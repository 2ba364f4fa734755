"""The table of a catalogue's images: what is there of them, and why the others are not."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from pricing.catalogue.links import tidy_links
from pricing.catalogue.split import LABELLED, UNLABELLED
from pricing.config.catalogue import ImagesConfig
from pricing.download.folder_images import FolderImages
from pricing.download.further import found_further, further_links, is_had
from pricing.download.image_store import ImageStore
from pricing.download.manifest import ImageRecord, Manifest
from pricing.download.sources import ImageSource
from pricing.store.artifacts import write_json

logger = logging.getLogger(__name__)

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


def catalogue_links(catalogue: Path) -> list[str]:
    """Distinct fields that hold a link, of a catalogue step's output, labelled and unlabelled, sorted."""
    # polars sorts text by code point, whatever the locale
    fields = _rows(catalogue, "image_link").drop_nulls().unique().sort("image_link").collect()["image_link"]
    return fields.filter(tidy_links(fields)[0].is_not_null()).to_list()


def ids_by_link(catalogue: Path) -> dict[str, list[str]]:
    """Sample ids of the rows of each of the `catalogue_links`."""
    rows = _rows(catalogue, "image_link", "sample_id").drop_nulls("image_link").unique()
    rows = rows.sort("image_link", "sample_id")
    table = rows.group_by("image_link", maintain_order=True).agg("sample_id").collect()
    ids = dict(zip(table["image_link"], table["sample_id"].to_list(), strict=True))
    return {link: ids[link] for link in catalogue_links(catalogue)}


def _rows(catalogue: Path, *columns: str) -> pl.LazyFrame:
    frames = [
        pl.scan_parquet(file).select(columns)
        for file in (catalogue / LABELLED, catalogue / UNLABELLED)
        if file.exists()
    ]
    return pl.concat(frames)


def collect_images(
    catalogue: Path,
    config: ImagesConfig,
    origin: str,
    fetched: Mapping[str, Any] | None,
    image_folder: Path,
    source: ImageSource,
    out: Path,
) -> None:
    """Write what is there of the catalogue's images.

    Parameters
    ----------
    catalogue : Path
        Output of ``read_catalogue``.
    config : ImagesConfig
        The settings that the shards were fetched with.
    origin : str
        ``source.origin``, the part of the source that the table depends on.
    fetched : mapping or None
        Result of the last shard. It is not read: a part of the table's key, since it tells one state of the work folder
        from another.
    image_folder : Path
        The downloader's work folder; ``file`` in the table is relative to it.
    source : ImageSource
        The source that the shards were fetched from.
    out : Path
        Receives ``images.parquet`` (one row per distinct link, sorted: image_link, file, sha256, width, height,
        status ``ok``/``failed``/``missing``, reason), ``missing.csv`` (image_link and reason of those that are not
        there) and ``summary.json`` (requested, present, failed by reason; the numbers add up). Where the first link of
        a field failed and another one did not, the row has that one's image, and ``further link 2`` as its reason.

    Raises
    ------
    ArtifactError
        The manifest is damaged.
    """
    links = catalogue_links(catalogue)
    store = ImageStore(image_folder, config)
    with Manifest(store.root / "manifest.sqlite") as manifest:
        known = manifest.load(origin, links)
        further = further_links([link for link in links if not is_had(known.get(link), store)])
        known |= manifest.load(origin, {link for more in further.values() for link in more} - known.keys())
    rows = [_row(link, further.get(link, ()), known, store) for link in links]
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
    if rescued := sum(status == "ok" and reason is not None for *_, status, reason in rows):
        logger.info("images: %d are those of a further link, as the first one gave none", rescued)
    if source.kind == "folder":
        _warn_of_unlinked(catalogue, Path(str(source.location)))


def _warn_of_unlinked(catalogue: Path, folder: Path) -> None:
    """An image belongs to a link; say so where rows have none and the folder has files named after them."""
    rows = _rows(catalogue, "image_link", "sample_id").filter(pl.col("image_link").is_null()).collect()
    files = FolderImages(folder, {}).named_after(rows["sample_id"].to_list())
    if files:
        logger.warning(
            "%d rows have no image_link, so %d images named by their sample_id, such as %s, are not used; "
            "give these rows the name of their file as image_link", len(rows), len(files), files[0],
        )  # fmt: skip


def _row(
    link: str, further: Sequence[str], known: Mapping[str, ImageRecord], store: ImageStore
) -> tuple[str, str | None, str | None, int | None, int | None, str, str | None]:
    record, reason = found_further(further, known, store) or (known.get(link), None)
    if record is None:
        return link, None, None, None, None, "missing", "not_fetched"
    if record.status != "ok":
        return link, None, None, None, None, record.status, record.reason or "unknown"
    if not is_had(record, store):
        return link, None, None, None, None, "missing", "file_lost"
    return link, record.file, record.sha256, record.width, record.height, "ok", reason
