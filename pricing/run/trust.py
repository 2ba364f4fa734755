"""How far a row's price may be trusted: high, fair or low, with a reason.

The SMAPE of a row is expected from two signals that need no price: the width of its 80 % interval in log price, and the
cosine of its nearest comparable::

    e = c + w * width + d * (1 - cosine)

c, w and d are fitted to the SMAPE of the out-of-fold rows by bounded least squares (Stark and Parker, Bounded-Variable
Least Squares, 1995). w and d are not below 0: trust never rises with the width and never falls with the cosine.

Trust is high where e is at most `HIGH` times the mean SMAPE of these rows, and low from `LOW` times on. Models may
agree on what none of them knows, and hardly any row measures that. So a row whose width or distance is among the worst
tenth is not high, and one beyond the worst hundredth is low. The hold-out takes no part in the fit.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pricing.errors import ArtifactError
from pricing.features.schema import Column, with_role
from pricing.metrics.price_metrics import calculate_smape
from pricing.metrics.smape import Floats
from pricing.store.artifacts import read_json
from pricing.store.tables import reading

HIGH, LOW = 0.9, 1.2
"""Limits in multiples of the mean SMAPE. Of 1,035 held-out real products a third is high and a fifth low; SMAPE is 38
where trust is high, 54 where it is fair, 69 where it is low."""
LEVELS = ("high", "fair", "low")
_GROUNDS = {"width": ("wide interval", "narrow interval"), "distance": ("no near comparable", "near comparable")}
"""Signal to what is said of its worst and its best quarter."""
_PLAIN = {"high": "rather narrow interval", "fair": "usual interval", "low": "rather wide interval"}
"""Level to what is said where no signal is in its best or worst quarter."""


@dataclass(frozen=True)
class Signal:
    """One signal on the out-of-fold rows: its effect on the error, and its distribution.

    Attributes
    ----------
    slope : float
        Percentage points of SMAPE per unit of the signal, not below 0. A higher signal is never better.
    mean : float
        Mean of the signal, in log price for the width; distances have no unit.
    low, high : float
        Lower and upper quartile.
    far, beyond : float
        What a tenth and a hundredth of the rows exceed.
    """

    slope: float
    mean: float
    low: float
    high: float
    far: float
    beyond: float


@dataclass(frozen=True)
class TrustRule:
    """Expected SMAPE of a row by its signals, and the limits between the levels of trust.

    Attributes
    ----------
    rows : int
        Number of out-of-fold rows that the rule was fitted on.
    mean : float
        Mean SMAPE of these rows, in percent: what is expected at the means of both signals.
    width : Signal
        Width of the 80 % interval in log price.
    distance : Signal or None
        One minus the cosine of the nearest comparable; None where products are not compared.
    shares : mapping of str to float
        Level (high, fair, low) to its share of these rows, 0 to 1.
    """

    rows: int
    mean: float
    width: Signal
    distance: Signal | None
    shares: Mapping[str, float]

    @classmethod
    def fit(cls, smape: Floats, width: Floats, nearest: Floats | None) -> "TrustRule":
        """Fit the rule on n rows, each predicted by models that have not seen it.

        Parameters
        ----------
        smape : ndarray of shape (n,), float64
            SMAPE of each row, in percent, 0 to 200.
        width : ndarray of shape (n,), float64
            Width of the 80 % interval in log price.
        nearest : ndarray of shape (n,), float64, optional
            Cosine of the nearest comparable.

        Returns
        -------
        TrustRule
            With the shares of its levels among these rows.

        Examples
        --------
        >>> width = np.linspace(0.5, 1.5, 101)
        >>> rule = TrustRule.fit(50 * width, width, None)
        >>> round(rule.mean), round(rule.width.slope), rule.levels(np.array([0.6, 1.0, 1.4]), None).tolist()
        (50, 50, ['high', 'fair', 'low'])
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
        """Return the expected SMAPE of n rows in percent, ndarray of shape (n,), float64; parameters as in `fit`."""
        error = self.mean + self.width.slope * (width - self.width.mean)
        if self.distance is not None and nearest is not None:
            error = error + self.distance.slope * (1 - nearest - self.distance.mean)
        return error

    def levels(self, width: Floats, nearest: Floats | None) -> NDArray[np.str_]:
        """Return the level of n rows, ndarray of shape (n,), str; parameters as in `fit`."""
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
        unknown : mapping of str to ndarray of shape (n,), bool
            Declared category, such as brand, to the rows whose value no training row has.

        Returns
        -------
        DataFrame
            n rows: ``trust`` (high, fair, low) and ``reason`` (its grounds in words), both String.
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
        """Compare n rows with the out-of-fold rows.

        Parameters
        ----------
        trust : Series of shape (n,), String
            As `judge` gives it.

        Returns
        -------
        dict
            Level to its ``share`` of the n rows (None where n is 0) and of the out-of-fold rows (``training``).
        """
        rows = len(trust)
        return {
            level: {"share": int((trust == level).sum()) / rows if rows else None, "training": share}
            for level, share in self.shares.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as JSON holds it, with the limits ``high`` and ``low`` of the expected SMAPE in percent."""
        return {**asdict(self), "high": HIGH * self.mean, "low": LOW * self.mean}

    @classmethod
    def load(cls, path: Path) -> "TrustRule":
        """Read a model folder's trust.json.

        Raises
        ------
        ArtifactError
            The file is missing or damaged.
        """
        with reading(path, "a rule of trust"):
            return cls.from_dict(read_json(path))

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "TrustRule":
        """Return the rule that `to_dict` gave.

        Raises
        ------
        ArtifactError
            There is no width, a number is not finite, or a slope is below 0.
        KeyError, TypeError, ValueError
            A key is missing, or a value is no number.
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
    """Return how near the nearest comparable of each row is: the highest cosine, averaged over the spaces.

    It is 0 in a space in which the row has no comparable.

    Parameters
    ----------
    price : DataFrame
        n rows of price features.
    columns : iterable of Column
        Schema of the price features.

    Returns
    -------
    ndarray of shape (n,), float64, or None
        None where products are compared in no space.
    """
    names = with_role(columns, "similarity")
    if not names:
        return None
    total = np.zeros(price.height)
    for name in names:
        # a row with no word or character of any labelled row has no comparable there
        total += price[name].cast(pl.Float64).fill_nan(0.0).fill_null(0.0).to_numpy()
    return total / len(names)


def calibration(levels: NDArray[np.str_], price: Floats, predicted: Floats) -> list[dict[str, Any]]:
    """Return what the error of each level of trust is, by which a rule is checked.

    Parameters
    ----------
    levels : ndarray of shape (n,), str
        As `TrustRule.levels` gives them.
    price, predicted : ndarray of shape (n,), float64
        True and predicted prices.

    Returns
    -------
    list of dict
        ``trust``, ``rows`` (number of rows) and ``smape`` (in percent; None without rows), highest trust first.
    """
    found = []
    for level in LEVELS:
        rows = levels == level
        smape = calculate_smape(price[rows], predicted[rows]) if rows.any() else None
        found.append({"trust": level, "rows": int(rows.sum()), "smape": smape})
    return found
