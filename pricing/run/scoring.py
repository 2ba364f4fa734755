"""Pricing a file of new products, images included: what `pricing score` does."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from pricing.catalogue.reading import read_catalogue_file, rejected_table
from pricing.catalogue.reading_words import reading_words
from pricing.catalogue.split import UNLABELLED
from pricing.config.catalogue import ImagesConfig
from pricing.config.columns import ColumnsConfig
from pricing.configuration import PricingConfig
from pricing.download.fetch import catalogue_links, collect_images, ids_by_link
from pricing.download.images import Images
from pricing.download.lost_images import describe_download
from pricing.download.progress import ProgressCallback
from pricing.download.shards import fetch_shard
from pricing.download.sources import ImageSource
from pricing.features.fields import unread_amount_words
from pricing.members.registry import member_class
from pricing.report.run_losses import Loss, image_losses, row_losses
from pricing.run.beside_prices import (
    beside,
    write_comparables,
    write_explained,
    write_intervals,
    write_rejected,
    write_trust,
)
from pricing.run.drift_words import describe_drift
from pricing.run.explaining import Explainer
from pricing.run.model import RunModel
from pricing.run.model_folder import ModelRecord
from pricing.run.output_folder import check_folder
from pricing.run.submission import write_submission
from pricing.run_progress import RunProgress
from pricing.store.artifacts import write_json
from pricing.store.tables import read_table


@dataclass(frozen=True)
class ScoredFile:
    """What was written for a catalogue, and what is said of it.

    Attributes
    ----------
    rows : int
        Number of rows priced.
    noted : str
        How the catalogue's file is written, what was skipped and cut, which columns are missing; "" where there is
        nothing to say.
    median : float
        Median price as it is written, in the run's currency.
    decimals : int
        Number of decimals of the prices.
    intervals, comparables, explained : Path or None
        Files beside the prices; None where they were not asked for.
    exact : float
        Share of the members' weights, 0 to 1, that explanations are exact for; 0 where none were asked for.
    trust, drift : Path
        Files beside the prices: how far each may be trusted, and how far the catalogue is from the training rows.
    doubt : list of str
        Both in a few lines, as `pricing.run.drift_words.describe_drift` gives them.
    losses : list of Loss
        What was lost of rows, values and images.
    currency : str
        Currency of the prices as `pricing.catalogue.currencies` names it; "" where none is known.
    readings : list of str
        What values of the catalogue were read as, where they are more than plain numbers.
    """

    rows: int
    noted: str
    median: float
    decimals: int
    intervals: Path | None
    comparables: Path | None
    explained: Path | None
    exact: float
    trust: Path
    drift: Path
    doubt: list[str]
    losses: list[Loss]
    currency: str
    readings: list[str]


def score_file(
    load: Callable[[], RunModel], catalogue: Path, output: Path, config: PricingConfig, source: ImageSource, *,
    comparables: int = 0, explain: bool = False, progress: RunProgress | None = None,
    shown: AbstractContextManager[object] | None = None,
    images_shown: AbstractContextManager[ProgressCallback | None] | None = None, names: ColumnsConfig | None = None,
    model: ModelRecord | None = None,
) -> ScoredFile:  # fmt: skip
    """Price a catalogue file and write the prices, with the files that belong beside them.

    Parameters
    ----------
    load : callable
        Returns the run's models. It is called after the file was read and its images were fetched.
    catalogue : Path
        CSV, JSON lines, Parquet or Excel, with the columns that the roles of ``config`` or ``names`` name.
    output : Path
        CSV file that the prices are written to.
    config : PricingConfig
        As `pricing.run.scoring_settings.read_scoring_config` gives it.
    source : ImageSource
        Where images come from.
    comparables : int
        Number of comparables per product; 0 looks none up.
    explain : bool
        Whether to write what each price is made of.
    progress : RunProgress, optional
        Told of every step of the pricing.
    shown : context manager, optional
        Shows the progress while the products are priced.
    images_shown : context manager, optional
        Shows the download; gives the callback that is told of each image.
    names : ColumnsConfig, optional
        Roles as the file calls its columns, where it has other names than those of the run.
    model : ModelRecord, optional
        Of the run: its currency, and the decimal marks of columns of numbers that prove none here.

    Returns
    -------
    ScoredFile

    Raises
    ------
    CatalogueError
        The file cannot be read, or has bad rows and the setting ``catalogue.on_bad_rows`` refuses them.
    DownloadError
        The disk under the images is full or cannot be written. An image that fails is a loss and no error.
    ArtifactError
        The model or the manifest of the images is damaged, or of another version.
    SchemaError
        Comparables are asked of a run that compared no products.
    PredictionsError
        A price is not finite and positive. As with the errors above, nothing is written.
    """
    read = read_catalogue_file(catalogue, labelled=False, config=config.catalogue, names=names,
                               marks=model.marks if model else None)  # fmt: skip
    frame, images, losses = read.frame, None, []
    if reads_images(config):
        check_folder(config.paths.local, "--artifacts")
        with images_shown or nullcontext() as show:
            images = fetch_images(frame, config.images, source, config.paths.work / "images", progress=show)
        losses = image_losses(describe_new_images(images, config.images, source), listed="")
    with shown or nullcontext():
        model_read = load()
        scored = model_read.predict(frame, images, comparables, progress, drift=True)
        why = Explainer(model_read).explain(frame, images) if explain else None
    header = config.submission.model_copy(update={"decimals": scored.decimals})
    statistics = write_submission(frame["sample_id"], scored.price, header, output)
    intervals, similar, rejected = None, None, ""
    explained = None if why is None else write_explained(why, header, output)
    exact = 0.0 if why is None or why.is_empty() else float(why["exact"][0])
    if header.intervals:
        intervals = write_intervals(frame["sample_id"], scored.price, scored.intervals, header, output)
    if scored.comparables is not None:
        similar = write_comparables(scored.comparables, header, output)
    trust, drift = write_trust(frame["sample_id"], scored.trust, header, output), beside(output, "drift")
    write_json(drift, scored.drift)
    if read.rejected:
        rejected = str(write_rejected(rejected_table(read.rejected), header, output))
    amounts = config.catalogue.roles.amount
    counts = {"test": {"rows": frame.height, **read.notes.counts()}}
    losses = [*row_losses(counts, prices=output.name, rejected=rejected), *losses]
    return ScoredFile(
        frame.height, read.notes.said(), statistics["median"], scored.decimals, intervals, similar, explained, exact,
        trust, drift,
        describe_drift(scored.drift or {}), losses, model.currency if model else "",
        [*reading_words(read.notes.read), *unread_amount_words(frame, amounts)],
    )  # fmt: skip


def reads_images(config: PricingConfig) -> bool:
    """Whether a run's prices depend on images."""
    members = config.enabled_members().items()
    return config.images.enabled and any(member_class(name).reads_images(settings) for name, settings in members)


