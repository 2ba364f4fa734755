"""What a command prints at its end: figures of the models, times of the stages, what was priced, what was lost."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pricing.catalogue.currencies import price_sign
from pricing.catalogue.reading_words import reading_words
from pricing.metrics.rounding import DEFAULT_DECIMALS, shown_price
from pricing.report.leaderboard import latest_words
from pricing.report.run_losses import Loss, run_losses
from pricing.store.artifacts import read_json

# a path may hold brackets
console = Console(markup=False)


def print_summary(output: Path) -> None:
    """The short table at the end of a run."""
    metrics = read_json(output / "metrics.json")
    record = read_json(output / "run.json")
    console.print(models_table(metrics))
    if latest := latest_words(metrics):
        console.print(f"hold-out: {latest}", highlight=False, soft_wrap=True)
    console.print(stages_table(record["stages"]))
    priced = record["submission"]
    if priced and priced["rows"]:
        decimals = (metrics.get("rounding") or {}).get("decimals", DEFAULT_DECIMALS)
        sign = price_sign(metrics.get("currency", ""))
        low, high, middle = (shown_price(priced[name], decimals, sign) for name in ("min", "max", "median"))
        console.print(f"{priced['rows']:,} prices from {low} to {high}, median {middle}")
    for name in ("submission.csv", "unpriced.csv", "report.html"):
        if (output / name).exists():
            console.print(f"{name}: {output / name}", soft_wrap=True)
    print_readings(record.get("catalogue") or {})
    print_losses(run_losses(record))


def print_stage(output: Path, run: dict[str, Any], metrics: dict[str, Any] | None) -> None:
    """Print what one stage came to: run.json and metrics.json, and what it left in its folder."""
    console.print(stages_table(run["stages"]))
    if metrics:
        console.print(models_table(metrics))
    print_readings(run.get("catalogue") or {})
    if run["images"]["requested"]:
        console.print(f"images: {run['images']['present']:,} of {run['images']['requested']:,} are there")
    print_losses(run_losses(run))
    for path in sorted(output.glob("search/*.toml")):
        console.print(f"settings for a preset: {path}", soft_wrap=True)


def print_readings(catalogue: dict[str, Any]) -> None:
    """Print what the values of both files were read as: a line for each column that holds more than plain numbers."""
    for part in ("train", "test"):
        for words in reading_words((catalogue.get(part) or {}).get("read") or {}):
            console.print(f"{part}: {words}", soft_wrap=not console.is_terminal)


def print_losses(losses: list[Loss]) -> None:
    """One line for each thing that was lost, the last that a command prints."""
    for loss in losses:
        style = "bold yellow" if loss.severity == "warning" else None
        # a log's line stays whole; a terminal's breaks between words
        console.print(f"{loss.severity}: {loss.what}", style=style, markup=False, highlight=False,
                      soft_wrap=not console.is_terminal)  # fmt: skip


def models_table(metrics: dict[str, Any]) -> Table:
    """Base models, then what is made of them, as far as it is known."""
    table = _table("SMAPE, percent", "model", "out of fold", "hold-out")

    def add(name: str, figures: dict[str, Any], **style: Any) -> None:
        table.add_row(name, *(f"{figures[key]:.2f}" if key in figures else ""
                              for key in ("oof_smape", "holdout_smape")), **style)  # fmt: skip

    for name, figures in sorted(metrics["models"].items(), key=lambda item: item[1]["oof_smape"]):
        add(name, figures)
    add("mean of logs", metrics["mean"])
    if "stack" in metrics:
        holdout = metrics["holdout"]
        interval = f"{holdout['smape']:.2f} ({holdout['smape_low']:.2f} to {holdout['smape_high']:.2f})"
        table.add_row("stack", f"{metrics['stack']['oof_smape']:.2f}", interval, style="bold")
    if "floor" in metrics:
        table.add_row("noise floor", "", f"{metrics['floor']['smape']:.2f}", style="dim")
    return table


def stages_table(stages: list[dict[str, Any]]) -> Table:
    """Tasks, seconds and cached tasks of every stage."""
    table = _table("stages", "stage", "tasks", "seconds", "from the cache")
    for name in dict.fromkeys(stage["name"] for stage in stages):
        of = [stage for stage in stages if stage["name"] == name]
        cached = sum(stage["cached"] for stage in of)
        seconds = sum(stage["seconds"] for stage in of if not stage["cached"])
        table.add_row(name, str(len(of)), f"{seconds:.1f}", "all" if cached == len(of) else str(cached or "-"))
    return table


def _table(title: str, first: str, *figures: str) -> Table:
    """A table whose figures are aligned right."""
    table = Table(first, title=title)
    for name in figures:
        table.add_column(name, justify="right")
    return table
