"""Whether anybody's predictions are prices at all, and in the catalogue's unit."""

from collections.abc import Mapping

import numpy as np

from pricing.metrics.smape import Floats, smape_of_logs


def unit_warnings(members: Mapping[str, Floats], log_price: Floats, constant: float) -> list[str]:
    """Return a line for each model that is worse than one price for all rows, with the likeliest reason.

    Parameters
    ----------
    members : mapping of str to ndarray of shape (n,)
        Natural logs of the predictions as they were given.
    log_price : ndarray of shape (n,)
        True log prices.
    constant : float
        SMAPE of the best constant, in percent.
    """
    lines = []
    for name, values in members.items():
        own = smape_of_logs(values, log_price)
        if own > constant:
            lines.append(
                f"model {name!r} has SMAPE {own:.1f} on the labelled rows, worse than the best constant's "
                f"{constant:.1f}: {_reason(values, log_price, constant)}"
            )
    return lines


def _reason(values: Floats, log_price: Floats, constant: float) -> str:
    given = np.exp(values)
    # log prices of what the given numbers may be logarithms of
    readings = {
        "exp()": given,
        "expm1()": given + np.log(-np.expm1(-given)),
        "2 to the power": given * np.log(2),
        "10 to the power": given * np.log(10),
    }
    scores = {how: smape_of_logs(reading, log_price) for how, reading in readings.items()}
    best = min(scores, key=lambda how: scores[how])
    if scores[best] < constant:
        return f"are these log prices? {best} of them has {scores[best]:.1f}; give prices"
    apart = float(np.median(values - log_price))
    same_unit = smape_of_logs(values - apart, log_price)
    if same_unit < constant:
        factor = f"{np.exp(apart):.3g} times" if apart > 0 else f"1/{np.exp(-apart):.3g} of"
        found = f"they are some {factor} the prices, and in the prices' unit they would have {same_unit:.1f}"
        return f"are these prices of another unit? {found}"
    return "it tells less about a price than no model; look at how it was made, and whether its rows are these"
