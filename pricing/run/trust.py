"""How far a row's price may be trusted: high, fair or low, with a reason.

The error of a row is expected from two things that need no price: the width of its 80 % interval in log price, and the
cosine of its nearest comparable. ``e = c + w * width + d * (1 - cosine)`` is fitted to the SMAPE of the out-of-fold
rows by least squares with w and d not below zero, so that trust never rises with the width and never falls with the
cosine. Trust is high where e is at most `HIGH` times the mean SMAPE of these rows, low from `LOW` times on. Where
hardly a row was, nothing was measured, and models may agree on what they do not know: a row whose width or distance is
among the worst tenth is not high, and one beyond the worst hundredth is low. The hold-out is only reported.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pricing.errors import ArtifactError
from pricing.features.schema import Column, with_role
from pricing.metrics.price_metrics import calculate_smape

Floats = NDArray[np.float64]

HIGH, LOW = 0.9, 1.2
"""On real rows these set a third of the products apart as high and a fifth as low, at SMAPE 38, 55 and 68."""
LEVELS = ("high", "fair", "low")
_GROUNDS = {"width": ("wide interval", "narrow interval"), "distance": ("no near comparable", "near comparable")}
"""Signal to what is said of its worst and its best quarter."""
_PLAIN = {"high": "rather narrow interval", "fair": "usual interval", "low": "rather wide interval"}
"""Level to what is said where no signal is in its best or worst quarter."""


@dataclass(frozen=True)
class Signal:
    """What is known of one signal on the out-of-fold rows.

    Attributes
    ----------
    slope : float
        Percentage points of SMAPE per unit, not below 0; a higher value is never better.
    mean, low, high, far, beyond : float
        Mean, lower and upper quartile, and what a tenth and a hundredth of the rows exceed.
    """

    slope: float
    mean: float
    low: float
    high: float
    far: float
    beyond: float


@dataclass(frozen=True)
class TrustRule:
    """Expected error of a row, and its limits.

    Attributes
    ----------
    rows : int
        Number of out-of-fold rows that it was fitted on.
    mean : float
        Their mean SMAPE, which is what is expected at the means of both signals.
    width : Signal
        Width of the 80 % interval in log price.
    distance : Signal or None
        One minus the cosine of the nearest comparable; None where products are not compared.
    shares : mapping of str to float
        Level to its share of these rows.
    """

    rows: int
    mean: float
    width: Signal
    distance: Signal | None
    shares: Mapping[str, float]

    @classmethod
    def fit(cls, smape: Floats, width: Floats, nearest: Floats | None) -> "TrustRule":
        """Fit on n rows that no model of theirs has seen.

        Parameters
        ----------
        smape : ndarray of shape (n,)
            SMAPE of each row, in percent.
        width : ndarray of shape (n,)
            Width of the 80 % interval in log price.
        nearest : ndarray of shape (n,), optional
            Cosine of the nearest comparable.
        """
        from scipy.optimize import lsq_linear

        signals = [width] if nearest is None else [width, 1 - nearest]
        centred = np.column_stack([signal - signal.mean() for signal in signals])
        slopes = lsq_linear(centred, smape - smape.mean(), bounds=(0, np.inf), method="bvls").x
        found = [
            Signal(float(slope), float(signal.mean()), *np.quantile(signal, (0.25, 0.75, 0.9, 0.99)).tolist())
            for slope, signal in zip(slopes, signals, strict=True)
        ]
        rule = cls(len(smape), float(smape.mean()), found[0], found[1] if len(found) > 1 else None, {})
        levels = rule.levels(width, nearest)
        return cls(**{**vars(rule), "shares": {level: float((levels == level).mean()) for level in LEVELS}})

    def expected(self, width: Floats, nearest: Floats | None) -> Floats:
        """Return the expected SMAPE of n rows, ndarray of shape (n,); parameters as in `fit`."""
        error = self.mean + self.width.slope * (width - self.width.mean)
        if self.distance is not None and nearest is not None:
            error = error + self.distance.slope * (1 - nearest - self.distance.mean)
        return error

    def levels(self, width: Floats, nearest: Floats | None) -> NDArray[np.str_]:
        """Return the level of n rows, ndarray of shape (n,); parameters as in `fit`."""
        error = self.expected(width, nearest)
        far, beyond = width > self.width.far, width > self.width.beyond
        if self.distance is not None and nearest is not None:
            far, beyond = far | (1 - nearest > self.distance.far), beyond | (1 - nearest > self.distance.beyond)
        return np.select(
            [beyond | (error >= LOW * self.mean), far | (error > HIGH * self.mean)], LEVELS[:0:-1], LEVELS[0]
        )

    def judge(self, width: Floats, nearest: Floats | None, unknown: Mapping[str, NDArray[np.bool_]]) -> pl.DataFrame:
        """Judge n rows, each by itself.

        Parameters
        ----------
        width, nearest
            As in `fit`.
        unknown : mapping of str to ndarray of shape (n,)
            What is a category, such as brand, to the rows whose value training did not know.

        Returns
        -------
        DataFrame
            ``trust`` (high, fair, low) and ``reason``, its grounds in words.
        """
        level = pl.col("trust")
        signals = [("width", width, self.width)]
        if self.distance is not None and nearest is not None:
            signals.append(("distance", 1 - nearest, self.distance))
        names = {name: f"unknown {name}" for name in unknown}
        table = pl.DataFrame(
            {"trust": self.levels(width, nearest), **{name: values for name, values, _ in signals},
             **{names[name]: values for name, values in unknown.items()}}
        )  # fmt: skip
        grounds = []
        for name, _, signal in signals:
            bad, good = _GROUNDS[name]
            worst = signal.high if signal.slope > 0 else signal.far
            grounds.append(pl.when((pl.col(name) > worst) & (level != "high")).then(pl.lit(bad)))
            if signal.slope > 0:
                grounds.append(pl.when((pl.col(name) < signal.low) & (level != "low")).then(pl.lit(good)))
        strangers = [pl.when(column).then(pl.lit(name)) for name, column in names.items()]
        if strangers:
            listed = pl.concat_str(strangers, separator=" and ", ignore_nulls=True)
            grounds.append(pl.when(listed != "").then(pl.format("unknown {}", listed)))
        said = pl.concat_str([*grounds, pl.lit(None, pl.String)], separator=", ", ignore_nulls=True)
        return table.select("trust", reason=pl.when(said != "").then(said).otherwise(level.replace_strict(_PLAIN)))

    def compare(self, trust: pl.Series) -> dict[str, dict[str, float | None]]:
        """Return each level's ``share`` of n rows, None without rows, and of the out-of-fold rows, ``training``."""
        rows = len(trust)
        return {
            level: {"share": int((trust == level).sum()) / rows if rows else None, "training": share}
            for level, share in self.shares.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it, with the limits ``high`` and ``low`` of the expected SMAPE for the reader."""
        return {**asdict(self), "high": HIGH * self.mean, "low": LOW * self.mean}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "TrustRule":
        """The reverse of `to_dict`.

        Raises
        ------
        ArtifactError
            A number that is not finite, or a slope below 0.
        """
        width, distance = (
            None if record[name] is None else Signal(**{key: float(value) for key, value in record[name].items()})
            for name in ("width", "distance")
        )
        if width is None:
            raise ArtifactError("the rule of trust has no width; build the run again")
        shares = {level: float(record["shares"][level]) for level in LEVELS}
        rule = cls(int(record["rows"]), float(record["mean"]), width, distance, shares)
        signals = [signal for signal in (width, distance) if signal is not None]
        numbers = [rule.mean, *shares.values(), *(value for signal in signals for value in vars(signal).values())]
        if not np.isfinite(numbers).all() or min(signal.slope for signal in signals) < 0:
            raise ArtifactError("the rule of trust is damaged: expected finite numbers and slopes not below 0")
        return rule


def nearest_cosines(price: pl.DataFrame, columns: Iterable[Column]) -> Floats | None:
    """Return how near the nearest comparable is: the mean over the spaces of the highest cosine, ndarray of shape (n,).

    Parameters
    ----------
    price : DataFrame
        n rows of price features.
    columns : iterable of Column
        What its columns are; None is returned where they compare products in no space.
    """
    names = with_role(columns, "similarity")
    if not names:
        return None
    total = np.zeros(price.height)
    for name in names:
        total += price[name].cast(pl.Float64).to_numpy()
    return total / len(names)


def calibration(levels: NDArray[np.str_], price: Floats, predicted: Floats) -> list[dict[str, Any]]:
    """Return ``trust``, ``rows`` and ``smape`` of each level, highest trust first; a level without rows has no figure.

    Parameters
    ----------
    levels : ndarray of shape (n,)
        As `TrustRule.levels`.
    price, predicted : ndarray of shape (n,)
        True and predicted prices.
    """
    found = []
    for level in LEVELS:
        rows = levels == level
        smape = calculate_smape(price[rows], predicted[rows]) if rows.any() else None
        found.append({"trust": level, "rows": int(rows.sum()), "smape": smape})
    return found
