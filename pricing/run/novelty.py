"""Novelty: whether a product is unlike anything that was learnt from.

The signals need neither a price nor a true category; each is higher the stranger a row is:

- pairs: share of the pairs of neighbouring words of its text that no other product has;
- words: one minus the cosine of the nearest product in the space of terms. The vocabulary leaves out what it does not
  know, so that the cosine of a strange text is too high; it is multiplied by the root of the share of known pairs;
- embedding: the mean over the `NEIGHBOURS` nearest products of the cosine of their own `NEIGHBOURS`-th nearest, less
  that of the row. A product in a sparse region is not strange there: the idea of the local outlier factor (Breunig,
  Kriegel, Ng and Sander, LOF: Identifying Density-Based Local Outliers, 2000);
- values: ``-ln`` of the share of ordinary rows whose value of a category no other product has, of the rarest such
  category; 0 without one;
- numbers: the distance of an amount or a declared number from the inner 98 % of its column, in widths of these.

Ordinary rows are the training rows, each judged as a new one is: it and its near-duplicates are left out. With p the
share of ordinary rows that are at least as strange by one signal, the score of a row is Fisher's (Statistical Methods
for Research Workers, 1932)::

    score = sum(-ln p)

A row is unlike anything learnt above the score that `SHARE` of the ordinary rows exceed, and where it has no word or
none that is known.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pricing.features.files import read_arrays
from pricing.features.load import FeatureSet
from pricing.features.neighbours import Neighbours
from pricing.features.schema import NUMBER, log_words
from pricing.run.seen_values import SeenValues, name_values
from pricing.run.word_pairs import WordPairs, list_words
from pricing.store.artifacts import read_json, write_json
from pricing.store.tables import reading

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

SHARE = 0.05
"""Share of ordinary rows that are called unlike anything learnt."""
NEIGHBOURS = 20


@dataclass(frozen=True)
class Novelty:
    """What is known of the products that were learnt from, and how strange ordinary products are.

    Attributes
    ----------
    pairs : WordPairs
        Of the training rows.
    values : SeenValues
        Of the training rows.
    ranges : dict of str to (float, float)
        Column of numbers to its percentiles 1 and 99.
    local : dict of str to ndarray of shape (m,), float64
        Space of embeddings to the cosine of the `NEIGHBOURS`-th nearest of each of the m indexed products.
    ordinary : dict of str to ndarray of shape (n,), float64
        Signal to its values on the n ordinary rows, sorted.
    limit : float
        Score above which a row is unlike anything learnt.
    """

    pairs: WordPairs
    values: SeenValues
    ranges: Mapping[str, tuple[float, float]]
    local: Mapping[str, Floats]
    ordinary: Mapping[str, Floats] = field(default_factory=dict)
    limit: float = np.inf

    @classmethod
    def fit(cls, texts: pl.Series, features: FeatureSet, groups: NDArray[Any], training: Mask) -> "Novelty":
        """Learn from the training rows among m labelled ones; no price is read.

        Parameters
        ----------
        texts : Series of shape (m,), String
            ``catalog_content``.
        features : FeatureSet
            The m labelled rows in the order of the index of comparables, each searched without its own group.
        groups : ndarray of shape (m,)
            Near-duplicates share one.
        training : ndarray of shape (m,), bool
            Rows that were learnt from.
        """
        learnt, read = features.take(training), texts.filter(pl.Series(training))
        codes = np.unique(groups[training], return_inverse=True)[1]
        ranges = {}
        for name in _numbers(features):
            found = learnt.tabular[name].cast(pl.Float64).drop_nans().drop_nulls().to_numpy()
            if len(found):
                ranges[name] = (float(np.quantile(found, 0.01)), float(np.quantile(found, 0.99)))
        spaces = {} if features.nearest is None else features.nearest.spaces
        local = {name: _cosine(found, NEIGHBOURS) for name, found in spaces.items() if name == "embedding"}
        pairs, values = WordPairs.fit(list_words(read), codes), SeenValues.fit(learnt, codes)
        made = cls(pairs, values, ranges, local)
        ordinary = {name: np.sort(signal) for name, signal in made._signals(list_words(read), learnt, True).items()}
        made = replace(made, ordinary=ordinary)
        return replace(made, limit=float(np.quantile(made.score(read, learnt, own=True), 1 - SHARE)))

    def score(self, texts: pl.Series, features: FeatureSet, *, own: bool = False) -> Floats:
        """Return how strange n rows are, ndarray of shape (n,), float64; parameters as in `judge`."""
        return np.sum(list(self._strangeness(list_words(texts), features, own).values()), axis=0)

    def judge(self, texts: pl.Series, features: FeatureSet, *, own: bool = False) -> pl.Series:
        """Say what is unlike anything learnt in n rows, each judged by itself.

        Parameters
        ----------
        texts : Series of shape (n,), String
            ``catalog_content``.
        features : FeatureSet
            The n rows, with their comparables.
        own : bool
            Whether these are training rows, each judged as if it had not been learnt from.

        Returns
        -------
        Series of shape (n,), String
            What is unlike; null where a row is like what was learnt.
        """
        words = list_words(texts)
        strange = self._strangeness(words, features, own)
        total = np.sum(list(strange.values()), axis=0)
        silent = _without_words(words, features)
        foreign = self.pairs.foreign(words)
        said: list[str | None] = [None] * len(features)
        rows = np.flatnonzero((total > self.limit) | silent | foreign)
        if not len(rows):
            return pl.Series("unlike", said, dtype=pl.String)
        columns = {column.name: column for column in features.schema.columns}
        plain = {log_words(column.words): column.words for column in features.schema.columns}
        flagged = features.take(rows)
        unseen, outside = self.values.unseen(flagged, own=own), self._outside(flagged)
        for place, row in enumerate(rows):
            if silent[row]:
                said[row] = "no words"
                continue
            grounds = sorted(strange, key=lambda name: (-strange[name][row], name))
            names = [name for name in grounds if strange[name][row] >= -np.log(SHARE)] or grounds[:1]
            shown = ["no known word"] if foreign[row] else []
            for name in names:
                if name == "values":
                    strangers = [columns[column] for column, found in unseen.items() if found[place]]
                    shown.append(f"unknown {name_values(strangers)}")
                elif name == "numbers":
                    farthest = max(outside, key=lambda column: float(outside[column][place]))
                    column = columns[farthest]
                    said_of = plain[column.words] if column.family == "declared" else column.role.removeprefix("log_")
                    shown.append(f"{said_of} beyond what was learnt")
                elif name != "pairs":
                    shown.append("no product like it")
                elif not foreign[row]:
                    shown.append("unknown words")
            said[row] = ", ".join(dict.fromkeys(shown))
        return pl.Series("unlike", said, dtype=pl.String)

    def _strangeness(self, words: pl.Series, features: FeatureSet, own: bool) -> dict[str, Floats]:
        """``-ln p`` of n rows, by signal."""
        found = {}
        for name, values in self._signals(words, features, own).items():
            ordered = self.ordinary[name]
            above = len(ordered) - np.searchsorted(ordered, values, side="left")
            found[name] = -np.log((above + 1) / (len(ordered) + 1))
        return found

    def _signals(self, words: pl.Series, features: FeatureSet, own: bool) -> dict[str, Floats]:
        """Signals of n rows, each of shape (n,), float64; without a row's own group where they are ``own``."""
        unknown = self.pairs.unknown(words, own=own)
        found = {"pairs": unknown}
        spaces = {} if features.nearest is None else features.nearest.spaces
        if "words" in spaces:
            found["words"] = 1 - _cosine(spaces["words"], 1) * np.sqrt(1 - unknown)
        for name, local in self.local.items():
            found[name] = _sparser(spaces[name], local)
        none = np.zeros(len(features))
        rarity = self.values.rarity
        rare = [np.where(rows, rarity[name], 0.0) for name, rows in self.values.unseen(features, own=own).items()]
        found["values"] = np.max([none, *rare], axis=0)
        found["numbers"] = np.max([none, *self._outside(features).values()], axis=0)
        return found

    def _outside(self, features: FeatureSet) -> dict[str, Floats]:
        found = {}
        for name, (low, high) in self.ranges.items():
            values = features.tabular[name].cast(pl.Float64).to_numpy()
            beyond = np.maximum(low - values, values - high) / (high - low if high > low else 1.0)
            found[name] = np.maximum(np.nan_to_num(beyond), 0)
        return found

    def save(self, folder: Path) -> None:
        """Write everything into a folder, which is made where it is missing: JSON, plain arrays, Parquet."""
        folder.mkdir(parents=True, exist_ok=True)
        ranges = {name: list(ends) for name, ends in self.ranges.items()}
        record = {"limit": self.limit, "rarity": dict(self.values.rarity), "ranges": ranges}
        write_json(folder / "novelty.json", record)
        arrays = {f"ordinary {name}": values for name, values in self.ordinary.items()}
        arrays |= {f"local {name}": values for name, values in self.local.items()}
        np.savez(folder / "novelty.npz", **arrays)  # type: ignore[arg-type]
        self.pairs.save(folder)
        self.values.save(folder / "values.parquet")

    @classmethod
    def load(cls, folder: Path) -> "Novelty":
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            A file is missing, damaged, or holds Python objects.
        """
        arrays = read_arrays(folder / "novelty.npz")
        pairs = WordPairs.load(folder)
        path = folder / "novelty.json"
        with reading(path, "what ordinary products are like"):
            record = read_json(path)
            rarity = {str(name): float(value) for name, value in record["rarity"].items()}
            ranges = {str(name): (float(low), float(high)) for name, (low, high) in record["ranges"].items()}
            values = SeenValues.load(folder / "values.parquet", rarity)
            local, ordinary = (
                {name.removeprefix(part): array for name, array in arrays.items() if name.startswith(part)}
                for part in ("local ", "ordinary ")
            )
            return cls(pairs, values, ranges, local, ordinary, float(record["limit"]))


def distrust(trust: pl.DataFrame, unlike: pl.Series) -> pl.DataFrame:
    """Return n rows of trust, low where a row is unlike anything learnt, whatever the models agree on.

    Parameters
    ----------
    trust : DataFrame
        n rows, as `pricing.run.trust.TrustRule.judge` gives them.
    unlike : Series of shape (n,), String
        As `Novelty.judge` gives it.
    """
    return trust.with_columns(unlike.alias("unlike")).select(
        trust=pl.when(pl.col("unlike").is_null()).then("trust").otherwise(pl.lit("low")),
        reason=pl.coalesce(pl.format("unlike anything learnt: {}", "unlike"), "reason"),
    )


def _numbers(features: FeatureSet) -> list[str]:
    """Columns that are the logarithm of an amount, a pack or a declared number."""
    logs = {log_words(column.words) for column in features.schema.columns}
    return [
        column.name for column in features.schema.columns
        if column.kind == NUMBER and column.words in logs
        and (column.family == "declared" or column.role in ("log_amount", "log_pack"))
    ]  # fmt: skip


def _without_words(words: pl.Series, features: FeatureSet) -> Mask:
    """Rows without a word beside those of their declared categories, which stand in the text too."""
    names = [column.name for column in features.schema.columns if column.role == "category"]
    if not names:
        return (words.list.len() == 0).to_numpy()
    stated = list_words(features.tabular.select(pl.concat_str(names, separator=" ")).to_series())
    listed = zip(words.to_list(), stated.to_list(), strict=True)
    return np.array([not Counter(own) - Counter(declared) for own, declared in listed], dtype=bool)


def _cosine(found: Neighbours, k: int) -> Floats:
    """Cosine of the k-th nearest of n rows, (n,); of the last one where fewer are kept."""
    return np.asarray(found.similarity[:, min(k, found.similarity.shape[1]) - 1], dtype=np.float64)


def _sparser(found: Neighbours, local: Floats) -> Floats:
    """How much sparser the products lie around n rows than around their neighbours, (n,)."""
    index = found.index[:, :NEIGHBOURS]
    around = np.where(index >= 0, local[index], local.mean()).mean(axis=1)
    return np.asarray(around - _cosine(found, NEIGHBOURS))
