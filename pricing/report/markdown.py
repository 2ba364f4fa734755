"""Short markdown tables of a run, for Prefect's artifacts and for the terminal."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pricing.report.leaderboard import latest_words, model_rows
from pricing.report.run_losses import Loss, run_losses


def models_table(metrics: Mapping[str, Any]) -> str:
    """SMAPE out of fold and on the hold-out of `model_rows`."""
    rows = [(row["name"], _figure(row["oof_smape"]), _figure(row["holdout_smape"])) for row in model_rows(metrics)]
    return markdown_table(("model", "out of fold, SMAPE %", "hold-out, SMAPE %"), rows)


def stages_table(run: Mapping[str, Any]) -> str:
    """Seconds of each stage, and which came from the cache."""
    rows = [
        (str(stage.get("label") or stage.get("name")), f"{float(stage.get('seconds') or 0):.1f}", _mark(stage))
        for stage in run.get("stages", [])
    ]
    return markdown_table(("stage", "seconds", "from the cache"), rows)


def run_markdown(
    metrics: Mapping[str, Any], run: Mapping[str, Any], report: Path | None = None,
    plots: Mapping[str, str] | None = None,
) -> str:  # fmt: skip
    """Headline, what was lost, models, plots and stages.

    Parameters
    ----------
    metrics, run : mapping
        metrics.json and run.json.
    report : Path, optional
        The whole report, which is named below the headline.
    plots : mapping of str to str, optional
        Name of a plot to the address of its image.
    """
    parts = ["# Pricing run"]
    holdout = metrics.get("holdout")
    if holdout:
        parts.append(
            f"Hold-out SMAPE **{holdout['smape']:.2f} %** (95 % interval {holdout['smape_low']:.2f} to "
            f"{holdout['smape_high']:.2f}, {int(holdout['rows'])} products)"
        )
    if latest := latest_words(metrics):
        parts.append(f"Hold-out: {latest}.")
    parts += _lost(run_losses(run))
    if report:
        parts.append(f"The whole report: [{_plain(str(report))}]({report.as_uri()})")
    parts += ["## Models", models_table(metrics)]
    for name, address in (plots or {}).items():
        title = name.replace("_", " ").capitalize()
        parts += [f"## {title}", f"![{title}]({address})"]
    parts += ["## Stages", stages_table(run)]
    return "\n\n".join(parts) + "\n"


def scored_markdown(name: str, lines: Iterable[str], losses: Iterable[Loss]) -> str:
    """What was written for a catalogue of a name, and what was lost."""
    said = "\n".join(f"- {_plain(line)}" for line in lines)
    return "\n\n".join([f"# Prices for {_plain(name)}", said, *_lost(losses)]) + "\n"


def _lost(losses: Iterable[Loss]) -> list[str]:
    lines = "\n".join(f"- **{loss.severity}**: {_plain(loss.what)}" for loss in losses)
    return ["## What was lost", lines] if lines else []


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the first column is left, the others right; pipes and line breaks in cells are made harmless."""
    lines = [_line(header), "| --- |" + " ---: |" * (len(header) - 1)]
    return "\n".join(lines + [_line(row) for row in rows])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _plain(text: str) -> str:
    """Text in which no sign is markup; underscores inside words are none."""
    return re.sub(r"([\\`*\[\]<>])", r"\\\1", text.replace("\n", " "))


def _figure(value: Any) -> str:
    return "" if value is None else f"{float(value):.2f}"


def _mark(stage: Mapping[str, Any]) -> str:
    return "yes" if stage.get("cached") else ""
