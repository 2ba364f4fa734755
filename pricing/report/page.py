"""report.html: one self-contained file about a run, for the analyst who has to trust its prices.

Nothing in it points outside: styles and pictures are inlined, there is no script. All text from the catalogue passes
jinja2's autoescape.
"""

import base64
import io
import logging
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import polars as pl
from matplotlib.figure import Figure

from pricing.config.ensemble import ReportConfig
from pricing.metrics.price_metrics import calculate_metrics_by_quantile, evaluate_predictions
from pricing.metrics.rounding import shown_price
from pricing.metrics.segments import SEGMENTS, segment_metrics
from pricing.report import plots, product_plots
from pricing.report.feature_words import feature_words
from pricing.report.findings import data_findings
from pricing.report.plot_style import save_figure
from pricing.report.run_folder import RunFolder, read_run_folder
from pricing.report.run_losses import run_losses
from pricing.report.search_summary import read_searches
from pricing.report.shown_products import ShownProduct, thumbnail, worst_products
from pricing.report.timeline import timeline

__all__ = ["build_report"]

log = logging.getLogger(__name__)

_INLINE_DPI = 130
"""Of the pictures inside the file; those in plots/ have the configured resolution."""
_FILE_ONLY = frozenset({"worst"})
"""Plots that the page shows as text and pictures instead."""

_CAPTIONS = {
    "predictions": "Predicted against listed price, and their ratio. A point above the line is a product predicted too "
    "high: it is listed below what it looks like. All axes are logarithmic.",
    "error_distribution": "The stack's error (right of 1 the prediction is higher than the listed price), and the "
    "share of products within an error.",
    "error_by_price": "Where the error sits: SMAPE and bias of each model in parts of equal size by listed price. "
    "Above 0 % the predictions are high.",
    "calibration": "Products predicted alike, and their listed prices, which are higher than predicted above the line.",
    "error_by_category": "Error by category: clusters of similar texts, named by the words that set them apart. "
    "Bias above 0 % means that the predictions are high.",
    "comparables": "The worst errors, one product per line, among the listed prices of similar products. Where the "
    "rings gather at what the product looks like and not at its listed price, check that price.",
    "weights": "How much of each member is in the stack: least squares of the stack's log price on theirs.",
    "importance": "Mean share of the gain over tree members and folds.",
    "search": "Every trial of the search for settings, in order.",
    "training_curves": "How the members learnt: one line per fold, and per network where a member is several.",
}


_COUNTS = {
    "rows": "products",
    "rejected": "rows left out",
    "without_text": "without text",
    "without_image_link": "without image link",
    "distinct_image_links": "distinct image links",
    "repeated_texts": "text of an earlier product",
    "several_image_links": "several image links, the first is used",
    "empty_rows": "empty rows, skipped",
    "cut_texts": "texts too long, cut",
    "unpriced": "without a price, priced",
}
_QUANTILES = {"q000": "minimum", "q050": "median", "q100": "maximum", "mean": "mean"}


