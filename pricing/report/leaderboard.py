"""What each model of a run reached, as a table."""

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

_FIGURES = ("oof_smape", "holdout_smape", "holdout_low", "holdout_high")


def leaderboard(metrics: Mapping[str, Any], stages: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Return the members, the best first, then their mean and the stack.

    Parameters
    ----------
    metrics : mapping
        metrics.json.
    stages : iterable of mapping
        Records of the steps as run.json has them: ``name``, ``label`` and ``seconds``.

    Returns
    -------
    DataFrame
        ``model``; ``oof_smape``, SMAPE out of fold in percent (nested for the stack); ``holdout_smape``, that of rows
        that nothing was fitted on; ``holdout_low`` and ``holdout_high``, its 95 % interval for the stack; ``seconds``
        of training, of what came from the store those that it took when it was made. Null where unknown.
    """
    seconds = _seconds(stages)
    held = metrics.get("holdout", {})
    stack = {"holdout_smape": held.get("smape"), "holdout_low": held.get("smape_low"),
             "holdout_high": held.get("smape_high"), **metrics["stack"]}  # fmt: skip
    models = sorted(metrics["models"].items(), key=lambda item: item[1]["oof_smape"])
    rows = [*models, ("mean", metrics["mean"]), ("stack", stack)]
    table = [(name, *(found.get(key) for key in _FIGURES), seconds.get(name)) for name, found in rows]
    schema = {"model": pl.String} | dict.fromkeys((*_FIGURES, "seconds"), pl.Float64)
    return pl.DataFrame(table, schema=schema, orient="row")


def model_rows(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The constant, members from the worst on, plain mean, stack and noise floor, as far as they were judged."""
    ranked = sorted(metrics.get("models", {}).items(), key=lambda item: -float(item[1].get("oof_smape", 0)))
    rows = [{"name": "constant price", "kind": "baseline", **metrics.get("constant", {})}]
    rows += [{"name": name, "kind": "member", **figures} for name, figures in ranked]
    rows += [{"name": "plain mean", "kind": "baseline", **metrics.get("mean", {})}]
    rows += [{"name": "stack", "kind": "stack", **metrics.get("stack", {})}]
    rows += [{"name": "noise floor", "kind": "baseline", "holdout_smape": metrics.get("floor", {}).get("smape")}]
    rows = [{"oof_smape": None, "holdout_smape": None, **row} for row in rows]
    return [row for row in rows if row["oof_smape"] is not None or row["holdout_smape"] is not None]


def _seconds(stages: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for record in stages:
        # a member's steps are labelled STAGE NAME-FOLD
        name = "stack" if record["name"] == "ensemble" else record["label"].split(" ")[-1].rpartition("-")[0]
        found[name] = found.get(name, 0.0) + record["seconds"]
    return found


def latest_words(metrics: Mapping[str, Any]) -> str:
    """Say which part a hold-out by time is; "" where it is chosen by a hash, or there is none."""
    latest = metrics.get("holdout", {}).get("latest")
    if not latest:
        return ""
    undated = latest["rows_without_time"]
    said = f"the latest {100 * latest['share']:.0f} %, from {latest['since']} on"
    return said + (f" ({undated:,} rows without a time are learnt from)" if undated else "")
