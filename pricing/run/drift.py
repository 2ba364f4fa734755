"""Drift: how a catalogue differs from the rows that a model was trained on.

Like is compared with like:

- Columns that are read off a row alone are compared with the training rows.
- Brands, categories and words were learnt from the training rows, which therefore have no unknown ones. Their reference
  is the hold-out.
- Prices and comparables are compared with the out-of-fold rows, whose models and comparables are of other folds.

Distributions are compared by the population stability index of `pricing.metrics.stability`.

On disk::

    reference.json      distributions, shares of what is unknown, rows
    values.parquet      column, value: known values of the declared categories
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pricing.catalogue.plain_text import plain_text
from pricing.features.families import CHUNK
from pricing.features.load import FeatureSchema, FeatureSet
from pricing.features.schema import NUMBER, Column, log_words, one_with_role
from pricing.metrics.smape import Floats
from pricing.metrics.stability import (
    FEWEST_ROWS,
    MODERATE,
    SHIFTED,
    Distribution,
    NumberDistribution,
    ValueDistribution,
    chance_index,
    read_distribution,
    stability_index,
)
from pricing.store.artifacts import read_json, write_json
from pricing.store.tables import read_table, reading

_LEARNT = ("brand", "sub_brand")
"""Families whose values are learnt from the training rows."""
PRICE = "predicted price"
"""Name of the predicted price among the distributions."""
_WORD = r"[^\W\d_]+(?:['’][^\W\d_]+)?"


@dataclass(frozen=True)
class DriftReference:
    """What a catalogue is compared with.

    Attributes
    ----------
    distributions : dict of str to Distribution
        Name of a column, or `PRICE`, to its distribution: of the training rows, or of their out-of-fold prices.
    words : dict of str to str
        Name of a distribution to what it is, for a reader who does not know the features.
    known : dict of str to Series
        Column of a declared category to its values in the training rows, String.
    vocabulary : Series of shape (v,), String
        Words that the models know, in lower case; empty where the models read no words.
    shares : dict
        Of the hold-out, ``unseen`` (category to share of rows) and ``unknown_words`` (share of words), both 0 to 1. Of
        the cosines of the training rows' nearest comparables, ``nearest`` (mean) and ``far`` (lowest decile). None
        stands for an unknown figure.
    """

    distributions: dict[str, Distribution]
    words: dict[str, str]
    known: dict[str, pl.Series]
    vocabulary: pl.Series
    shares: dict[str, Any]

    @classmethod
    def fit(
        cls, training: FeatureSet, held: FeatureSet, held_texts: pl.DataFrame, vocabulary: pl.Series, price: Floats,
        nearest: Floats | None,
    ) -> "DriftReference":  # fmt: skip
        """Make the reference of a run.

        Parameters
        ----------
        training, held : FeatureSet
            Features of the n training rows and of the m rows of the hold-out; m may be 0.
        held_texts : DataFrame
            m rows: ``catalog_content``, as the hold-out has it.
        vocabulary : Series of shape (v,), String
            As the attribute.
        price : ndarray of shape (n,), float64
            Out-of-fold prices of the training rows.
        nearest : ndarray of shape (n,), float64, optional
            Cosine of their nearest comparables, out of fold.
        """
        found: dict[str, tuple[Distribution, str]] = {}
        for column in _compared(training.schema):
            values = training.tabular[column.name]
            made: Distribution
            if column.kind == NUMBER:
                made = NumberDistribution.of(values)
            else:
                # an unknown brand is one of the rare ones, and training has none that it does not know
                made = ValueDistribution.of(values, missing=column.family not in _LEARNT)
            found[column.name] = made, column.words or column.name
        found[PRICE] = NumberDistribution.of(pl.Series(price)), "the predicted price"
        known = {name: training.tabular[name].unique().sort() for name in _categories(training.schema)}
        reference = cls(
            {name: made for name, (made, _) in found.items()}, {name: words for name, (_, words) in found.items()},
            known, vocabulary, {},
        )  # fmt: skip
        shares = {
            "unseen": {name: _share(rows) for name, rows in reference.unseen(held).items()},
            "unknown_words": reference.unknown_words(held_texts),
            "nearest": None if nearest is None else float(nearest.mean()),
            "far": None if nearest is None else float(np.quantile(nearest, 0.1)),
        }
        return cls(**{**vars(reference), "shares": shares})

    def strangers(self, features: FeatureSet) -> dict[str, NDArray[np.bool_]]:
        """Find rows with a declared category that no training row has. A row without a value is none of them.

        Parameters
        ----------
        features : FeatureSet
            Features of n rows.

        Returns
        -------
        dict of str to ndarray of shape (n,), bool
            The shop's name of the column to its rows.
        """
        found = {}
        for name, words in _categories(features.schema).items():
            values = features.tabular[name]
            found[words] = ((values != "") & ~values.is_in(self.known[name].implode())).to_numpy()
        return found

    def unseen(self, features: FeatureSet) -> dict[str, NDArray[np.bool_]]:
        """Return what `strangers` does and, under ``brand``, the rows whose title has no known brand.

        A declared category that is called brand takes the place of the brands in titles.
        """
        brand = one_with_role(features.schema.columns, "brand")
        titles = {} if brand is None else {"brand": (features.tabular[brand] == "").to_numpy()}
        return titles | self.strangers(features)

    def unknown_words(self, frame: pl.DataFrame) -> float | None:
        """Return the share of the words of n texts (``catalog_content``) that the models do not know, 0 to 1.

        None where there are no words, or the models read none.
        """
        if not len(self.vocabulary):
            return None
        unknown, total = 0, 0
        for start in range(0, frame.height, CHUNK):
            plain = plain_text(pl.col("catalog_content").fill_null("")).str.to_lowercase()
            texts = frame.slice(start, CHUNK).select(text=plain)["text"]
            words = texts.str.extract_all(_WORD).list.explode(empty_as_null=False)
            unknown += int((~words.is_in(self.vocabulary.implode())).sum())
            total += len(words)
        return unknown / total if total else None

    def compare(
        self, frame: pl.DataFrame, features: FeatureSet, price: Floats, nearest: Floats | None
    ) -> dict[str, Any]:
        """Compare n rows with the reference.

        Parameters
        ----------
        frame : DataFrame
            n rows: ``catalog_content``.
        features : FeatureSet
            Features of these rows.
        price : ndarray of shape (n,), float64
            Their predicted prices.
        nearest : ndarray of shape (n,), float64, optional
            Cosine of their nearest comparables.

        Returns
        -------
        dict
            An unknown figure is None.

            - ``rows`` : n.
            - ``unseen`` : category to ``share`` of these rows and of the ``holdout``.
            - ``unknown_words`` : ``share`` of these rows' words and of the ``holdout``'s.
            - ``nearest`` : ``mean`` cosine of these rows and of ``training``, and ``far``, the share of these rows that
              are farther than nine tenths of the training rows.
            - ``limits`` : minimum number of ``rows`` for an index; index from which a level is ``moderate``,
              ``shifted``.
            - ``features`` : list with the largest index first, or None below `FEWEST_ROWS` rows. Each has ``feature``,
              ``words``, ``psi`` (the index), ``chance`` and ``level`` (stable, moderate, shifted).
        """
        unseen = {name: _share(rows) for name, rows in self.unseen(features).items()}
        asked = self.shares
        near = nearest if nearest is not None and len(nearest) else None
        return {
            "rows": frame.height,
            "unseen": {name: {"share": share, "holdout": asked["unseen"].get(name)} for name, share in unseen.items()},
            "unknown_words": {"share": self.unknown_words(frame), "holdout": asked["unknown_words"]},
            "nearest": {"mean": None if near is None else float(near.mean()), "training": asked["nearest"],
                        "far": None if near is None else float((near < asked["far"]).mean())},
            "limits": {"rows": FEWEST_ROWS, "moderate": MODERATE, "shifted": SHIFTED},
            "features": self._indices(features, price) if frame.height >= FEWEST_ROWS else None,
        }  # fmt: skip

    def _indices(self, features: FeatureSet, price: Floats) -> list[dict[str, Any]]:
        found = []
        for name, reference in self.distributions.items():
            column = pl.Series(price) if name == PRICE else features.tabular[name]
            counts = reference.count(column)
            psi, chance = stability_index(reference.counts, counts), chance_index(reference.counts, counts)
            level = "stable" if psi < MODERATE or psi <= chance else "moderate" if psi < SHIFTED else "shifted"
            found.append({"feature": name, "words": self.words[name], "psi": psi, "chance": chance, "level": level})
        return sorted(found, key=lambda row: (-row["psi"], row["feature"]))

    def save(self, folder: Path) -> None:
        """Write the reference into a folder, which is made where it is missing.

        The vocabulary is not written: it is the feature engineer's.
        """
        folder.mkdir(parents=True, exist_ok=True)
        distributions = [
            {"name": name, "words": self.words[name], **made.to_dict()} for name, made in self.distributions.items()
        ]
        write_json(folder / "reference.json", {"distributions": distributions, "shares": self.shares})
        tables = [pl.DataFrame({"column": name, "value": values}) for name, values in self.known.items()]
        empty = pl.DataFrame(schema={"column": pl.String, "value": pl.String})
        pl.concat([empty, *tables]).write_parquet(folder / "values.parquet")

    @classmethod
    def load(cls, folder: Path, vocabulary: pl.Series) -> "DriftReference":
        """Read what `save` wrote.

        Parameters
        ----------
        folder : Path
            As in `save`.
        vocabulary : Series of shape (v,), String
            As `known_words` gives it.

        Raises
        ------
        ArtifactError
            A file is missing or damaged.
        """
        path = folder / "reference.json"
        with reading(path, "a reference of the training rows"):
            record = read_json(path)
            rows: Sequence[Mapping[str, Any]] = record["distributions"]
            made = {str(row["name"]): read_distribution(dict(row)) for row in rows}
            words = {str(row["name"]): str(row["words"]) for row in rows}
            shares = {name: record["shares"][name] for name in ("unseen", "unknown_words", "nearest", "far")}
        table = read_table(folder / "values.parquet", ["column", "value"])
        known = {str(name): part["value"] for (name,), part in table.partition_by("column", as_dict=True).items()}
        return cls(made, words, known, vocabulary, shares)


def _compared(schema: FeatureSchema) -> list[Column]:
    """Columns whose distributions are compared.

    Directions in the space of words say nothing to a reader, a logarithm is distributed as its column is, and how often
    training has a brand is known of its own rows by construction.
    """
    logs = {log_words(column.words) for column in schema.columns}
    return [
        column for column in schema.columns
        if column.family != "svd" and not (column.family in _LEARNT and column.kind == NUMBER)
        and column.words not in logs
    ]  # fmt: skip


def _categories(schema: FeatureSchema) -> dict[str, str]:
    """Declared category to what the shop calls it; the levels of a path are the path's."""
    return {column.name: column.values for column in schema.columns if column.role == "category"}


def known_words(terms: Sequence[str]) -> pl.Series:
    """Return the single words among the terms of a vocabulary, Series of String, as `DriftReference` takes them."""
    return pl.Series("word", [term for term in terms if " " not in term], dtype=pl.String)


def _share(rows: NDArray[np.bool_]) -> float | None:
    return float(rows.mean()) if len(rows) else None
