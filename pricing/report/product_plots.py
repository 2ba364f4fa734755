"""Plots of single products and of segments: the worst errors with their images, comparables, error by category."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from pricing.metrics.rounding import DEFAULT_DECIMALS, shown_price
from pricing.report.plot_style import BLUE, GREY, ORANGE, RED, in_currency, name_axis, new_figure, price_ticks
from pricing.report.shown_products import ShownProduct

_KNOWN_SIGNS = frozenset("–—‘’“”•…™€₹₽₩₪₴₦₱₫₺₸₾฿")


def plot_error_by_category(segments: Mapping[str, Mapping[str, float]], title: str = "Error by category") -> Figure:
    """SMAPE and bias of the 15 largest categories, worst on top.

    Parameters
    ----------
    segments : mapping of str to mapping
        Name to metrics (``smape``, ``bias`` in percent, ``rows``).
    title : str
        Of the left panel.
    """
    largest = sorted(segments.items(), key=lambda item: -item[1]["rows"])[:15]
    ordered = sorted(largest, key=lambda item: item[1]["smape"])
    names = [f"{_plain(_short(name, 26))} ({int(item['rows']):,})" for name, item in ordered]
    figure, (left, right) = new_figure(6.4, max(2.4, 0.3 * len(names) + 1.1), columns=2)
    place = np.arange(len(names))
    left.barh(place, [item["smape"] for _, item in ordered], color=BLUE, height=0.7)
    left.set_yticks(place, names, fontsize=8)
    left.set(xlabel="SMAPE, % (in brackets: products)")
    name_axis(left, title)
    bias = [item["bias"] for _, item in ordered]
    right.barh(place, bias, color=[RED if value > 0 else ORANGE for value in bias], height=0.7)
    right.set_yticks(place, [""] * len(names))
    right.axvline(0, color="black", linewidth=0.8)
    right.set(xlabel="bias, % (right: predicted high)")
    for axis in (left, right):
        axis.grid(visible=False, axis="y")
    return figure


def plot_worst(
    products: Sequence[ShownProduct], decimals: int = DEFAULT_DECIMALS, sign: str = "", *, columns: int = 4
) -> Figure:
    """The worst errors as a sheet of images, each with its listed price and what it looks like.

    Parameters
    ----------
    products : sequence of ShownProduct
        At least one.
    decimals : int
        Number of decimals of a price, as `pricing.metrics.rounding.shown_price` takes it.
    sign : str
        What stands before a price: its currency's sign.
    """
    rows = -(-len(products) // columns)
    figure, axes = new_figure(2.45 * columns, 2.75 * rows, columns=columns, rows=rows)
    for axis in axes:
        axis.set_axis_off()
    for axis, product in zip(axes, products, strict=False):
        image = _image(product.image)
        if image is None:
            axis.text(0.5, 0.5, "no image", ha="center", va="center", color=GREY, transform=axis.transAxes)
            axis.set_aspect("equal")
        else:
            axis.imshow(image)
        price, predicted = (shown_price(value, decimals, sign) for value in (product.price, product.predicted))
        prices = f"listed {price}, looks like {predicted}"
        text = f"{_short(product.title, 34)}\n{prices}\n{product.position}"
        axis.set_title(_plain(text), fontsize=7.5, loc="center")
    return figure


def plot_comparables(products: Sequence[ShownProduct], sign: str = "") -> Figure:
    """Listed price, prediction and comparables' prices of products, one line per product; larger rings are more alike.

    Parameters
    ----------
    products : sequence of ShownProduct
        At least one, those without comparables too.
    sign : str
        The currency's sign, for the axis.
    """
    figure, (axis,) = new_figure(6.4, max(2.2, 0.36 * len(products) + 1.4))
    place = np.arange(len(products))[::-1]
    prices = [price for one in products for price in (one.price, one.predicted, *(c.price for c in one.comparables))]
    for y, product in zip(place, products, strict=True):
        axis.plot([product.price, product.predicted], [y, y], color=GREY, linewidth=1, zorder=1)
        known = product.comparables
        axis.scatter(
            [c.price for c in known], [y] * len(known), s=[20 + 130 * c.similarity**2 for c in known],
            facecolors="none", edgecolors=ORANGE, linewidths=1.3, zorder=2,
            label="similar products (larger: more alike)" if y == place[0] else None,
        )  # fmt: skip
    axis.scatter([p.predicted for p in products], place, marker="D", s=34, color=BLUE, zorder=3,
                 label="what it looks like (predicted)")  # fmt: skip
    axis.scatter([p.price for p in products], place, marker="|", s=190, color="black", linewidths=2.4, zorder=4,
                 label="listed price")  # fmt: skip
    axis.set_yticks(place, [_plain(_short(product.title, 28)) for product in products], fontsize=8)
    axis.set(xscale="log", xlabel=in_currency("price", sign))
    price_ticks(axis.xaxis, min(prices), max(prices) * 1.001)
    axis.margins(y=0.04)
    figure.legend(frameon=False, fontsize=8, loc="outside upper right", ncols=2)
    return figure


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _plain(text: str) -> str:
    """Catalogue text as matplotlib shall show it: a dollar sign is no formula, a glyph that its font may lack a "?"."""
    known = (sign if ord(sign) < 0x250 or sign in _KNOWN_SIGNS else "?" for sign in text)
    return "".join(known).replace("$", r"\$")


def _image(path: Path | None) -> np.ndarray | None:
    if path is None or not path.is_file():
        return None
    try:
        with Image.open(path) as opened:
            return np.asarray(opened.convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
