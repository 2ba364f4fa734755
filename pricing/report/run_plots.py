"""The plots of a run: for reading at full resolution, and smaller ones for its page."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from pricing.config.ensemble import ReportConfig
from pricing.report import plots, product_plots
from pricing.report.group_errors import errors_by_segment
from pricing.report.plot_style import save_figure
from pricing.report.run_folder import RunFolder, read_run_folder
from pricing.report.search_summary import read_searches
from pricing.report.shown_products import worst_products

_INLINE_DPI = 130
"""Maximum resolution of the page's plots."""
_FILE_ONLY = frozenset({"worst", "importance"})
"""Plots that the page shows as text and images instead."""

Makers = dict[str, Callable[[], Figure]]


def draw_plots(run_dir: Path, config: ReportConfig, inline: Path) -> None:
    """Draw what can be drawn of a run.

    Parameters
    ----------
    run_dir : Path
        As in `pricing.report.page.build_page`; receives ``plots/NAME.png``.
    config : ReportConfig
        Resolution, and number of products shown.
    inline : Path
        Existing folder; receives the page's plots, ``NAME.png``.

    Raises
    ------
    ArtifactError
        There is no metrics.json, or a file that is there is damaged.
    """
    target = run_dir / "plots"
    target.mkdir(exist_ok=True)
    folder = read_run_folder(run_dir)
    for name, make in (_of_models(folder) | _of_products(folder, config.worst)).items():
        figure, file = make(), target / f"{name}.png"
        save_figure(figure, file, config.dpi)
        if name in _FILE_ONLY:
            continue
        if config.dpi > _INLINE_DPI:
            # as it was laid out for the file: half of the time goes into that
            figure.set_layout_engine("none")
            save_figure(figure, inline / file.name, _INLINE_DPI)
        else:
            (inline / file.name).write_bytes(file.read_bytes())


def _of_models(folder: RunFolder) -> Makers:
    makers: Makers = {}
    rows, models = folder.judged, folder.metrics.get("models", {})
    if rows is not None:
        price, stack = rows["price"].to_numpy(), rows["stack"].to_numpy()
        predictions = {name: rows[name].to_numpy() for name in [*models, "stack"] if name in rows.columns}
        makers["predictions"] = lambda: plots.plot_predictions(price, stack, title=f"Prices of the {folder.part}",
                                                               sign=folder.sign)  # fmt: skip
        makers["error_distribution"] = lambda: plots.plot_error_distribution(price, predictions)
        makers["error_by_price"] = lambda: plots.plot_error_by_price(price, predictions, folder.sign)
        makers["calibration"] = lambda: plots.plot_calibration(price, stack, folder.sign)
    weights = {name: float(item["weight"]) for name, item in models.items() if item.get("weight") is not None}
    if weights:
        makers["weights"] = lambda: plots.plot_weights(weights)
    importance, curves = folder.importance, folder.curves
    if importance is not None and folder.drivers is None:
        makers["importance"] = lambda: plots.plot_importance(importance)
    if curves is not None:
        makers["training_curves"] = lambda: plots.plot_training_curves(curves)
    if searches := read_searches(folder.path / "evaluation"):
        makers["search"] = lambda: plots.plot_searches(searches)
    return makers


def _of_products(folder: RunFolder, count: int) -> Makers:
    makers: Makers = {}
    worst = worst_products(folder, folder.judged, count)
    if tables := errors_by_segment(folder):
        first = tables[0]
        makers["error_by_category"] = lambda: product_plots.plot_error_by_category(
            {group.name: {"rows": group.rows, "smape": group.smape, "bias": group.bias} for group in first.groups},
            f"Error by {first.name}",
        )
    if worst:
        makers["worst"] = lambda: product_plots.plot_worst(worst, folder.decimals, folder.sign)
    if any(product.comparables for product in worst):
        makers["comparables"] = lambda: product_plots.plot_comparables(worst, folder.sign)
    return makers
