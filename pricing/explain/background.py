"""The products that explanations start from: some training rows, kept with the model.

The base of an explanation is the mean log price that the models give them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from pricing.catalogue.split import LABELLED, read_split
from pricing.errors import ArtifactError
from pricing.features.load import FeatureSet, load_features, save_features
from pricing.store.tables import read_table

MOST_ROWS = 128
"""Maximum number of rows: their mean log price is within some 0.08 of that of all rows."""
_FRAME, _SPLIT = "rows.parquet", "background"


@dataclass(frozen=True)
class Background:
    """At most `MOST_ROWS` rows.

    Attributes
    ----------
    frame : DataFrame
        Their rows of the catalogue, without prices.
    features : FeatureSet
        Their features.
    """

    frame: pl.DataFrame
    features: FeatureSet

    @classmethod
    def load(cls, folder: Path) -> "Background":
        """Read what `write_background` wrote.

        Raises
        ------
        ArtifactError
            A file is missing, as in a model of an earlier version, or damaged.
        """
        if not folder.exists():
            raise ArtifactError(
                f"{folder}: is not there; models of earlier versions keep no rows to explain prices with; train again"
            )
        return cls(read_table(folder / _FRAME), load_features(folder, _SPLIT))


def write_background(folder: Path, catalogue: Path, folds: Path, features: Path) -> None:
    """Write evenly spaced training rows into a new folder; none is of the hold-out.

    Parameters
    ----------
    folder : Path
        Is made.
    catalogue, folds, features : Path
        Outputs of those stages.
    """
    frame = read_table(catalogue / LABELLED).drop("price")
    training = np.flatnonzero((read_split(folds, frame["sample_id"])["part"] == "train").to_numpy())
    chosen = training[np.linspace(0, len(training) - 1, min(len(training), MOST_ROWS)).astype(np.int64)]
    folder.mkdir()
    frame[chosen].write_parquet(folder / _FRAME)
    save_features(load_features(features).take(chosen), folder, _SPLIT)
