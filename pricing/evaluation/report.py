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
from pricing.evaluation import plots
from pricing.evaluation.metrics import calculate_metrics_by_quantile, evaluate_predictions, smape_per_row
from pricing.evaluation.run_folder import RunFolder, product_title, read_run_folder
from pricing.evaluation.search import read_searches
from pricing.evaluation.timeline import timeline

__all__ = ["build_report"]

log = logging.getLogger(__name__)

_INLINE_DPI = 130
"""Of the pictures inside the file; those in plots/ have the configured resolution."""
_THUMBNAIL = 120
"""Longest side of a product picture in the file, in pixels."""

_CAPTIONS = {
    "predictions": "Predicted against true price, and the residuals. Both axes are logarithmic.",
    "error_distribution": "The stack's log error, and the share of products within an error.",
    "error_by_price": "Where the error sits: SMAPE and bias of each model in each tenth of the price.",
    "calibration": "Products predicted alike, and what they really cost.",
    "weights": "What the linear part of the stack takes from each member.",
    "importance": "Mean share of the gain over tree members and folds.",
    "search": "Every trial of the search for settings, in order.",
    "training_curves": "How the members learnt, one line a fold.",
}


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
    context = {
        "metrics": folder.metrics,
        "run": folder.run,
        "part": "hold-out" if folder.holdout is not None else "out-of-fold rows",
        "models": _models(folder.metrics),
        "scores": _scores(rows),
        "quantiles": _quantiles(rows),
        "segments": _segments(rows, folder.products),
        "worst": _worst(folder, rows, config.worst),
        "plots": _plots(folder, rows, config.dpi),
        "drivers": _drivers(folder.importance),
        "searches": read_searches(run_dir / "evaluation"),
        "catalogue": _lines(folder.run.get("catalogue", {})),
        "failed": sorted(folder.run.get("images", {}).get("failed", {}).items(), key=lambda item: (-item[1], item[0])),
        "timeline": timeline(folder.run.get("stages", [])),
        "settings": _lines(folder.run.get("config", {})),
        "versions": _lines(folder.run.get("versions", {})),
    }
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["figure"] = lambda value, digits=2: "–" if value is None else f"{value:,.{digits}f}"
    environment.filters["price"] = lambda value: f"{value:,.2f}"
    template = resources.files("pricing.evaluation") / "templates" / "report.html.j2"
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


def _scores(rows: pl.DataFrame | None) -> dict[str, float] | None:
    return None if rows is None else evaluate_predictions(rows["price"].to_numpy(), rows["stack"].to_numpy())


def _quantiles(rows: pl.DataFrame | None) -> list[dict[str, float]]:
    if rows is None:
        return []
    return calculate_metrics_by_quantile(rows["price"].to_numpy(), rows["stack"].to_numpy(), n_quantiles=5)


def _segments(rows: pl.DataFrame | None, products: pl.DataFrame | None) -> list[dict[str, Any]]:
    """The stack's metrics with and without picture."""
    if rows is None or products is None or "picture" not in products.columns:
        return []
    joined = rows.join(products.select("sample_id", "picture"), on="sample_id", how="left", maintain_order="left")
    found = []
    for name, chosen in (
        ("with picture", joined.filter(pl.col("picture").is_not_null())),
        ("without picture", joined.filter(pl.col("picture").is_null())),
    ):
        if len(chosen):
            found.append({"name": name, **evaluate_predictions(chosen["price"].to_numpy(), chosen["stack"].to_numpy())})
    return found


