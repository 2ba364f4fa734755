"""Plots of a run, each a matplotlib figure of its own.

Prices are on log axes throughout: a factor of two is the same length everywhere. Errors are of the predictions: above 1
(or 0 %) a prediction is higher than the listed price.
"""

from collections.abc import Mapping
from textwrap import fill
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pricing.metrics.price_metrics import smape_per_row
from pricing.metrics.smape import Floats
from pricing.report.plot_style import (
    BLUE,
    COUNTS,
    GREY,
    RED,
    SKY,
    in_currency,
    in_words,
    line_style,
    name_axis,
    new_figure,
    price_ticks,
    ratio_ticks,
)  # fmt: skip

_METRICS = {"smape": "SMAPE, %", "mae": "mean absolute log error", "rmse": "root mean square log error"}
"""What a learning curve's metric is called on its axis."""


def plot_predictions(
    price: Floats, predicted: Floats, *, title: str = "Prices of the hold-out", sign: str = ""
) -> Figure:
    """Predicted against listed price, and their ratio against the predicted price.

    Parameters
    ----------
    price, predicted : ndarray of shape (n,)
        Prices.
    sign : str
        The currency's sign, for the axes.
    """
    figure, (left, right) = new_figure(5.6, 8.0, rows=2)
    low, high = float(min(price.min(), predicted.min())) * 0.9, float(max(price.max(), predicted.max())) * 1.1
    many = len(price) > 2000
    error = np.log(predicted / price)
    limit = max(0.5, float(np.quantile(np.abs(error), 0.995)) * 1.1)
    if many:
        # one hexagon is one product at least; the colour scale is logarithmic, as a few cells hold most of them
        left.hexbin(price, predicted, xscale="log", yscale="log", gridsize=55, bins="log", cmap=COUNTS, mincnt=1)
        shades = right.hexbin(
            predicted, np.clip(error, -limit, limit), xscale="log", gridsize=55, bins="log", cmap=COUNTS, mincnt=1
        )
        figure.colorbar(shades, ax=right, label="products")
    else:
        size = 14 if len(price) < 500 else 8
        left.scatter(price, predicted, s=size, color=BLUE, alpha=0.7, linewidths=0)
        right.scatter(predicted, np.clip(error, -limit, limit), s=size, color=BLUE, alpha=0.7, linewidths=0)
    line = np.array([low, high])
    left.plot(line, line, color="black", linewidth=1, label="exact")
    left.plot(line, 2 * line, color=RED, linewidth=1, linestyle="--", label="twice, half")
    left.plot(line, line / 2, color=RED, linewidth=1, linestyle="--")
    left.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high),
             xlabel=in_currency("listed price", sign), ylabel=in_currency("predicted price", sign))  # fmt: skip
    name_axis(left, title, "upper left")
    right.axhline(0, color="black", linewidth=1)
    right.set(xscale="log", xlabel=in_currency("predicted price", sign), ylabel="predicted / listed price")
    name_axis(right, "Above 1 the prediction is too high")
    # as far up as down, so that a bias is seen
    right.set_ylim(-1.05 * limit, 1.05 * limit)
    ratio_ticks(right.yaxis, limit)
    price_ticks(left.xaxis, low, high)
    price_ticks(left.yaxis, low, high)
    price_ticks(right.xaxis, float(predicted.min()), float(predicted.max()))
    return figure


def plot_error_distribution(price: Floats, predictions: Mapping[str, Floats]) -> Figure:
    """Histogram of the stack's error as a ratio, and the share of products within a given error for every model.

    Parameters
    ----------
    price : ndarray of shape (n,)
        True prices.
    predictions : mapping of str to ndarray of shape (n,)
        Predicted prices; the one called ``stack`` (else the last one) gets the histogram.
    """
    figure, (left, right) = new_figure(5.6, 7.2, rows=2)
    main = "stack" if "stack" in predictions else list(predictions)[-1]
    error = np.log(predictions[main] / price)
    limit = max(0.3, float(np.quantile(np.abs(error), 0.99)))
    # few rows in many bins would be a comb of ones
    bins = 2 * int(np.clip(np.sqrt(len(price)) / 2, 4, 25)) + 1
    left.hist(error, range=(-limit, limit), bins=bins, color=BLUE, alpha=0.85)
    left.axvline(0, color="black", linewidth=1)
    median = float(np.median(error))
    left.axvline(median, color=RED, linewidth=1.5, linestyle="--", label=f"median {np.exp(median):.2f}")
    left.set(xlabel="predicted / listed price, the outer 1 % left out", ylabel="products")
    left.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    ratio_ticks(left.xaxis, limit)
    name_axis(left, f"Error of the {main}: right of 1 predicted too high", "best")
    ranked = np.arange(1, len(price) + 1) / len(price) * 100
    for number, (name, values) in enumerate(predictions.items()):
        relative = np.sort(np.abs(values - price) / price) * 100
        right.plot(relative, ranked, label=in_words(name), **line_style(number, name == main))
    right.set(
        xlim=(0, 100), ylim=(0, 100), xlabel="absolute error, % of the listed price", ylabel="products within it, %"
    )
    name_axis(right, "Share of products within an error", "lower right")
    return figure


