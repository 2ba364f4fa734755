"""The images of some products: which file belongs to which link."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl


@dataclass(frozen=True)
class Images:
    """Images by the catalogue's link.

    Attributes
    ----------
    table : DataFrame
        As images.parquet of the download stage: ``image_link``, ``file``, ``status`` among others.
    folder : Path
        What ``file`` is relative to: the downloader's work folder.
    """

    table: pl.DataFrame
    folder: Path

    def files(self) -> dict[str, Path]:
        """Return the file of every link whose image is there."""
        present = self.table.filter((pl.col("status") == "ok") & pl.col("file").is_not_null())
        return {link: self.folder / file for link, file in zip(present["image_link"], present["file"], strict=True)}