def _worst(folder: RunFolder, rows: pl.DataFrame | None, count: int) -> list[dict[str, Any]]:
    """The rows with the largest error, with title, picture and how far apart the members were."""
    if rows is None or not count:
        return []
    rows = rows.with_columns(smape=pl.Series(smape_per_row(rows["price"].to_numpy(), rows["stack"].to_numpy())))
    rows = rows.sort("smape", "sample_id", descending=[True, False]).head(count)
    if folder.products is not None:
        texts = folder.products.select("sample_id", "catalog_content")
        rows = rows.join(texts, on="sample_id", how="left", maintain_order="left")
    members = [name for name in folder.metrics.get("models", {}) if name in rows.columns]
    found = []
    for row in rows.iter_rows(named=True):
        factor = max(row["stack"] / row["price"], row["price"] / row["stack"])
        prices = [row[name] for name in members]
        found.append(
            {
                "id": row["sample_id"],
                "title": product_title(row.get("catalog_content")),
                "text": (row.get("catalog_content") or "")[:700],
                "price": row["price"],
                "predicted": row["stack"],
                "factor": factor,
                "direction": "too dear" if row["stack"] > row["price"] else "too cheap",
                "members": (min(prices), max(prices)) if prices else None,
                "picture": _thumbnail(folder.path / "evaluation" / "pictures", row["sample_id"]),
            }
        )
    return found


def _thumbnail(pictures: Path, sample_id: str) -> str | None:
    """A small JPEG as a data URI; None where there is no picture, or none that can be read."""
    path = pictures / f"{sample_id}.jpg"
    if Path(sample_id).name != sample_id or not path.is_file():
        return None
    from PIL import Image

    try:
        with Image.open(path) as opened:
            opened.draft("RGB", (_THUMBNAIL, _THUMBNAIL))
            picture = opened.convert("RGB")
        picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
        held = io.BytesIO()
        picture.save(held, "JPEG", quality=80)
    except (OSError, ValueError, Image.DecompressionBombError):
        log.warning("report: picture %s cannot be read", path)
        return None
    return "data:image/jpeg;base64," + base64.b64encode(held.getvalue()).decode("ascii")


def _plots(folder: RunFolder, rows: pl.DataFrame | None, dpi: int) -> dict[str, dict[str, str]]:
    """Draw what can be drawn: full resolution into plots/, a smaller picture for the file."""
    makers: dict[str, Callable[[], Figure]] = {}
    if rows is not None:
        price, stack = rows["price"].to_numpy(), rows["stack"].to_numpy()
        members = [name for name in folder.metrics.get("models", {}) if name in rows.columns]
        predictions = {name: rows[name].to_numpy() for name in [*members, "stack"]}
        part = "hold-out" if folder.holdout is not None else "out-of-fold rows"
        makers["predictions"] = lambda: plots.plot_predictions(price, stack, title=f"Stack on the {part}")
        makers["error_distribution"] = lambda: plots.plot_error_distribution(price, predictions)
        makers["error_by_price"] = lambda: plots.plot_error_by_price(price, predictions)
        makers["calibration"] = lambda: plots.plot_calibration(price, stack)
    weights = {name: item.get("weight") for name, item in folder.metrics.get("models", {}).items()}
    known = {name: float(value) for name, value in weights.items() if value is not None}
    if known:
        makers["weights"] = lambda: plots.plot_weights(known)
    importance, curves = folder.importance, folder.curves
    if importance is not None:
        makers["importance"] = lambda: plots.plot_importance(importance)
    if curves is not None:
        makers["training_curves"] = lambda: plots.plot_training_curves(curves)
    if searches := read_searches(folder.path / "evaluation"):
        makers["search"] = lambda: plots.plot_searches(searches)
    target = folder.path / "plots"
    target.mkdir(exist_ok=True)
    found = {}
    for name, make in makers.items():
        figure = make()
        plots.save_figure(figure, target / f"{name}.png", dpi)
        held = io.BytesIO()
        figure.savefig(held, format="png", dpi=min(dpi, _INLINE_DPI), metadata={"Software": None})
        data = "data:image/png;base64," + base64.b64encode(held.getvalue()).decode("ascii")
        found[name] = {"data": data, "caption": _CAPTIONS[name]}
    return found


def _drivers(importance: pl.DataFrame | None) -> list[dict[str, Any]]:
    if importance is None:
        return []
    return plots.mean_importance(importance).head(10).to_dicts()


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