def build_report(run_dir: Path, config: ReportConfig) -> None:
    """Write ``report.html`` and ``plots/*.png`` into a run folder.

    Parameters
    ----------
    run_dir : Path
        Holds metrics.json and, where they are there, run.json, ``evaluation/`` with oof, holdout, importance, curves
        and products, and ``evaluation/pictures/<sample_id>.jpg``.

    Raises
    ------
    ArtifactError
        There is no metrics.json, or a file that is there is damaged.
    """
    folder = read_run_folder(run_dir)
    rows = folder.holdout if folder.holdout is not None else folder.oof
    worst = worst_products(folder, rows, config.worst)
    known = rows is not None and folder.products is not None
    segments = segment_metrics(rows, folder.products) if known else {}  # type: ignore[arg-type]
    context = {
        "metrics": folder.metrics,
        "run": folder.run,
        "part": "hold-out" if folder.holdout is not None else "out-of-fold rows",
        "losses": run_losses(folder.run),
        "models": _models(folder.metrics),
        "scores": _scores(rows),
        "quantiles": _quantiles(rows),
        "segments": segments,
        "segment_names": SEGMENTS,
        "worst": worst,
        "plots": _plots(folder, rows, worst, segments.get("category"), config.dpi),
        "findings": data_findings(folder.run.get("catalogue") or {}, folder.products, _prices(folder), folder.decimals),
        "drivers": _drivers(folder.importance),
        "searches": read_searches(run_dir / "evaluation"),
        "catalogue": _catalogue(folder.run.get("catalogue") or {}),
        "failed": sorted(
            (folder.run.get("images") or {}).get("failed", {}).items(), key=lambda item: (-item[1], item[0])
        ),
        "timeline": timeline(folder.run.get("stages", [])),
        "settings": _lines(folder.run.get("config", {})),
        "networks": _lines(folder.run.get("networks", {})),
        "versions": _lines(folder.run.get("versions", {})),
    }
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["signed"] = _signed
    environment.filters["bias_words"] = _bias_words
    environment.filters["figure"] = lambda value, digits=2: "–" if value is None else f"{value:,.{digits}f}"
    environment.filters["price"] = lambda value: shown_price(value, folder.decimals)
    environment.filters["weight"] = lambda value: f"{value:.2f}".replace("-0.00", "0.00")
    environment.filters["thumbnail"] = thumbnail
    template = resources.files("pricing.report") / "templates" / "report.html.j2"
    html = environment.from_string(template.read_text(encoding="utf-8")).render(context)
    temporary = run_dir / ".report.html.part"
    temporary.write_text(html, encoding="utf-8")
    temporary.replace(run_dir / "report.html")
    log.info("report: %s (%.1f MB)", run_dir / "report.html", len(html) / 1e6)


