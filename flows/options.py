"""Options that several commands take, and the configuration that they make."""

import json
from pathlib import Path
from typing import Annotated

import typer

from pricing.catalogue.sources import ImageSource
from pricing.config import PathsConfig, PricingConfig, load_config
from pricing.errors import InputError

PATHS = PathsConfig()

Train = Annotated[Path, typer.Option(help="CSV or Parquet: sample_id, catalog_content, image_link, price.")]
Test = Annotated[Path | None, typer.Option(help="The same without price.")]
Output = Annotated[Path, typer.Option(help="Folder for submission, report, metrics and model.")]
Artifacts = Annotated[Path | None, typer.Option(help="The artifact store.", show_default=str(PATHS.artifacts))]
Preset = Annotated[str, typer.Option(help="demo, cpu, best, full, or a TOML file.")]
Setting = Annotated[list[str] | None, typer.Option("--set", help="key.path=value, repeatable.")]
Images = Annotated[Path | None, typer.Option(help="Folder with the pictures; nothing is fetched.")]
Mirror = Annotated[str | None, typer.Option(help="Replaces scheme, host and port of the links.")]
AllowHost = Annotated[list[str] | None, typer.Option(help="Private or loopback host that may be asked; repeatable.")]
OnBadRows = Annotated[str | None, typer.Option(help="refuse or quarantine.")]
PriceColumn = Annotated[str | None, typer.Option(help="Header of the submission's price column.")]
Intervals = Annotated[bool, typer.Option("--intervals", help="80 % and 95 % prediction intervals in a file beside.")]
Comparables = Annotated[int, typer.Option(min=0, help="Most similar products a row, with prices, in a file beside.")]


def build_config(
    preset: str, settings: list[str] | None, artifacts: Path | None = None, allow: list[str] | None = None,
    on_bad_rows: str | None = None, price_column: str | None = None, intervals: bool = False,
) -> PricingConfig:  # fmt: skip
    """A preset with the command line's options laid over it."""
    laid = [*(settings or [])]
    if artifacts:
        laid.append(f"paths.artifacts={_quoted(str(artifacts))}")  # a folder called 2024 is no number
    if allow:
        laid.append(f"images.allow_hosts={_quoted(allow)}")
    if on_bad_rows:
        laid.append(f"catalogue.on_bad_rows={_quoted(on_bad_rows)}")
    if price_column:
        laid.append(f"submission.price_column={_quoted(price_column)}")
    if intervals:
        laid.append("submission.intervals=true")
    return load_config(preset, laid)


def _quoted(value: str | list[str]) -> str:
    return json.dumps(value, ensure_ascii=False)  # of strings it is TOML too


def image_source(images: Path | None, mirror: str | None) -> ImageSource:
    """Where images come from: a folder, a mirror of the links' hosts, or the links themselves."""
    if images and mirror:
        raise InputError("--images and --image-mirror exclude each other; give one")
    if images:
        return ImageSource.folder(images)
    return ImageSource.mirror(mirror) if mirror else ImageSource.web()
