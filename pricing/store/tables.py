"""Tables and records of stage outputs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import BadZipFile

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


@contextmanager
def reading(path: Path, expected: str) -> Iterator[None]:
    """Refuse what is missing or damaged while something that a stage wrote is read.

    Raises
    ------
    ArtifactError
        Any error that reading and converting a file raises; it names ``path`` and what was ``expected`` there.
    """
    try:
        yield
    except (
        OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, EOFError, BadZipFile,
        pl.exceptions.PolarsError,
    ) as error:  # fmt: skip
        raise ArtifactError(f"{path}: expected {expected}, got {error!r}; rebuild the stage") from None