def plot_error_by_price(price: Floats, predictions: Mapping[str, Floats], sign: str = "") -> Figure:
    """SMAPE and bias of each model in parts of the catalogue by listed price, lowest to highest.

    Parameters
    ----------
    price : ndarray of shape (n,)
        Listed prices.
    predictions : mapping of str to ndarray of shape (n,)
        Predicted prices.
    sign : str
        The currency's sign, for the axes.
    """
    # ten parts of equal size, fewer where a part would have less than twenty products
    bins = max(2, min(10, len(price) // 20))
    figure, (left, right) = new_figure(5.6, 7.2, rows=2)
    edges = np.quantile(price, np.linspace(0, 1, bins + 1)[1:-1])
    part = np.searchsorted(edges, price, side="left")
    parts = np.unique(part)
    centres = [float(np.median(price[part == p])) for p in parts]
    for number, (name, values) in enumerate(predictions.items()):
        rows, bias = smape_per_row(price, values), 100 * (values / price - 1)
        style = line_style(number, name == "stack")
        left.plot(centres, [rows[part == p].mean() for p in parts], label=in_words(name), **style)
        right.plot(centres, [np.median(bias[part == p]) for p in parts], label=in_words(name), **style)
    right.axhline(0, color="black", linewidth=0.8)
    for axis, label in ((left, "SMAPE, %"), (right, "median error of the predictions, %")):
        axis.set(xscale="log", xlabel=in_currency("listed price (median of the part)", sign), ylabel=label)
        price_ticks(axis.xaxis, min(centres), max(centres) * 1.001)
    left.set_ylim(bottom=0)
    name_axis(right, "Bias by price: above 0 predictions are high")
    name_axis(left, "Error by price")
    # no place inside is free of lines
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def plot_calibration(price: Floats, predicted: Floats, sign: str = "") -> Figure:
    """Listed prices of products that were predicted alike: median and middle half against the prediction.

    Parameters
    ----------
    price, predicted : ndarray of shape (n,)
        Prices.
    sign : str
        The currency's sign, for the axes.
    """
    figure, (axis,) = new_figure(5.2, 4.6)
    edges = np.quantile(predicted, np.linspace(0, 1, 12 + 1)[1:-1])
    part = np.searchsorted(edges, predicted, side="left")
    parts = np.unique(part)
    x = np.array([np.median(predicted[part == p]) for p in parts])
    low, middle, high = (np.array([np.quantile(price[part == p], q) for p in parts]) for q in (0.25, 0.5, 0.75))
    axis.vlines(x, low, high, color=SKY, linewidth=5, label="middle half of the listed prices")
    axis.plot(x, middle, "o-", color=BLUE, markersize=5, label="median of the listed prices")
    line = np.array([min(x.min(), low.min()), max(x.max(), high.max())])
    axis.plot(line, line, color="black", linewidth=1, label="well calibrated")
    axis.set(xscale="log", yscale="log", xlabel=in_currency("predicted price", sign),
             ylabel=in_currency("listed price", sign))  # fmt: skip
    price_ticks(axis.xaxis, *line)
    price_ticks(axis.yaxis, *line)
    name_axis(axis, "Calibration", "upper left")
    return figure


def plot_importance(importance: pl.DataFrame) -> Figure:
    """What the trees use: mean gain share over members and folds of the most important features.

    Parameters
    ----------
    importance : DataFrame
        ``member``, ``feature``, ``importance``, ``words``; shares are taken within each member.
    """
    shares = mean_importance(importance).head(15).reverse()
    figure, (axis,) = new_figure(6.4, max(2.2, 0.4 * len(shares) + 0.9))
    place = np.arange(len(shares))
    axis.barh(place, (100 * shares["share"]).to_list(), color=BLUE)
    axis.set_yticks(place, [fill(words, 38, max_lines=2) for words in shares["words"]], fontsize=8)
    axis.set(xlabel="share of the gain, %")
    axis.grid(visible=False, axis="y")
    name_axis(axis, "What the trees use")
    return figure


def mean_importance(importance: pl.DataFrame) -> pl.DataFrame:
    """``feature``, ``words`` and ``share`` (sum 1), largest first; every member counts the same.

    A feature without words is its own.
    """
    members = importance.group_by("member", "feature", "words").agg(pl.col("importance").sum())
    total = pl.col("importance").sum().over("member")
    shares = members.with_columns(share=pl.when(total > 0).then(pl.col("importance") / total).otherwise(0.0))
    count = max(1, shares["member"].n_unique())
    words = pl.when(pl.col("words") == "").then("feature").otherwise("words")
    found = shares.group_by("feature", words.alias("words")).agg(pl.col("share").sum() / count)
    return found.sort("share", "feature", descending=[True, False])


def plot_weights(weights: Mapping[str, float]) -> Figure:
    """Weights as bars, largest on top; negative ones are what a linear stack takes back."""
    ordered = sorted(weights.items(), key=lambda item: item[1])
    figure, (axis,) = new_figure(6.0, max(1.8, 0.34 * len(ordered) + 0.9))
    names, values = [in_words(name) for name, _ in ordered], [value for _, value in ordered]
    bars = axis.barh(names, values, color=[BLUE if value >= 0 else RED for value in values])
    axis.bar_label(bars, fmt="%.2f", padding=3, fontsize=9)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.margins(x=0.12)
    axis.grid(visible=False, axis="y")
    name_axis(axis, "Weights of the models")
    return figure


def plot_training_curves(curves: pl.DataFrame) -> Figure:
    """Loss and SMAPE over rounds or epochs, one panel per member and metric, one line per fold and split.

    Parameters
    ----------
    curves : DataFrame
        ``member``, ``fold``, ``round``, ``split``, ``metric``, ``value``. Validation lines are solid and blue,
        training lines dashed and grey.
    """
    panels = curves.select("member", "metric").unique(maintain_order=False).sort("member", "metric").rows()
    columns = min(2, max(1, len(panels)))
    rows = max(1, -(-len(panels) // columns))
    figure, axes = new_figure(3.0 * columns + 0.4, 2.5 * rows + 0.2, columns=columns, rows=rows)
    for axis, (member, metric) in zip(axes, panels, strict=False):
        chosen = curves.filter((pl.col("member") == member) & (pl.col("metric") == metric))
        lines = chosen.sort("round").partition_by("split", "fold", as_dict=True)
        named: set[str] = set()
        few = True
        for (split, _), line in sorted(lines.items(), key=lambda item: (str(item[0][0]), str(item[0][1]))):
            training = str(split).startswith("train")
            # several networks of a fold are valid_0, valid_1
            name = "training rows" if training else "validation rows"
            few = few and len(line) < 30
            axis.plot(
                line["round"], line["value"], color=GREY if training else BLUE, alpha=0.8, linewidth=1.2,
                linestyle="--" if training else "-", marker="o" if len(line) < 30 else None, markersize=3,
                label=name if name not in named else None,
            )  # fmt: skip
            named.add(name)
        axis.set(xlabel="epoch" if few else "round", ylabel=_METRICS.get(metric, in_words(metric)))
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        name_axis(axis, in_words(member), "best")
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    return figure


def plot_searches(searches: list[dict[str, Any]]) -> Figure:
    """SMAPE of every trial in order, pruned ones grey, and the best so far; one panel per library.

    Parameters
    ----------
    searches : list of dict
        As `pricing.report.search_summary.read_searches` gives them.
    """
    figure, axes = new_figure(5.6, 3.0 * len(searches), rows=len(searches))
    for axis, search in zip(axes, searches, strict=True):
        for state, color, marker in (("pruned", GREY, "x"), ("complete", BLUE, "o")):
            chosen = [trial for trial in search["trials"] if trial["state"] == state]
            axis.plot(
                [trial["number"] + 1 for trial in chosen], [trial["smape"] for trial in chosen], marker,
                color=color, markersize=4, label=state,
            )  # fmt: skip
        complete = [trial for trial in search["trials"] if trial["state"] == "complete"]
        best = np.minimum.accumulate([trial["smape"] for trial in complete])
        axis.step([trial["number"] + 1 for trial in complete], best, where="post", color="black", label="best so far")
        # a bad trial early on would flatten everything after it
        values = np.array([trial["smape"] for trial in search["trials"]])
        low, high = float(values.min()), float(np.quantile(values, 0.9))
        axis.set_ylim(low - 0.1 * (high - low) - 0.05, high + 0.1 * (high - low) + 0.05)
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axis.set(xlabel="trial", ylabel="SMAPE of the folds judged, percent")
        name_axis(axis, in_words(search["member"]), "best")
    return figure
