"""report.html: one self-contained file about a run, for the analyst who has to trust its prices.

Nothing in it points outside: styles and images are inlined. One script of its own, which holds nothing of the
catalogue, sorts and searches the price audit; without scripts the table is there as it was written. All text from the
catalogue passes jinja2's autoescape.
"""

import logging
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jinja2
import numpy as np
import polars as pl

from pricing.config.ensemble import ReportConfig
from pricing.errors import InputError
from pricing.metrics.price_metrics import calculate_metrics_by_quantile, evaluate_predictions
from pricing.metrics.rounding import shown_price
from pricing.metrics.segments import SEGMENTS
from pricing.report.audited_products import audited_products
from pricing.report.findings import data_findings
from pricing.report.leaderboard import latest_words, model_rows
from pricing.report.plots import mean_importance
from pricing.report.run_folder import RunFolder, read_run_folder
from pricing.report.run_losses import run_losses
from pricing.report.run_plots import draw_plots
from pricing.report.search_summary import read_searches
from pricing.report.shown_products import data_uri, thumbnail, worst_products
from pricing.report.timeline import timeline
from pricing.store.artifacts import read_json

logger = logging.getLogger(__name__)

PAGE_WORDS: dict[str, dict[str, str]] = tomllib.loads(
    (resources.files("pricing.report") / "templates" / "words.toml").read_text(encoding="utf-8")
)
"""What the page says of plots and counts; the file's comments say of which."""

_QUANTILES = {"q000": "minimum", "q050": "median", "q100": "maximum", "mean": "mean"}


def rebuild_report(run_dir: Path) -> Path:
    """Build report.html and plots/ of a finished run again, and return the page.

    Parameters
    ----------
    run_dir : Path
        A run's output folder, or one of `pricing ensemble`.

    Raises
    ------
    InputError
        It is neither.
    """
    config = ReportConfig()
    # what `pricing ensemble` leaves has figures and no configuration
    if (run_dir / "run.json").exists() or not (run_dir / "metrics.json").exists():
        try:
            run = read_json(run_dir / "run.json")
            if "stage" in run:
                raise InputError(
                    f"{run_dir}: holds the stage {run['stage']} alone, which has no report; give a run's --output"
                )
            config = ReportConfig.model_validate(run["config"]["report"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{run_dir}: is no run folder ({type(error).__name__}); give a run's --output") from None
    build_report(run_dir, config)
    return run_dir / "report.html"


def build_report(run_dir: Path, config: ReportConfig) -> None:
    """Draw the plots of a run and build its page, as `draw_plots` and `build_page`."""
    with TemporaryDirectory(prefix="pricing-") as plots:
        draw_plots(run_dir, config, Path(plots))
        build_page(run_dir, config, Path(plots))


def build_page(run_dir: Path, config: ReportConfig, plots: Path) -> None:
    """Write ``report.html`` into a run folder.

    Parameters
    ----------
    run_dir : Path
        Holds metrics.json and, where they are there, run.json and ``evaluation/`` with oof, holdout, importance,
        curves, products and ``images/<sample_id>.jpg``.
    config : ReportConfig
        Number of products shown.
    plots : Path
        The page's plots, ``NAME.png``, as `draw_plots` leaves them.

    Raises
    ------
    ArtifactError
        There is no metrics.json, or a file that is there is damaged.
    """
    folder = read_run_folder(run_dir)
    rows = folder.judged
    context = {
        "metrics": folder.metrics,
        "run": folder.run,
        "part": folder.part,
        "latest": latest_words(folder.metrics),
        "losses": run_losses(folder.run),
        "models": _models(folder.metrics),
        "scores": _scores(rows),
        "quantiles": _quantiles(rows),
        "segments": folder.segments(),
        "segment_names": SEGMENTS,
        "audited": audited_products(folder, PAGE_WORDS["causes"]),
        "worst": worst_products(folder, rows, config.worst),
        "plots": _inlined(plots),
        "findings": data_findings(
            folder.run.get("catalogue") or {},
            _products(folder),
            _prices(folder),
            folder.decimals,
            folder.sign,
            (folder.run.get("inputs") or {}).get("train") or "FILE",
            _roles(folder).get("amount"),
        ),
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
    environment.filters["price"] = lambda value: shown_price(value, folder.decimals, folder.sign)
    environment.filters["weight"] = lambda value: f"{value:.2f}".replace("-0.00", "0.00")
    environment.filters["thumbnail"] = thumbnail
    templates = resources.files("pricing.report") / "templates"
    context["audit_script"] = (templates / "audit.js").read_text(encoding="utf-8")
    html = environment.from_string((templates / "report.html.j2").read_text(encoding="utf-8")).render(context)
    temporary = run_dir / ".report.html.part"
    temporary.write_text(html, encoding="utf-8")
    temporary.replace(run_dir / "report.html")
    logger.info("report: %s (%.1f MB)", run_dir / "report.html", len(html) / 1e6)


def _models(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`model_rows` with the figure shown, of the hold-out if there is one, and the length of its bar in percent."""
    rows = model_rows(metrics)
    kept = [
        {"weight": None, **row, "shown": row["oof_smape"] if row["holdout_smape"] is None else row["holdout_smape"]}
        for row in rows
    ]
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


def _roles(folder: RunFolder) -> dict[str, Any]:
    """Roles of the catalogue's columns; empty where none are declared."""
    return (folder.run.get("config") or {}).get("catalogue", {}).get("columns") or {}


def _products(folder: RunFolder) -> pl.DataFrame | None:
    """Products with their groups, where these are near-duplicates alone: a declared family may have many prices."""
    roles = _roles(folder)
    if folder.products is None or not roles.get("group"):
        return folder.products
    return folder.products.drop("group", strict=False)


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


def _inlined(plots: Path) -> dict[str, dict[str, str]]:
    """Every plot of the page as a data URI, with its caption."""
    return {
        path.stem: {"data": data_uri(path.read_bytes(), "png"), "caption": PAGE_WORDS["captions"][path.stem]}
        for path in sorted(plots.glob("*.png"))
    }


def _drivers(importance: pl.DataFrame | None) -> list[dict[str, Any]]:
    if importance is None:
        return []
    return mean_importance(importance).head(10).to_dicts()


def _catalogue(summary: Mapping[str, Any]) -> dict[str, list[tuple[Any, ...]]]:
    """The catalogue's counts of train and test, quantiles of the prices, and whatever else is known, as lines."""
    words = PAGE_WORDS["counts"]
    parts = [part if isinstance(part, Mapping) else {} for part in (summary.get("train"), summary.get("test"))]
    keys = [key for key in dict.fromkeys([*words, *parts[0], *parts[1]]) if any(_is_count(p.get(key)) for p in parts)]
    shown = [[f"{part[key]:,}" if _is_count(part.get(key)) else "" for part in parts] for key in keys]
    counts = [(words.get(key, key.replace("_", " ")), *cells) for key, cells in zip(keys, shown, strict=True)]
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
