"""report.html: one self-contained file about a run, for the analyst who has to trust its prices.

First which prices look wrong and how far off prices are, then why, then where they err, then how they were made.
Nothing in it points outside: styles and images are inlined. One script of its own, which holds nothing of the
catalogue, sorts and searches tables; without scripts they are there as they were written. All text from the catalogue
passes jinja2's autoescape.
"""

import logging
import math
import tomllib
from collections.abc import Callable, Mapping
from functools import partial
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jinja2
import numpy as np
import polars as pl

from pricing.config.ensemble import ReportConfig
from pricing.errors import InputError
from pricing.metrics.price_metrics import evaluate_predictions
from pricing.metrics.rounding import shown_price
from pricing.report.audited_products import audited_products
from pricing.report.findings import data_findings
from pricing.report.group_errors import FEWEST, errors_by_price, errors_by_segment, regresses_to_the_mean
from pricing.report.leaderboard import latest_words, model_rows
from pricing.report.plot_figures import plot_figures
from pricing.report.plot_style import in_words
from pricing.report.plots import mean_importance
from pricing.report.price_reasons import price_drivers
from pricing.report.record_lines import catalogue_lines, nested_lines
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
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pricing.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    price = partial(shown_price, decimals=folder.decimals, sign=folder.sign)
    environment.filters |= {
        "signed": _signed, "bias_words": _bias_words, "thumbnail": thumbnail, "words": in_words, "price": price,
        "figure": lambda value, digits=2: "–" if value is None else f"{value:,.{digits}f}",
        "weight": lambda value: f"{value:.2f}".replace("-0.00", "0.00"),
        "money": partial(_money, decimals=folder.decimals, sign=folder.sign),
        "added": partial(_added, least=folder.decimals, sign=folder.sign),
    }  # fmt: skip
    html = environment.get_template("report.html.j2").render(_context(folder, config, plots, price))
    temporary = run_dir / ".report.html.part"
    temporary.write_text(html, encoding="utf-8")
    temporary.replace(run_dir / "report.html")
    logger.info("report: %s (%.1f MB)", run_dir / "report.html", len(html) / 1e6)


def _context(folder: RunFolder, config: ReportConfig, plots: Path, price: Callable[[float], str]) -> dict[str, Any]:
    """Whatever the template shows."""
    rows, run, catalogue = folder.judged, folder.run, folder.run.get("catalogue") or {}
    worst = worst_products(folder, rows, config.worst)
    amounts, train = _roles(folder).get("amount"), (run.get("inputs") or {}).get("train") or "FILE"
    failed = (run.get("images") or {}).get("failed", {}).items()
    listed = errors_by_price(rows, "price")
    return {
        "metrics": folder.metrics,
        "run": run,
        "part": folder.part,
        "latest": latest_words(folder.metrics),
        "losses": run_losses(run, _failure),
        "audited": audited_products(folder, PAGE_WORDS["causes"]),
        "models": _models(folder.metrics),
        "scores": _scores(rows),
        "drivers": {kind: price_drivers(folder, kind) for kind in ("family", "column")},
        "worst": worst,
        "by_listed": listed,
        "by_predicted": errors_by_price(rows, "stack"),
        "regresses": regresses_to_the_mean(listed),
        "segments": errors_by_segment(folder),
        "fewest": FEWEST,
        "plots": _inlined(plots, plot_figures(folder, worst, price)),
        "findings": data_findings(
            catalogue, _products(folder), _prices(folder), folder.decimals, folder.sign, train, amounts
        ),
        "importance": [] if folder.importance is None else mean_importance(folder.importance).head(10).to_dicts(),
        "searches": read_searches(folder.path / "evaluation"),
        "catalogue": catalogue_lines(catalogue, PAGE_WORDS["counts"]),
        "failed": [(_failure(reason), n) for reason, n in sorted(failed, key=lambda item: (-item[1], item[0]))],
        "timeline": timeline(run.get("stages", [])),
        "choices": PAGE_WORDS["choices"],
        "steps": PAGE_WORDS["steps"],
        "settings": nested_lines(run.get("config", {})),
        "networks": nested_lines(run.get("networks", {})),
        "versions": nested_lines(run.get("versions", {})),
    }


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


def _money(amount: float, decimals: int, sign: str) -> str:
    """An error or a difference in money, with two digits at least."""
    digits = 1 - math.floor(math.log10(amount)) if amount > 0 else 0
    return f"{sign}{amount:,.{max(decimals, digits)}f}"


def _added(money: float, decimals: int, least: int, sign: str) -> str:
    """What an item adds to a price, with its sign; a zero has none."""
    shown = f"{abs(money):,.{max(decimals, least)}f}"
    return f"{'' if not float(shown.replace(',', '')) else '+' if money > 0 else '−'}{sign}{shown}"


def _failure(reason: str) -> str:
    """Why an image failed, in words."""
    status = reason.removeprefix("http_")
    return PAGE_WORDS["failures"].get(reason, f"the server answered {status}" if status != reason else in_words(reason))


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
    """All metrics, and the error in money that half of the prices stay within."""
    if rows is None:
        return None
    listed, predicted = (rows[name].cast(pl.Float64).to_numpy() for name in ("price", "stack"))
    return {**evaluate_predictions(listed, predicted), "middle": float(np.median(np.abs(predicted - listed)))}


def _inlined(plots: Path, figures: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Every plot of the page as a data URI, with its caption and what stands for it in words."""
    return {
        path.stem: {"data": data_uri(path.read_bytes(), "png"), "caption": PAGE_WORDS["captions"][path.stem],
                    "figures": figures.get(path.stem, "")}
        for path in sorted(plots.glob("*.png"))
    }  # fmt: skip
