"""Options that several commands take, and the configuration that they make."""

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.parameters import image_source_of
from pricing.catalogue.sources import ImageSource
from pricing.config import PathsConfig, PricingConfig, load_config, parse_settings
from pricing.errors import InputError

PATHS = PathsConfig()

Train = Annotated[Path, typer.Option(help="CSV or Parquet: sample_id, catalog_content, image_link, price.")]
Test = Annotated[Path | None, typer.Option(help="The same without price.")]
Output = Annotated[Path, typer.Option(help="Folder for submission, report, metrics and model.")]
Artifacts = Annotated[Path | None, typer.Option(help="The artifact store.", show_default=str(PATHS.artifacts))]
Preset = Annotated[str, typer.Option(help="demo, cpu, best, full, or a TOML file.")]
Setting = Annotated[list[str] | None, typer.Option("--set", help="key.path=value, repeatable.")]
Images = Annotated[
    Path | None,
    typer.Option(help="Folder with the images, found by the end of their link or by sample_id; nothing is fetched."),
]
ImageProxy = Annotated[str | None, typer.Option(help="HTTP proxy for the images, http://HOST:PORT.")]
Mirror = Annotated[str | None, typer.Option(help="Replaces scheme, host and port of the links.")]
AllowHost = Annotated[list[str] | None, typer.Option(help="Private or loopback host that may be asked; repeatable.")]
OnBadRows = Annotated[str | None, typer.Option(help="refuse or quarantine.")]
OnBadPredictions = Annotated[
    str | None, typer.Option(help="refuse zero and negative predictions, or clip them to the smallest known price.")
]
PriceColumn = Annotated[str | None, typer.Option(help="Header of the submission's price column.")]
Intervals = Annotated[bool, typer.Option("--intervals", help="80 % and 95 % prediction intervals in a file beside.")]
Comparables = Annotated[int, typer.Option(min=0, help="Most similar products a row, with prices, in a file beside.")]


def build_overrides(
    settings: list[str] | None, artifacts: Path | None = None, allow: list[str] | None = None,
    on_bad_rows: str | None = None, price_column: str | None = None, intervals: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """The command line's options as settings to lay over a preset; an option wins over the same ``--set``."""
    options = {
        "paths.artifacts": str(artifacts) if artifacts else None, "images.allow_hosts": allow or None,
        "catalogue.on_bad_rows": on_bad_rows, "submission.price_column": price_column,
        "submission.intervals": intervals or None,
    }  # fmt: skip
    return parse_settings(settings or []) | {name: value for name, value in options.items() if value}


def build_config(preset: str, *options: Any, **named: Any) -> PricingConfig:
    """A preset with the command line's options, as `build_overrides` takes them, laid over it."""
    return load_config(preset, build_overrides(*options, **named))


def images_text(images: Path | None, mirror: str | None) -> str | None:
    """Where images come from, as the flows take it: a folder, a mirror of the links' hosts, or None, the links."""
    if images and mirror:
        raise InputError("--images and --image-mirror exclude each other; give one")
    if mirror:
        ImageSource.mirror(mirror)  # without its scheme it would be a folder
    return str(images) if images else mirror


def image_source(images: Path | None, mirror: str | None) -> ImageSource:
    """What `images_text` stands for."""
    return image_source_of(images_text(images, mirror))
