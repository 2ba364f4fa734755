"""Tables of stage outputs."""

from pathlib import Path

import polars as pl

from pricing.errors import ArtifactError


def read_table(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    """Read a Parquet table, whole or some of its columns.

    Raises
    ------
    ArtifactError
        The file is missing or damaged, or lacks a column.
    """
    try:
        return pl.read_parquet(path, columns=columns)
    except (OSError, pl.exceptions.PolarsError) as error:
        wanted = f" with the columns {', '.join(columns)}" if columns else ""
        raise ArtifactError(
            f"{path}: cannot be read as Parquet{wanted} ({error}); rebuild the stage that wrote it"
        ) from None
