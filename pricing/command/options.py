"""Options that several commands take, and the configuration that they make."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pricing.config.paths import PathsConfig, place
from pricing.configuration import parse_settings, read_columns
from pricing.download.sources import ImageSource
from pricing.errors import ConfigError, InputError

PATHS = PathsConfig()

Train = Annotated[
    Path, typer.Option(help="Catalogue with prices: sample_id, catalog_content, image_link, price, or see --columns.")
]
Test = Annotated[Path | None, typer.Option(help="Catalogue to price: the columns of --train without price.")]
Output = Annotated[Path, typer.Option(help="Folder for submission, report, metrics and model.")]
StageOutput = Annotated[Path, typer.Option(help="Folder for run.json and metrics.json; for submission, the whole run.")]
StackOutput = Annotated[Path, typer.Option(help="Folder for the submission, metrics and the fitted stack.")]
Artifacts = Annotated[
    str | None,
    typer.Option(
        help="Folder of all that runs make and read again (stage outputs, images), or the address of a storage for the "
        "outputs, such as s3://bucket/prefix.",
        show_default=str(PATHS.artifacts),
    ),
]
Preset = Annotated[str, typer.Option(help="Settings to start from: demo, cpu, best, full, or a TOML file.")]
Setting = Annotated[list[str] | None, typer.Option("--set", help="One setting, such as folds.n_splits=3; repeatable.")]
Columns = Annotated[
    Path | None, typer.Option(help="TOML file of the columns' roles, as `pricing columns` proposes it.")
]
Images = Annotated[
    Path | None,
    typer.Option(help="Folder with the images, found by the end of their link or by sample_id; nothing is fetched."),
]
ImageProxy = Annotated[str | None, typer.Option(help="HTTP proxy for the images, http://HOST:PORT.")]
Mirror = Annotated[str | None, typer.Option(help="Address that replaces scheme, host and port of the image links.")]
AllowHost = Annotated[
    list[str] | None, typer.Option(help="Private or loopback host that images may be fetched from; repeatable.")
]
OnBadRows = Annotated[
    str | None, typer.Option(help="Unusable rows: refuse (name them and stop) or quarantine (leave them out).")
]
OnBadPredictions = Annotated[
    str | None,
    typer.Option(help="Zero and negative predictions: refuse, or clip to the smallest known price."),
]
PriceColumn = Annotated[str | None, typer.Option(help="Header of the column of prices that is written.")]
Intervals = Annotated[
    bool, typer.Option("--intervals", help="Write 80 % and 95 % prediction intervals to a file beside the prices.")
]
ExcelSafe = Annotated[
    bool,
    typer.Option("--excel-safe", help="Escape texts that begin with = + - @, which a spreadsheet would calculate."),
]
Comparables = Annotated[
    int, typer.Option(min=0, help="Number of similar products with a price per row, in a file beside the prices.")
]


def build_overrides(
    settings: list[str] | None, artifacts: str | None = None, allow: list[str] | None = None,
    on_bad_rows: str | None = None, price_column: str | None = None, intervals: bool = False,
    columns: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The command line's options as settings to lay over a preset; an option wins over the same ``--set``."""
    options = {
        "paths.artifacts": str(artifacts_place(artifacts)) if artifacts else None, "images.allow_hosts": allow or None,
        "catalogue.on_bad_rows": on_bad_rows, "submission.price_column": price_column,
        "submission.intervals": intervals or None, "catalogue.columns": columns and read_columns(columns),
    }  # fmt: skip
    return parse_settings(settings or []) | {name: value for name, value in options.items() if value}


def artifacts_place(artifacts: str) -> Path | str:
    """The folder or address of an option.

    Raises
    ------
    ConfigError
        The address holds a name or a password; it is not repeated.
    """
    try:
        return place(artifacts)
    except ValueError as error:
        raise ConfigError(f"--artifacts: {error}") from None


def images_text(images: Path | None, mirror: str | None) -> str | None:
    """Where images come from, as the flows take it: a folder, a mirror of the links' hosts, or None, the links."""
    if images and mirror:
        raise InputError("--images and --image-mirror exclude each other; give one")
    if mirror:
        ImageSource.mirror(mirror)  # without its scheme it would be a folder
    return str(images) if images else mirror