def _models(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the table of models: baseline first, then from the worst to the stack; bar lengths in percent."""
    models = metrics.get("models", {})
    names = sorted(models, key=lambda name: -float(models[name].get("oof_smape", 0)))
    rows = [{"name": "constant price", "kind": "baseline", **metrics.get("constant", {})}]
    rows += [{"name": name, "kind": "member", **models[name]} for name in names]
    rows += [{"name": "plain mean", "kind": "baseline", **metrics.get("mean", {})}]
    rows += [{"name": "stack", "kind": "stack", **metrics.get("stack", {})}]
    if "floor" in metrics:
        rows.append({"name": "noise floor", "kind": "baseline", "holdout_smape": metrics["floor"].get("smape")})
    kept = []
    for row in rows:
        figures = [row.get("oof_smape"), row.get("holdout_smape")]
        shown = next((value for value in reversed(figures) if value is not None), None)
        if shown is not None:
            kept.append({"oof_smape": None, "holdout_smape": None, "weight": None, **row, "shown": shown})
    longest = max((row["shown"] for row in kept), default=1.0) or 1.0
    return [{**row, "bar": round(100 * row["shown"] / longest, 2)} for row in kept]


def _signed(value: float) -> str:
    """A figure with its sign, ``0.0`` without one."""
    shown = f"{value:+.1f}"
    return "0.0" if float(shown) == 0 else shown


def _bias_words(bias: float) -> str:
    """What a bias in percent says of the predictions."""
    if _signed(bias) == "0.0":
        return "predictions neither high nor low on average"
    return f"predictions {'high' if bias > 0 else 'low'} on average"


def _prices(folder: RunFolder) -> pl.DataFrame | None:
    """Prices of all labelled rows that the run left."""
    tables = [table.select("sample_id", "price") for table in (folder.oof, folder.holdout) if table is not None]
    return pl.concat(tables) if tables else None


def _scores(rows: pl.DataFrame | None) -> dict[str, float] | None:
    return None if rows is None else evaluate_predictions(rows["price"].to_numpy(), rows["stack"].to_numpy())


def _quantiles(rows: pl.DataFrame | None) -> list[dict[str, float]]:
    if rows is None:
        return []
    return calculate_metrics_by_quantile(rows["price"].to_numpy(), rows["stack"].to_numpy(), n_quantiles=5)


def _plots(
    folder: RunFolder,
    rows: pl.DataFrame | None,
    worst: list[ShownProduct],
    categories: dict[str, dict[str, float]] | None,
    dpi: int,
) -> dict[str, dict[str, str]]:
    """Draw what can be drawn: full resolution into plots/, a smaller picture for the file."""
    makers: dict[str, Callable[[], Figure]] = {}
    metrics = folder.metrics
    if rows is not None:
        price, stack = rows["price"].to_numpy(), rows["stack"].to_numpy()
        members = [name for name in metrics.get("models", {}) if name in rows.columns]
        predictions = {name: rows[name].to_numpy() for name in [*members, "stack"]}
        part = "hold-out" if folder.holdout is not None else "out-of-fold rows"
        makers["predictions"] = lambda: plots.plot_predictions(price, stack, title=f"Stack on the {part}")
        makers["error_distribution"] = lambda: plots.plot_error_distribution(price, predictions)
        makers["error_by_price"] = lambda: plots.plot_error_by_price(price, predictions)
        makers["calibration"] = lambda: plots.plot_calibration(price, stack)
    if categories:
        makers["error_by_category"] = lambda: product_plots.plot_error_by_segment(categories)
    weights = {name: item.get("weight") for name, item in metrics.get("models", {}).items()}
    known = {name: float(value) for name, value in weights.items() if value is not None}
    if known:
        makers["weights"] = lambda: plots.plot_weights(known)
    importance, curves = folder.importance, folder.curves
    if importance is not None:
        makers["importance"] = lambda: plots.plot_importance(importance)
    if curves is not None:
        makers["training_curves"] = lambda: plots.plot_training_curves(curves)
    if worst:
        makers["worst"] = lambda: product_plots.plot_worst(worst, folder.decimals)
    if any(product.comparables for product in worst):
        makers["comparables"] = lambda: product_plots.plot_comparables(worst)
    if searches := read_searches(folder.path / "evaluation"):
        makers["search"] = lambda: plots.plot_searches(searches)
    target = folder.path / "plots"
    target.mkdir(exist_ok=True)
    found = {}
    for name, make in makers.items():
        figure, file = make(), target / f"{name}.png"
        save_figure(figure, file, dpi)
        if name in _FILE_ONLY:
            continue
        if dpi > _INLINE_DPI:
            held = io.BytesIO()
            figure.set_layout_engine("none")  # as it was laid out for the file: half of the time goes into that
            save_figure(figure, held, _INLINE_DPI)
            content = held.getvalue()
        else:
            content = file.read_bytes()
        data = "data:image/png;base64," + base64.b64encode(content).decode("ascii")
        found[name] = {"data": data, "caption": _CAPTIONS[name]}
    return found


def _drivers(importance: pl.DataFrame | None) -> list[dict[str, Any]]:
    if importance is None:
        return []
    rows = plots.mean_importance(importance).head(10).to_dicts()
    return [{**row, "words": feature_words(row["feature"])} for row in rows]


def _catalogue(summary: Mapping[str, Any]) -> dict[str, list[tuple[Any, ...]]]:
    """The catalogue's counts of train and test, quantiles of the prices, and whatever else is known, as lines."""
    parts = [part if isinstance(part, Mapping) else {} for part in (summary.get("train"), summary.get("test"))]
    keys = [key for key in dict.fromkeys([*_COUNTS, *parts[0], *parts[1]]) if any(_is_count(p.get(key)) for p in parts)]
    shown = [[f"{part[key]:,}" if _is_count(part.get(key)) else "" for part in parts] for key in keys]
    counts = [(_COUNTS.get(key, key.replace("_", " ")), *cells) for key, cells in zip(keys, shown, strict=True)]
    prices = summary.get("price") or {}
    ordered = sorted(prices, key=lambda key: (key == "mean", key))
    quantiles = [(_QUANTILES.get(key, f"{key[1:].lstrip('0')} % cost less"), float(prices[key])) for key in ordered]
    # ids in both are a finding where there are any
    other = {key: value for key, value in summary.items() if key not in ("train", "test", "price", "ids_in_both")}
    return {"counts": counts, "prices": quantiles, "other": _lines(other)}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _lines(tree: Any, prefix: str = "") -> list[tuple[str, str]]:
    """A nested record as lines of full key and value."""
    if isinstance(tree, Mapping) and tree:
        return [
            line for key, value in tree.items() for line in _lines(value, f"{prefix}.{key}" if prefix else str(key))
        ]
    if isinstance(tree, (list, tuple)):
        shown = ", ".join(str(item) for item in tree[:12]) + (" …" if len(tree) > 12 else "")
        return [(prefix, shown or "none")] if prefix else []
    if isinstance(tree, float) and np.isfinite(tree):
        return [(prefix, f"{tree:.6g}")]
    return [(prefix, str(tree))] if prefix else []
