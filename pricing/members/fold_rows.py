"""The rows of a fold, with all that a member may read of them, joined by id."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pricing.catalogue.split import SPLITS, fold_roles, read_split
from pricing.download.images import Images
from pricing.errors import ArtifactError, SchemaError
from pricing.features.load import ID, RIDGE, FeatureSet, load_features, load_price_columns, load_price_features
from pricing.features.schema import Column
from pricing.features.table_values import TableValues
from pricing.store.tables import read_table


@dataclass(frozen=True)
class Rows:
    """n rows in one order, as a member reads them.

    Attributes
    ----------
    frame : DataFrame
        ``sample_id``, ``catalog_content``, ``image_link``, and ``log_price`` where the price is known.
    features : FeatureSet
        Features that read no price.
    price : DataFrame
        Price features, Float32; without columns for a member that does not read them.
    ridge : ndarray of shape (n,), float64
        The ridge's log prices, NaN for ``train`` rows; empty for a member that reads no price features.
    images : Images or None
        Images by link.
    prepared : object
        What the member's preparation step made: its folder, or for new rows what `Member.encode` returned.
    price_columns : tuple of Column
        What the columns of ``price`` are.
    """

    frame: pl.DataFrame
    features: FeatureSet
    price: pl.DataFrame
    ridge: np.ndarray
    images: Images | None = None
    prepared: Any = None
    price_columns: tuple[Column, ...] = ()
    encoded: dict[int, tuple[Any, Any]] = field(default_factory=dict, init=False, repr=False, compare=False)
    """By identity of an encoder, this encoder and what it made of ``values``: members with equal encoders share it."""

    def __len__(self) -> int:
        return self.frame.height

    @property
    def ids(self) -> pl.Series:
        """sample_id, of shape (n,)."""
        return self.frame[ID]

    @property
    def log_price(self) -> np.ndarray:
        """Natural log of the known prices, ndarray of shape (n,), float64."""
        return self.frame["log_price"].to_numpy()

    def table(self) -> pl.DataFrame:
        """Return tabular and price columns side by side.

        Raises
        ------
        SchemaError
            A column stands in both.
        """
        self._check_names()
        return pl.concat([self.features.tabular, self.price], how="horizontal")

    @cached_property
    def values(self) -> TableValues:
        """What `table` holds, as arrays that are read once for all models; raises as it does."""
        self._check_names()
        return self.features.values.beside(TableValues.of(self.price)) if self.price.width else self.features.values

    def _check_names(self) -> None:
        twice = sorted(set(self.features.tabular.columns) & set(self.price.columns))
        if twice:
            raise SchemaError(f"columns {twice[:5]} stand in both the features and the price features; rename one")

    @property
    def columns(self) -> tuple[Column, ...]:
        """What the columns of `table` are, in their order."""
        return (*self.features.schema.columns, *self.price_columns)

    def of_family(self, *families: str) -> list[str]:
        """Return the names of the columns of some families."""
        return [column.name for column in self.columns if column.family in families]

    def with_prepared(self, prepared: Any) -> "Rows":
        """Return the same rows with this ``prepared``, and with what was read of them."""
        other = copy.copy(self)
        object.__setattr__(other, "prepared", prepared)
        return other

    def take(self, mask: np.ndarray) -> "Rows":
        """Return the rows under a mask of shape (n,)."""
        chosen = pl.Series(mask)
        return replace(
            self,
            frame=self.frame.filter(chosen),
            features=self.features.take(mask),
            price=self.price.filter(chosen) if self.price.width else self.price,
            ridge=self.ridge[mask] if len(self.ridge) else self.ridge,
        )


@dataclass(frozen=True)
class FoldInputs:
    """Where a fold's rows are read from: folders of stage outputs.

    Attributes
    ----------
    catalogue, folds, features : Path
        Outputs of those stages.
    price_features : Path or None
        Price features of this fold; None for a member that does not read them.
    images : Path or None
        Table of images, None without images.
    prepared : Path or None
        Output of the member's preparation step.
    image_folder : Path or None
        What the files in the table of images are relative to.
    """

    catalogue: Path
    folds: Path
    features: Path
    price_features: Path | None = None
    images: Path | None = None
    prepared: Path | None = None
    image_folder: Path | None = None

    def found_images(self) -> Images | None:
        """Return the images, or None without."""
        if self.images is None or self.image_folder is None:
            return None
        return Images(read_table(self.images / "images.parquet"), self.image_folder)


@dataclass(frozen=True)
class FoldRows(Mapping[str, Rows]):
    """The rows of one fold by role: ``train``, ``valid``, ``holdout``, ``test``; the refit has ``train`` and ``test``.

    Attributes
    ----------
    fold : int or None
        None is the refit.
    inputs : FoldInputs
        Where they were read; small, so that other processes can read them too.
    roles : mapping of str to Rows
    """

    fold: int | None
    inputs: FoldInputs
    roles: Mapping[str, Rows]

    def __getitem__(self, role: str) -> Rows:
        return self.roles[role]

    def __iter__(self) -> Iterator[str]:
        return iter(self.roles)

    def __len__(self) -> int:
        return len(self.roles)

    @property
    def train(self) -> Rows:
        """Rows to learn from."""
        return self.roles["train"]

    @property
    def valid(self) -> Rows | None:
        """Rows that may stop the training; None in the refit."""
        return self.roles.get("valid")

    @classmethod
    def read(cls, inputs: FoldInputs, fold: int | None) -> "FoldRows":
        """Read a fold.

        Raises
        ------
        ArtifactError
            An input is missing or damaged, the folds are of other rows, or the fold has no rows.
        SchemaError
            The features are of other rows.
        """
        images = inputs.found_images()
        splits = {}
        for split in SPLITS:
            frame = read_table(inputs.catalogue / f"{split}.parquet")
            features = load_features(inputs.features, split)
            if not features.ids.equals(frame[ID]):
                raise ArtifactError(
                    f"{inputs.features}: its rows are not the catalogue's; build the features of this catalogue again"
                )
            price, ridge = pl.DataFrame(), np.empty(0)
            columns: tuple[Column, ...] = ()
            if inputs.price_features is not None:
                price = load_price_features(inputs.price_features, split, frame[ID])
                ridge, price = price[RIDGE].to_numpy(), price.drop(RIDGE)
                columns = load_price_columns(inputs.price_features)
            splits[split] = Rows(frame, features, price, ridge, images, inputs.prepared, columns)
        labelled = splits["labelled"]
        # as the ensemble; polars' log differs in a last bit
        log_price = np.log(labelled.frame["price"].to_numpy())
        known = labelled.frame.drop("price").with_columns(log_price=pl.Series(log_price))
        labelled = replace(labelled, frame=known)
        masks = fold_roles(read_split(inputs.folds, known[ID]), fold)
        roles = {role: labelled.take(mask) for role, mask in masks.items()}
        return cls(fold, inputs, roles | {"test": splits["unlabelled"]})
