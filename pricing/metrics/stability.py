"""Population stability index: how far the distribution of a column has moved from that of a reference.

With e and a the shares of the reference's and of the new rows in each of b bins::

    PSI = sum (a - e) ln(a / e)

This is the symmetric divergence of Kullback and Leibler (On Information and Sufficiency, 1951), in nats. Name and
limits are those of credit scoring (Siddiqi, Credit Risk Scorecards, 2006): below `MODERATE` a column is stable, from
`SHIFTED` on its distribution is another one. A bin with less than half a row of the smaller sample counts as half a
row.

Two samples of one distribution, of n and m rows, differ as well. Their index is about (1 / n + 1 / m) times a
chi-squared variable with b - 1 degrees of freedom (Yurdakul and Naranjo, Statistical Properties of the Population
Stability Index, 2020). `chance_index` is what chance alone exceeds once in a thousand columns.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

MODERATE, SHIFTED = 0.1, 0.25
"""Indices from which a column has moved moderately, and is of another distribution."""
FEWEST_ROWS = 50
"""Minimum number of new rows for an index: with fewer, chance alone exceeds 0.5 in ten bins."""
_CHANCE = 0.999
_TOP = 20
"""Maximum number of values of a category with bins of their own."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class NumberDistribution:
    """Bins between the deciles of a column of numbers; missing values have a bin of their own.

    Attributes
    ----------
    edges : ndarray of shape (k,), float32
        Upper ends of all bins of numbers but the last, rising; each belongs to its bin.
    counts : ndarray of shape (k + 2,), int64
        Number of rows of the reference in each bin; the last bin is that of missing values.
    """

    edges: NDArray[np.float32]
    counts: Ints

    @classmethod
    def of(cls, column: pl.Series) -> "NumberDistribution":
        """Bin the reference.

        A value that is two deciles at least has a bin of its own, so that a flag has one for each of its values.

        Parameters
        ----------
        column : Series of shape (n,)
            Numbers; NaN or null where missing.

        Examples
        --------
        >>> NumberDistribution.of(pl.Series([0, 0, 0, 0, 0, 0, 0, 1, 1, None])).to_dict()["counts"]
        [0, 7, 0, 2, 0, 1]
        """
        known = _numbers(column)
        known = known[~np.isnan(known)]
        edges = np.zeros(0, dtype=np.float32)
        if len(known):
            deciles = np.quantile(known, np.arange(1, 10) / 10, method="inverted_cdf")
            values, times = np.unique(deciles, return_counts=True)
            edges = np.union1d(values, np.nextafter(values[times > 1], np.float32(-np.inf)))
        bins = cls(edges, np.zeros(len(edges) + 2, dtype=np.int64))
        return cls(edges, bins.count(column))

    def count(self, column: pl.Series) -> Ints:
        """Return the number of rows of another column in each bin, ndarray of the shape of ``counts``, int64."""
        values = _numbers(column)
        place = np.where(np.isnan(values), len(self.edges) + 1, np.searchsorted(self.edges, values, side="left"))
        return np.bincount(place, minlength=len(self.edges) + 2)

    def to_dict(self) -> dict[str, Any]:
        """Return the bins as JSON holds them."""
        return {"edges": self.edges.tolist(), "counts": self.counts.tolist()}


@dataclass(frozen=True)
class ValueDistribution:
    """Bins of a column of categories: one for each frequent value, one for all others, one for missing values.

    Attributes
    ----------
    values : tuple of str
        The k values with bins of their own; "" is a missing value.
    counts : ndarray of shape (k + 1,), int64
        Number of rows of the reference in each bin; the last bin is that of all other values.
    """

    values: tuple[str, ...]
    counts: Ints

    @classmethod
    def of(cls, column: pl.Series, *, missing: bool = True) -> "ValueDistribution":
        """Bin the reference; the 20 most frequent values have bins of their own.

        Parameters
        ----------
        column : Series of shape (n,), String
            Categories; "" where missing.
        missing : bool
            Whether missing values have a bin of their own; otherwise they are among the other values.
        """
        found = column.alias("value").value_counts().filter(pl.col("value") != "")
        frequent = found.sort(["count", "value"], descending=[True, False]).head(_TOP)["value"].sort().to_list()
        values = (*([""] if missing else []), *frequent)
        bins = cls(values, np.zeros(len(values) + 1, dtype=np.int64))
        return cls(values, bins.count(column))

    def count(self, column: pl.Series) -> Ints:
        """Return the number of rows of another column in each bin, ndarray of the shape of ``counts``, int64."""
        numbers = {value: number for number, value in enumerate(self.values)}
        place = column.replace_strict(numbers, default=len(numbers), return_dtype=pl.Int64)
        return np.bincount(place.to_numpy(), minlength=len(numbers) + 1)

    def to_dict(self) -> dict[str, Any]:
        """Return the bins as JSON holds them."""
        return {"values": list(self.values), "counts": self.counts.tolist()}


Distribution = NumberDistribution | ValueDistribution


def read_distribution(record: dict[str, Any]) -> Distribution:
    """Return the distribution that ``to_dict`` gave.

    Raises
    ------
    KeyError
        Counts or bins are missing.
    ValueError
        There are more or fewer counts than bins.
    """
    counts = np.array(record["counts"], dtype=np.int64)
    bins = record["edges"] if "edges" in record else record["values"]
    if counts.shape != (len(bins) + (2 if "edges" in record else 1),):
        raise ValueError(f"{len(counts)} counts of {len(bins)} bins")
    if "edges" in record:
        return NumberDistribution(np.array(bins, dtype=np.float32), counts)
    return ValueDistribution(tuple(str(value) for value in bins), counts)


def stability_index(expected: Ints, actual: Ints) -> float:
    """Return the population stability index of two samples, 0 where their shares are equal.

    Parameters
    ----------
    expected, actual : ndarray of shape (b,), int64
        Number of rows of the reference and of the new rows in each bin; neither sample is empty.

    Examples
    --------
    >>> round(stability_index(np.array([50, 50]), np.array([80, 20])), 3)
    0.416
    """
    rows = expected.sum(), actual.sum()
    e, a = (np.maximum(counts / total, 0.5 / min(rows)) for counts, total in zip((expected, actual), rows, strict=True))
    return float(((a - e) * np.log(a / e)).sum())


def chance_index(expected: Ints, actual: Ints) -> float:
    """Return the index that two samples of one distribution exceed once in a thousand times.

    Parameters
    ----------
    expected, actual
        As in `stability_index`. Bins that are empty in both count for nothing.
    """
    from scipy.stats import chi2

    bins = np.count_nonzero(expected + actual)
    return float((1 / expected.sum() + 1 / actual.sum()) * chi2.ppf(_CHANCE, max(bins - 1, 1)))


def _numbers(column: pl.Series) -> NDArray[np.float32]:
    return column.cast(pl.Float32).fill_null(float("nan")).to_numpy()
