"""What each plot of the page shows in figures, for those who cannot see it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from pricing.metrics.price_metrics import evaluate_predictions
from pricing.report.group_errors import GroupErrors, errors_by_price, errors_by_segment
from pricing.report.plot_style import in_words
from pricing.report.run_folder import RunFolder
from pricing.report.search_summary import read_searches
from pricing.report.shown_products import ShownProduct

Priced = Callable[[float], str]


def plot_figures(folder: RunFolder, worst: Sequence[ShownProduct], shown: Priced) -> dict[str, str]:
    """Return the text that stands for each plot of a run, by the plot's name.

    Parameters
    ----------
    folder : RunFolder
        A run's tables.
    worst : sequence of ShownProduct
        The products whose comparables are drawn.
    shown : callable
        A price as text.
    """
    found: dict[str, str] = {}
    if folder.judged is not None:
        found |= _of_errors(folder.judged, shown)
    if tables := errors_by_segment(folder):
        groups = [f"{one.name}: SMAPE {one.smape:.1f}, bias {one.bias:+.1f} %" for one in tables[0].groups[:15]]
        found["error_by_category"] = f"Error by {tables[0].name}. {'; '.join(groups)}."
    if worst:
        lines = [f"{one.title}: listed {shown(one.price)}, looks like {shown(one.predicted)}{_similar(one, shown)}"
                 for one in worst[:6]]  # fmt: skip
        found["comparables"] = f"{'; '.join(lines)}."
    weights = {name: item["weight"] for name, item in folder.metrics.get("models", {}).items() if "weight" in item}
    ordered = sorted(weights.items(), key=lambda item: -(item[1] or 0))
    found["weights"] = "Weights: " + ", ".join(f"{in_words(name)} {weight or 0:.2f}" for name, weight in ordered) + "."
    if folder.curves is not None:
        found["training_curves"] = _of_curves(folder.curves)
    searches = read_searches(folder.path / "evaluation")
    found["search"] = "; ".join(map(_of_search, searches)) + "."
    return found


def _of_errors(rows: pl.DataFrame, shown: Priced) -> dict[str, str]:
    price, stack = rows["price"].to_numpy(), rows["stack"].to_numpy()
    scores, ratio = evaluate_predictions(price, stack), stack / price
    quarter, middle, three = np.quantile(ratio, (0.25, 0.5, 0.75))
    within = ", ".join(f"{share} %: {scores[f'within_{share}']:.0f} % of them" for share in (10, 25, 50))
    near = 100 * np.mean((ratio >= 0.5) & (ratio <= 2))
    ranges = [f"{shown(values.min())} to {shown(values.max())}" for values in (price, stack)]
    found = {
        "predictions": f"{len(rows):,} products listed from {ranges[0]} and predicted from {ranges[1]}; {near:.0f} % "
        "of them are predicted at between half and twice their listed price.",
        "error_distribution": f"Predicted over listed price: median {middle:.2f}, middle half {quarter:.2f} to "
        f"{three:.2f}. Products within {within}.",
    }
    if groups := errors_by_price(rows, "price"):
        parts = [f"{_range(one, shown)}: SMAPE {one.smape:.1f}, bias {one.bias:+.1f} %" for one in groups]
        found["error_by_price"] = f"By listed price. {'; '.join(parts)}."
    if groups := errors_by_price(rows, "stack"):
        parts = []
        for one in groups:
            own = (stack >= one.low) & (stack <= one.high)
            parts.append(f"{_range(one, shown)}: median listed price {shown(np.median(price[own]))}")
        found["calibration"] = f"By predicted price. {'; '.join(parts)}."
    return found


def _range(group: GroupErrors, shown: Priced) -> str:
    return f"{shown(group.low)} to {shown(group.high)}"


def _similar(product: ShownProduct, shown: Priced) -> str:
    prices = [one.price for one in product.comparables]
    return f", similar products {shown(min(prices))} to {shown(max(prices))}" if prices else ""


def _of_curves(curves: pl.DataFrame) -> str:
    """First and last validation figure of each member, mean over its lines."""
    lines = curves.filter(~pl.col("split").str.starts_with("train")).sort("round")
    ends = lines.group_by("member", "metric", "fold", "split").agg(
        first=pl.col("value").first(), last=pl.col("value").last(), rounds=pl.col("round").max()
    )
    means = ends.group_by("member", "metric").agg(pl.col("first", "last", "rounds").mean()).sort("member", "metric")
    said = [f"{in_words(name)}: {metric.upper()} {first:.3g} to {last:.3g} after {rounds:,.0f} rounds"
            for name, metric, first, last, rounds in means.iter_rows()]  # fmt: skip
    return f"On validation rows, mean over folds. {'; '.join(said)}."


def _of_search(search: Mapping[str, Any]) -> str:
    before = "" if search["default_smape"] is None else f" {search['default_smape']:.2f} before,"
    return f"{in_words(search['member'])}:{before} {search['smape']:.2f} chosen, {len(search['trials'])} trials"