def fetch_images(
    frame: pl.DataFrame,
    config: ImagesConfig,
    source: ImageSource,
    image_folder: Path,
    *,
    progress: ProgressCallback | None = None,
) -> Images:
    """Fetch the images of new products; those that failed are marked in the table.

    Parameters
    ----------
    frame : DataFrame
        n rows: ``sample_id`` and ``image_link``.
    config : ImagesConfig
        Limits, resize settings, timeouts and retries.
    source : ImageSource
        Where images come from.
    image_folder : Path
        The downloader's work folder. An image that is in it is not fetched again.
    progress : callable, optional
        As in `pricing.download.shards.fetch_shard`.

    Returns
    -------
    Images
        One row per distinct link.

    Raises
    ------
    DownloadError
        The disk is full or cannot be written.
    ArtifactError
        The manifest of the images is damaged.
    """
    with TemporaryDirectory(prefix="pricing-") as folder:
        catalogue = Path(folder)
        frame.write_parquet(catalogue / UNLABELLED)
        ids = ids_by_link(catalogue) if source.kind == "folder" else None
        fetch_shard(catalogue_links(catalogue), config, image_folder, source=source, sample_ids=ids, progress=progress)
        collect_images(catalogue, config, source.origin, None, image_folder, source, catalogue)
        return Images(read_table(catalogue / "images.parquet"), image_folder)


def describe_new_images(images: Images, config: ImagesConfig, source: ImageSource) -> dict[str, Any]:
    """Return what became of images, as run.json has it under ``images``.

    Parameters
    ----------
    images : Images
        As `fetch_images` returned them for the same ``config`` and ``source``.

    Returns
    -------
    dict
        ``requested`` and ``present`` (numbers of links), ``failed`` (reason to number of links), and what
        `pricing.download.lost_images.describe_download` adds.
    """
    failed = images.table.filter(pl.col("status") != "ok")["reason"].value_counts().sort("reason")
    return {
        "requested": images.table.height,
        "present": images.table.height - int(failed["count"].sum()),
        "failed": dict(failed.iter_rows()),
        **describe_download(images.table, config, source.origin, images.folder, scoring=True),
    }
