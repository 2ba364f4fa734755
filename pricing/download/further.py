"""Further links of a product: what is asked for where its first one gives no image.

A field of the catalogue may hold several links. The image of its first link is known by the field, as that of a field
with one link is; a further link is known by itself, so that one that many products share is asked for once.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pricing.catalogue.links import split_links
from pricing.config.catalogue import ImagesConfig
from pricing.download.downloader import ResumableImageDownloader
from pricing.download.image_store import ImageStore
from pricing.download.manifest import ImageRecord, Manifest
from pricing.download.progress import Progress, ProgressCallback, ShardReport
from pricing.download.sources import ImageSource

_FROM = "further link "
"""How the reason of an image begins that is not the first link's; the link's place follows, 2 for the second one."""


def further_links(fields: Sequence[str]) -> dict[str, list[str]]:
    """Links behind the first one, by field; fields with one link are left out."""
    return {field: links[1:] for field in fields if len(links := split_links(field)) > 1}


def found_further(
    links: Sequence[str], known: Mapping[str, ImageRecord], store: ImageStore
) -> tuple[ImageRecord, str] | None:
    """Return the record of the first further link whose image is there, and what the table gives as its reason."""
    for place, link in enumerate(links, start=2):
        if (record := known.get(link)) is not None and is_had(record, store):
            return record, f"{_FROM}{place}"
    return None


def is_had(record: ImageRecord | None, store: ImageStore) -> bool:
    """Whether a record's image lies whole in the store."""
    if record is None or record.status != "ok" or record.file is None:
        return False
    return store.is_whole(record.file, record.stored_bytes or 0)


def link_used(field: str, reason: str | None) -> str:
    """Return the link that a present image came from: a further one by the reason in the table, else the field."""
    if reason is None or not reason.startswith(_FROM):
        return field
    return split_links(field)[int(reason.removeprefix(_FROM)) - 1]


def fetch_further(
    fields: Sequence[str], report: ShardReport, config: ImagesConfig, work: Path, source: ImageSource,
    sample_ids: Mapping[str, Sequence[str]] | None, threads: int | None, progress: ProgressCallback | None,
) -> ShardReport:  # fmt: skip
    """Ask for the next links of the fields whose image is not there, then for those behind them, until one is had.

    Parameters
    ----------
    fields : sequence of str
        Fields of the catalogue whose first links were asked for.
    report : ShardReport
        How that went.
    config, work, source, sample_ids, threads, progress
        As in `pricing.download.shards.fetch_shard`.

    Returns
    -------
    ShardReport
        Of fields: one is present with the image of any of its links, and fails for the reason of its first one.
    """
    chains = further_links(fields)
    if not chains:
        return report
    store = ImageStore(work, config)
    lost = {
        field: record for field, record in _records(store, source, list(chains)).items() if not is_had(record, store)
    }
    rounds = range(max((len(chains[field]) for field in lost), default=0))
    # whether a file of a folder may be a link's depends on all links of the catalogue
    named = None if sample_ids is None else {
        **{link: () for links in further_links(list(sample_ids)).values() for link in links}, **sample_ids
    }  # fmt: skip
    for place in rounds:
        asked = {field: chains[field][place] for field in lost if place < len(chains[field])}
        links = list(dict.fromkeys(asked.values()))
        told = None if progress is None else _behind(report, len(links), progress)
        downloader = ResumableImageDownloader(config, work, source=source, threads=threads, progress=told)
        part = downloader.download_batch(links, named)
        known = _records(store, source, links)
        had = {field: lost.pop(field) for field, link in asked.items() if is_had(known.get(link), store)}
        reasons = Counter(record.reason or "unknown" for record in had.values())
        both = report.plus(part)
        report = report.model_copy(
            update={
                "present": report.present + len(had),
                "failed": dict(sorted((Counter(report.failed) - reasons).items())),
                "state": both.state,
                "requests": report.requests + part.requests,
                "seconds": report.seconds + part.seconds,
            }
        )
    return report


def _records(store: ImageStore, source: ImageSource, links: Sequence[str]) -> dict[str, ImageRecord]:
    with Manifest(store.root / "manifest.sqlite") as manifest:
        return manifest.load(source.origin, links)


def _behind(report: ShardReport, links: int, progress: ProgressCallback) -> Callable[[Progress], None]:
    """Tell of further links as of the last ones of all."""

    def told(moment: Progress) -> None:
        done = max(report.requested - links, 0) + moment.done
        progress(Progress(report.requested, done, report.present + moment.present, report.failed, moment.rate,
                          moment.seconds_left))  # fmt: skip

    return told
