"""What run.json says of a run's or a stage's steps, and the files that it leaves beside it.

Every folder is the output of a step.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pricing.config.catalogue import ImagesConfig
from pricing.download.lost_images import describe_download
from pricing.store.artifacts import read_json, read_record
from pricing.store.tables import read_table


def describe_catalogue(catalogue: Path) -> dict[str, Any]:
    """Return the catalogue's summary: rows of both files, what was left out, quantiles of the prices."""
    return dict(read_json(catalogue / "summary.json"))


def describe_images(images: Path | None, work: Path) -> dict[str, Any]:
    """Return how many images were requested, are present and failed by reason.

    Parameters
    ----------
    images : Path or None
        Table of the images; None without.
    work : Path
        Folder for work in progress.

    Returns
    -------
    dict
        ``requested``, ``present``, ``failed``, and ``hosts_lost``, ``hint``, ``fetched`` as
        `pricing.download.lost_images.describe_download` has them.
    """
    if images is None:
        return {"requested": 0, "present": 0, "failed": {}, "hosts_lost": {}, "hint": None, "fetched": None}
    made_of = read_record(images)["parts"]["inputs"]
    config = ImagesConfig.model_validate(made_of["config"])
    more = describe_download(read_table(images / "images.parquet"), config, made_of["origin"], work / "images")
    return {**read_json(images / "summary.json"), **more}


def describe_networks(members: Mapping[str, Mapping[str, Path]]) -> dict[str, Any]:
    """Return precision and size of each network among the members.

    Parameters
    ----------
    members : mapping of str to mapping of str to Path
        Member to its output by fold.

    Returns
    -------
    dict
        By network: ``precision`` (all that its folds ran with), and of the largest fold's ``parameters``,
        ``trainable_parameters`` and ``lora_share`` (None without adapters): widths follow the fold's features.
    """
    networks: dict[str, Any] = {}
    for name, made in members.items():
        records = [read_json(output / "member.json") for output in made.values()]
        # no network
        if not records or "precision" not in records[0]:
            continue
        found: dict[str, Any] = {"precision": ", ".join(sorted({record["precision"] for record in records}))}
        for key in ("parameters", "trainable_parameters", "lora_share"):
            found[key] = max((record[key] for record in records if record.get(key) is not None), default=None)
        networks[name] = found
    return networks


def copy_searches(searches: Mapping[str, Path], folder: Path) -> None:
    """Copy every member's search into ``search/`` of an existing folder: all of it as JSON, its choice as TOML."""
    for member, search in searches.items():
        (folder / "search").mkdir(exist_ok=True)
        shutil.copy(search / "search.json", folder / "search" / f"{member}.json")
        shutil.copy(search / "settings.toml", folder / "search" / f"{member}.toml")


def copy_rejected(catalogue: Path, output: Path) -> None:
    """Leave ``rejected.csv`` (file, row, sample_id, reason) in an output folder, if bad rows were to be left out."""
    # an earlier stage's
    (output / "rejected.csv").unlink(missing_ok=True)
    if (catalogue / "rejected.csv").exists():
        shutil.copy(catalogue / "rejected.csv", output / "rejected.csv")


def copy_missing_images(images: Path | None, output: Path) -> None:
    """Leave ``missing_images.csv`` (image_link, reason) in an output folder, if images were asked for."""
    if images is not None:
        shutil.copy(images / "missing.csv", output / "missing_images.csv")
