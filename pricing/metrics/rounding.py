"""Prices as people read them: rounded to the catalogue's own decimals, never to fewer than three significant digits.

Rounding starts from the shortest decimal number that stands for the float, which is what a reader sees: 2.675 is
halfway between 2.67 and 2.68, though the float lies below it. Halves go to the even digit (2.68, and 2.665 to 2.66), so
that rounding moves no mean.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal

import numpy as np
import polars as pl

from pricing.metrics.smape import Floats

DEFAULT_DECIMALS = 2
"""Decimals where the catalogue's prices have no common ones."""
SIGNIFICANT_DIGITS = 3
"""Minimum number of significant digits: three keep a rounded price within 0.5 % of the unrounded one."""
_FINEST = 6
"""Maximum number of decimals that a catalogue can have of its own; prices per gram have four or five."""
# Share of the prices that must be whole multiples of the smallest unit. A few prices in cents make a catalogue one in
# cents; a tenth in half cents (4.255, averages and conversions of a marketplace) make none in tenths of a cent.
_SHARE_BELOW_DEFAULT, _SHARE = 0.95, 0.8
# all digits of any float, and of its rounding
_CONTEXT = Context(prec=700)


def catalogue_decimals(prices: Floats) -> int:
    """Number of decimals that the prices of a catalogue are written with.

    The smallest number, from 0 to 6, at which 80 % of the prices are whole multiples of the last decimal's unit;
    0 and 1 need 95 %.

    Parameters
    ----------
    prices : ndarray of shape (n,)
        Positive prices. Noise as floats have it (9.99000000001, or 9.989999771118164 from single precision) adds no
        decimals.

    Returns
    -------
    int
        2 where there are no prices, or more than a fifth of them have more than six decimals.
    """
    if not len(prices):
        return DEFAULT_DECIMALS
    for decimals in range(_FINEST + 1):
        unit = 10.0**-decimals
        # single precision keeps 24 bits, a relative 6e-8; a twentieth of the unit is a digit of its own
        noise = np.minimum(np.maximum(1e-3 * unit, 6e-8 * prices), 0.05 * unit)
        enough = _SHARE_BELOW_DEFAULT if decimals < DEFAULT_DECIMALS else _SHARE
        if np.mean(np.abs(prices - np.round(prices, decimals)) <= noise) >= enough:
            return decimals
    return DEFAULT_DECIMALS


def round_prices(prices: Floats, decimals: int) -> pl.Series:
    """Prices as text, rounded to the nearest.

    Parameters
    ----------
    prices : ndarray of shape (n,)
        Finite and positive.
    decimals : int
        Number of decimals; a price below 10 to the power of (2 - decimals) gets more, so that three significant digits
        are left.

    Returns
    -------
    Series of str, shape (n,)
        ``12.30``, ``0.00123``, ``1500``; never zero, never with an exponent.
    """
    return pl.Series([_round(price, decimals, ROUND_HALF_EVEN) for price in prices.tolist()], dtype=pl.String)


def round_around(prices: Floats, ends: Floats, decimals: int, *, upper: bool) -> pl.Series:
    """Ends of intervals as text, rounded outward: the interval around the rounded price is never the narrower one.

    Parameters
    ----------
    prices, ends : ndarray of shape (n,)
        Prices and one end of the intervals around them, unrounded; finite and positive.
    decimals : int
        As `round_prices`.
    upper : bool
        True for the upper ends, which are rounded up; the lower ones are rounded down, and stay above zero.

    Returns
    -------
    Series of str, shape (n,)
    """
    direction, farther = (ROUND_CEILING, max) if upper else (ROUND_FLOOR, min)
    rounded = []
    for price, end in zip(prices.tolist(), ends.tolist(), strict=True):
        middle = _round(price, decimals, ROUND_HALF_EVEN)
        rounded.append(farther(_round(end, decimals, direction), middle, key=Decimal))
    return pl.Series(rounded, dtype=pl.String)


def shown_price(price: float, decimals: int, sign: str = "") -> str:
    """Return a price as text for people: as `round_prices`, behind a currency's sign, with commas between thousands.

    Examples
    --------
    >>> shown_price(1234.5, 2), shown_price(0.0123456, 2, "€"), shown_price(1234.5, 0)
    ('1,234.50', '€0.0123', '1,234')
    """
    return f"{sign}{Decimal(_round(float(price), decimals, ROUND_HALF_EVEN)):,f}"


def _round(price: float, decimals: int, rounding: str) -> str:
    exponent = int(f"{price:.{SIGNIFICANT_DIGITS - 1}e}".partition("e")[2])
    places = max(decimals, SIGNIFICANT_DIGITS - 1 - exponent)
    return f"{Decimal(repr(price)).quantize(Decimal(1).scaleb(-places), rounding, _CONTEXT):f}"
