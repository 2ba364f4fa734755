"""What a download came to, for people: which hosts gave nothing, what to do about it, how old the images are.

None of it is part of a stage output. The times and the environment differ from run to run, so it is read when run.json
is written.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import polars as pl

from pricing.catalogue.links import complete, first_link
from pricing.config.catalogue import ImagesConfig
from pricing.download.further import link_used
from pricing.download.image_store import ImageStore
from pricing.download.manifest import ImageRecord, Manifest

SHOWN = 20
"""Lost hosts that are named, those with the most images first; a catalogue may name thousands."""

PROXY_VARIABLES = ("https_proxy", "http_proxy", "all_proxy")
"""Variables by which other programs find a proxy; images are fetched without them."""


def describe_download(
    images: pl.DataFrame, config: ImagesConfig, origin: str, work: Path, environment: Mapping[str, str] = os.environ,
    *, scoring: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Describe what became of the images of a run.

    Parameters
    ----------
    images : DataFrame
        images.parquet of `pricing.download.fetch.collect_images`.
    config : ImagesConfig
        The settings that they were fetched with.
    origin : str
        `ImageSource.origin` of where they came from.
    work : Path
        The downloader's work folder.
    environment : mapping
        Environment variables, looked through for a proxy.
    scoring : bool
        The reader asked for prices from a finished run, whose settings can no longer be set.

    Returns
    -------
    dict
        ``hosts_lost``: for each host without a single image (at most :data:`SHOWN`) its failures by reason.
        ``hint``: one line that says what to do about the largest loss, or None.
        ``fetched``: ``oldest`` and ``newest`` moment at which a present image was fetched or confirmed, in ISO 8601
        and UTC, or None without images.
    """
    rows = images.select("image_link", "file", "status", "reason")
    store = ImageStore(work, config)
    with Manifest(store.root / "manifest.sqlite") as manifest:
        known = manifest.load(origin, rows["image_link"])
        used = {field: link_used(field, reason) for field, reason in rows.select("image_link", "reason").iter_rows()}
        known |= manifest.load(origin, set(used.values()) - known.keys())
    present: set[str] = set()
    lost: dict[str, Counter[str]] = defaultdict(Counter)
    examples: dict[tuple[str, str], ImageRecord] = {}
    moments: list[float] = []
    for link, file, status, reason in rows.iter_rows():
        host, record = _host(used[link]) if origin == "web" else "", known.get(used[link])
        if status == "ok":
            present.add(host)
            moments += _fetched(record, work / file)
            continue
        lost[host][reason] += 1
        if record is not None:
            examples.setdefault((host, reason), record)
    gone = {host: counts for host, counts in lost.items() if host and host not in present}
    ranked = sorted(gone, key=lambda host: (-gone[host].total(), host))[:SHOWN]
    hint = None
    for host in ranked if origin == "web" else lost:
        reason = _cause(lost[host])
        if hint := _hint(host, reason, examples.get((host, reason)), config, environment, scoring):
            break
    return {
        "hosts_lost": {host: dict(sorted(gone[host].items())) for host in ranked},
        "hint": hint,
        "fetched": {"oldest": _iso(min(moments)), "newest": _iso(max(moments))} if moments else None,
    }


def _host(link: str) -> str:
    try:
        return urlsplit(complete(first_link(link))).hostname or ""
    except ValueError:
        return ""


def _cause(counts: Counter[str]) -> str:
    """The most frequent reason; a host is down for another reason than that it is down."""
    causes = Counter({reason: count for reason, count in counts.items() if reason != "host_down"}) or counts
    return min(causes, key=lambda reason: (-causes[reason], reason))


def _hint(
    host: str, reason: str, example: ImageRecord | None, config: ImagesConfig, environment: Mapping[str, str],
    scoring: bool,
) -> str | None:  # fmt: skip
    detail = example.detail if example is not None else None
    if reason in ("forbidden_address", "not_in_folder", "ambiguous_file_name"):
        return detail
    if reason in ("dns", "connect", "connect_timeout", "proxy", "host_down"):
        proxy = "--image-proxy" if scoring else "images.proxy"
        named = [name for name in environment if name.lower() in PROXY_VARIABLES and environment[name]]
        if config.proxy is not None:
            return f"{host} could not be reached through {proxy} {config.proxy}: check that address"
        if named:
            return (
                f"{host} could not be reached ({reason}). {sorted(named)[0]} is set but not used for images: "
                f"set {proxy} to that address"
            )
        return (
            f"{host} could not be reached ({reason}): check the network, set {proxy} if this machine needs a "
            "proxy, or give the images with --images or --image-mirror"
        )
    if reason in ("http_401", "http_403", "http_406", "http_429"):
        headers = "images.user_agent or images.referer"
        what = (
            f"give the images with --images, or train with {headers}"
            if scoring
            else f"it may expect {headers} to be set"
        )
        return f"{host} refuses ({reason}): {what}"
    return None


def _fetched(record: ImageRecord | None, file: Path) -> list[float]:
    """When an image was fetched; what earlier versions recorded has no time, but its file has."""
    if record is not None and record.fetched is not None:
        return [record.fetched]
    try:
        return [file.stat().st_mtime]
    except OSError:
        # gone since the table was written
        return []


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
