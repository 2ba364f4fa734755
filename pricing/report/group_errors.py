"""Where a run errs: the errors of groups of products, as far as a group is large enough to say something."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from pricing.metrics.price_metrics import evaluate_predictions
from pricing.metrics.segments import DECLARED, SEGMENTS, segment_metrics
from pricing.report.run_folder import RunFolder

FEWEST = 20
"""Minimum number of products of a group whose errors are shown: the share within 25 % of 20 products has a standard
error of 11 points."""
_PARTS = 5


@dataclass(frozen=True)
class GroupErrors:
    """Errors of the predictions for one group.

    Attributes
    ----------
    name : str
        Of the group; "" where ``low`` and ``high`` say it.
    rows : int
        Number of products, at least `FEWEST`.
    smape, mdape, bias, within_25 : float
        As `pricing.metrics.price_metrics.evaluate_predictions` has them, in percent.
    low, high : float
        Lowest and highest price of the group, where groups are made by price.
    """

    name: str
    rows: int
    smape: float
    mdape: float
    bias: float
    within_25: float
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True)
class Segments:
    """Errors by the values of one column.

    Attributes
    ----------
    name : str
        What the reader calls the column: the user's own name where the catalogue declares it.
    groups : list of GroupErrors
        Largest group first.
    small, small_rows : int
        Number of groups of under `FEWEST` products, which are left out, and of their products.
    """

    name: str
    groups: list[GroupErrors]
    small: int
    small_rows: int


def errors_by_segment(folder: RunFolder) -> list[Segments]:
    """Return the errors by category, brand, image and pack; empty where nothing is known of the products.

    Categories are the user's own columns. Only a catalogue without such columns is shown by clusters of its texts.
    """
    if folder.judged is None or folder.products is None:
        return []
    found = segment_metrics(folder.judged, folder.products)
    if any(column.startswith(DECLARED) for column in found):
        found.pop("category", None)
    tables = [_segments(column, groups) for column, groups in found.items()]
    # one group says nothing of where it errs
    return [table for table in tables if len(table.groups) > 1]


def errors_by_price(rows: pl.DataFrame | None, column: str) -> list[GroupErrors]:
    """Return the errors in fifths by price, cheapest first; fewer parts where these would have under `FEWEST` products.

    Parameters
    ----------
    rows : DataFrame or None
        ``price`` and ``stack`` (prices).
    column : str
        ``price`` or ``stack``: by listed or by predicted price.
    """
    if rows is None or len(rows) < 2 * FEWEST:
        return []
    prices = rows[column].to_numpy()
    count = min(_PARTS, len(rows) // FEWEST)
    part = np.searchsorted(np.quantile(prices, np.linspace(0, 1, count + 1)[1:-1]), prices, side="left")
    groups = []
    for number in np.unique(part):
        own = part == number
        if own.sum() >= FEWEST:  # equal prices never part
            figures = evaluate_predictions(rows["price"].to_numpy()[own], rows["stack"].to_numpy()[own])
            groups.append(_group("", figures, float(prices[own].min()), float(prices[own].max())))
    return groups


def regresses_to_the_mean(groups: Sequence[GroupErrors]) -> bool:
    """Whether the cheapest of groups by listed price are predicted high and the dearest low."""
    return len(groups) > 1 and groups[0].bias > 1 and groups[-1].bias < -1


def _segments(column: str, groups: Mapping[str, Mapping[str, float]]) -> Segments:
    name = column.removeprefix(DECLARED) if column.startswith(DECLARED) else SEGMENTS[column]
    small = [figures["rows"] for figures in groups.values() if figures["rows"] < FEWEST]
    shown = [_group(value, figures) for value, figures in groups.items() if figures["rows"] >= FEWEST]
    return Segments(name, shown, len(small), int(sum(small)))


def _group(name: str, figures: Mapping[str, float], low: float = 0.0, high: float = 0.0) -> GroupErrors:
    smape, mdape, bias, within = (float(figures[key]) for key in ("smape", "mdape", "bias", "within_25"))
    return GroupErrors(name, int(figures["rows"]), smape, mdape, bias, within, low, high)
