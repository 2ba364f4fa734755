r"""What the trees learn of a log price, and the way back to it.

With :math:`y` the log price, :math:`a` the row's log amount and :math:`\bar a` the mean log amount of its family (mass,
volume, count ...) over the learning rows, :math:`a - \bar a` within what the learning rows have, the trees learn

.. math:: z = y - \gamma\,(a - \bar a) - c,

c the median that centres it. At :math:`\gamma = 0` that is the log price, at 1 the log price per unit, between them the
log price less what an elasticity of :math:`\gamma` gives to the amount. A row without an amount keeps its log price;
:math:`\bar a` makes it, and rows of other units, comparable with the rest. Every loss used here (SMAPE too, see
`pricing.members.trees.objectives`) reads only the difference of prediction and label, which the shift leaves as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pricing.errors import SchemaError
from pricing.members.trees.matrix import Matrix, TableEncoder, Values
from pricing.metrics.smape import Floats


@dataclass(frozen=True)
class Target:
    """The shift between log prices and what the trees predict.

    Attributes
    ----------
    center : float
        Median of the shifted log prices of the training rows; boosting starts there.
    amount_exponent : float
        Gamma above, 0 to 1.
    mean_log_amount : dict of str to float
        Of each family that has an amount in the training rows; natural log of its base unit. Empty at gamma 0.
    least, greatest : float
        Of a - a-bar over the training rows. Trees are flat beyond what they saw, and the shift must be too: a barcode
        read as an amount must not price a row.
    """

    center: float
    amount_exponent: float = 0.0
    mean_log_amount: dict[str, float] = field(default_factory=dict)
    least: float = 0.0
    greatest: float = 0.0

    @classmethod
    def fit(cls, train: Matrix, encoder: TableEncoder, amount_exponent: float) -> Target:
        """Read the shift off n training rows.

        Raises
        ------
        SchemaError
            An exponent over 0 for features without amounts.
        """
        if amount_exponent == 0:
            return cls(float(np.median(train.labels)))
        if encoder.amount is None:
            raise SchemaError(
                f"amount_exponent {amount_exponent:g} reads the log amount and its family, and none of the "
                f"{len(encoder.columns)} features has these roles; set it to 0, or build the features with the "
                "FeatureEngineer"
            )
        amount, family = _amounts(train.values, encoder)
        means = {
            name: float(amount[own].mean())
            for code, name in enumerate(encoder.categories[encoder.amount[1]])
            if (own := (family == code) & ~np.isnan(amount)).any()
        }
        apart = cls(0.0, amount_exponent, means)._apart(train.values, encoder)
        uncentred = cls(0.0, amount_exponent, means, float(apart.min()), float(apart.max()))
        return replace(uncentred, center=float(np.median(uncentred.learnt(train, encoder))))

    def learnt(self, rows: Matrix, encoder: TableEncoder) -> Floats:
        """What the trees learn of n labelled rows, of shape (n,)."""
        return rows.labels - self.shift(rows.values, encoder)

    def log_price(self, predicted: Floats, values: Values, encoder: TableEncoder) -> Floats:
        """Log prices of n encoded rows from what the trees predict of them, of shape (n,)."""
        return self.shift(values, encoder) + predicted

    def shift(self, values: Values, encoder: TableEncoder) -> Floats | float:
        """Log price of n encoded rows less what the trees learn of it, of shape (n,); a number without an exponent."""
        if self.amount_exponent == 0:
            return self.center
        return self.center + self.amount_exponent * np.clip(self._apart(values, encoder), self.least, self.greatest)

    def _apart(self, values: Values, encoder: TableEncoder) -> Floats:
        """Log amounts less their family's mean, 0 where there is none, of shape (n,)."""
        assert encoder.amount is not None
        amount, family = _amounts(values, encoder)
        names = encoder.categories[encoder.amount[1]]
        means = np.array([self.mean_log_amount.get(name, np.nan) for name in names] + [np.nan])
        apart = amount - means[family]
        return np.where(np.isnan(apart), 0.0, apart)


def _amounts(values: Values, encoder: TableEncoder) -> tuple[Floats, NDArray[np.int64]]:
    """Log amounts, NaN where unknown, and codes of the families, -1 where unseen; of shape (n,)."""
    assert encoder.amount is not None
    amount, family = encoder.amount
    positions = [encoder.numeric.index(amount), len(encoder.numeric) + encoder.categorical.index(family)]
    chosen = values[:, positions]
    both = (chosen if isinstance(chosen, np.ndarray) else chosen.toarray()).astype(np.float64)
    return both[:, 0], np.where(np.isnan(both[:, 1]), -1, both[:, 1]).astype(np.int64)
