"""How the plots look.

Figures are built by the object interface, without pyplot and its global state, so that threads do not disturb one
another and no display is needed. Colours are Okabe and Ito's, told apart by colour-blind readers
(https://jfly.uni-koeln.de/color/); those that are too light for lines on white are darker here. All have a contrast of
3:1 and more (WCAG 2.2, 1.4.11). Figures are at most 6.4 inches wide, so that a phone shows them whole.
"""

from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

BLUE, ORANGE, GREEN, PINK, SKY, RED, GREY = (
    "#0072B2", "#C27800", "#009E73", "#B5508B", "#3A8FC7", "#D55E00", "#6b7280",
)  # fmt: skip
COUNTS = LinearSegmentedColormap.from_list("counts", ["#3A8FC7", "#0b2a4a", "#000000"])
"""Few products to many; the lightest is still seen on white."""
_CYCLE = (BLUE, ORANGE, GREEN, PINK, SKY, RED)
_DASHES = ("-", "--", "-.", ":")


def save_figure(figure: Figure, file: Path | BinaryIO, dpi: int) -> None:
    """Write a PNG; the same figure gives the same bytes."""
    figure.savefig(file, format="png", dpi=dpi, metadata={"Software": None})


def new_figure(width: float, height: float, columns: int = 1, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of width x height inches and its axes, a row at a time."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(color="#e5e7eb", linewidth=0.7)
        axis.set_axisbelow(True)
    return figure, axes


def name_axis(axis: Axes, title: str, legend: Literal["", "best", "upper left", "lower right"] = "") -> None:
    """Set a title, and where ``legend`` gives its place, a legend."""
    axis.set_title(title, loc="left", fontsize=11)
    if legend:
        axis.legend(framealpha=0.8, edgecolor="none", fontsize=8, loc=legend)


def in_words(name: str) -> str:
    """A member, a step or a setting as people read it: ``sparse_mlp`` is "sparse mlp"."""
    return name.replace("_", " ")


def in_currency(label: str, sign: str) -> str:
    """An axis' label with the currency of its prices; the label alone where none is known.

    Examples
    --------
    >>> in_currency("listed price", "€"), in_currency("listed price", "")
    ('listed price, €', 'listed price')
    """
    # a dollar sign is no formula
    return f"{label}, {sign.strip()}".replace("$", r"\$") if sign else label


def _price_axis(axis: Any) -> None:
    axis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0), numticks=12))
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def price_ticks(axis: Any, low: float, high: float) -> None:
    """Ticks of a log price axis from low to high, as plain numbers."""
    _price_axis(axis)
    # 1, 2, 5 a decade crowds out a wide range
    if np.log10(high / low) > 2.5:
        axis.set_major_locator(LogLocator(10, numticks=12))


_RATIOS = np.log([1.01, 1.02, 1.05, 1.1, 1.25, 1.5, 2, 4, 10, 30, 100, 1e3, 1e4, 1e6, 1e9, 1e12])


def ratio_ticks(axis: Any, limit: float) -> None:
    """Ticks of an axis of log ratios from -limit to limit, labelled with the ratios: 0.5, 1, 2."""
    outer = _RATIOS[max(0, int(np.searchsorted(_RATIOS, limit, side="right")) - 1)]
    inner = _RATIOS[np.abs(_RATIOS - outer / 2).argmin()]
    axis.set_major_locator(FixedLocator([-outer, -inner, 0.0, inner, outer]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: _ratio(float(np.exp(value)))))


def _ratio(value: float) -> str:
    return f"{round(value, 2):,.10g}" if value >= 0.1 else f"{value:.2g}"


def line_style(number: int, main: bool) -> dict[str, Any]:
    """Colour and dashes of a line among several; the one that matters is black and thick."""
    if main:
        return {"color": "black", "linewidth": 2.2, "linestyle": "-"}
    return {"color": _CYCLE[number % len(_CYCLE)], "linewidth": 1.3, "linestyle": _DASHES[number % len(_DASHES)]}
