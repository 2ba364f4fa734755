"""Two finished runs side by side: what changed, what it gained, whether that is beyond noise."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from pricing.metrics.bootstrap import Comparison, compare_predictions
from pricing.report.markdown import markdown_table
from pricing.report.run_folder import RunFolder, read_run_folder

_RECORDED = ("refit", "inputs", "hashes", "versions")
"""Parts of run.json that are compared beside its configuration."""


@dataclass(frozen=True)
class RunComparison:
    """Run B against run A.

    Attributes
    ----------
    config : dict of str to (a, b)
        Settings that differ, by full key; None where a run does not have the key.
    record : dict of str to (a, b)
        What else differs: versions, inputs, hashes of what was made of them, the refit.
    recorded : bool
        Both runs have a run.json; without, nothing is known of settings and versions.
    metrics : dict of str to (a, b)
        SMAPE figures of both, by name.
    holdout : Comparison or None
        Paired bootstrap on the common hold-out rows (out-of-fold rows where neither run has a hold-out), groups of
        near-duplicates drawn as a whole; None where there are none.
    notes : list of str
        What limits the comparison.
    """

    config: dict[str, tuple[Any, Any]]
    record: dict[str, tuple[Any, Any]]
    recorded: bool
    metrics: dict[str, tuple[float | None, float | None]]
    holdout: Comparison | None
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """One sentence."""
        if self.holdout is None:
            return "The runs cannot be compared row by row."
        difference = self.holdout.difference
        interval = f"95 % interval of B - A {difference.low:+.2f} to {difference.high:+.2f}"
        span = f"{interval}, {self.holdout.rows} common products"
        if not self.holdout.beyond_noise:
            return f"B's SMAPE minus A's is {difference.mean:+.2f}, within noise ({span})."
        better = "B is better" if difference.mean < 0 else "A is better"
        return f"{better}: its SMAPE is {abs(difference.mean):.2f} lower, beyond noise ({span})."

    def to_markdown(self) -> str:
        """Verdict, figures, settings and what else differs."""
        figures = [(key, _text(a), _text(b), _change(a, b)) for key, (a, b) in self.metrics.items()]
        parts = [self.verdict, *self.notes, markdown_table(("SMAPE %", "A", "B", "B - A"), figures)]
        for header, changes in (("setting", self.config), ("record", self.record)):
            if changes:
                rows = [(key, _text(a), _text(b)) for key, (a, b) in changes.items()]
                parts.append(markdown_table((header, "A", "B"), rows))
        if self.recorded and not self.config:
            equal = "configurations" if self.record else "configurations, versions and inputs"
            parts.append(f"The {equal} are equal.")
        return "\n\n".join(parts) + "\n"


def compare_runs(a: Path, b: Path) -> RunComparison:
    """Compare two run folders.

    Raises
    ------
    ArtifactError
        A run folder has no readable metrics.json, or a damaged table.
    """
    runs = read_run_folder(a), read_run_folder(b)
    records = [run.run for run in runs]
    recorded = all(records)
    # where one run has no record, everything would seem to differ
    left, right = records if recorded else ({}, {})
    config = differences(left.get("config", {}), right.get("config", {}))
    config = {key: pair for key, pair in config.items() if not key.startswith("paths.")}
    of_a, of_b = ({name: run.get(name) for name in _RECORDED} for run in (left, right))
    record = differences(of_a, of_b)
    figures = [_smape_figures(run.metrics) for run in runs]
    keys = list(dict.fromkeys([*figures[0], *figures[1]]))
    notes = []
    if not recorded:
        without = " and ".join(name for name, run in zip("AB", records, strict=True) if not run)
        notes.append(f"no run.json in {without}: what the runs differ in is not known.")
    if all(record.get("hashes.catalogue", (None,))):
        notes.append("The catalogues differ (hashes.catalogue): other products, texts or prices.")
    currencies = [run.metrics.get("currency") or "an unknown currency" for run in runs]
    if currencies[0] != currencies[1]:
        notes.append(
            f"A's prices are in {currencies[0]}, B's in {currencies[1]}: SMAPE is relative and can be compared, prices "
            "and absolute errors cannot."
        )
    kinds = [run.get("folds", {}).get("kind") for run in records]
    if recorded and kinds[0] != kinds[1]:
        notes.append(f"Folds differ ({kinds[0]} and {kinds[1]}): only the hold-out's figures can be compared.")
    paired, note = _paired(*runs)
    notes += [note] if note else []
    return RunComparison(
        config, record, recorded, {key: (figures[0].get(key), figures[1].get(key)) for key in keys}, paired, notes
    )


def differences(old: Any, new: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Where two trees differ: full key to both values, None where a tree does not have the key.

    Examples
    --------
    >>> differences({"folds": {"kind": "grouped"}}, {"folds": {"kind": "random"}, "seed": 0})
    {'folds.kind': ('grouped', 'random'), 'seed': (None, 0)}
    """
    if not (isinstance(old, dict | None) and isinstance(new, dict | None) and (old or new)):
        return {} if old == new else {path: (old, new)}
    old, new = old or {}, new or {}
    found: dict[str, tuple[Any, Any]] = {}
    for name in sorted({*old, *new}):
        found |= differences(old.get(name), new.get(name), f"{path}.{name}" if path else name)
    return found


def _paired(a: RunFolder, b: RunFolder) -> tuple[Comparison | None, str]:
    """The common hold-out rows; the common out-of-fold rows where neither run has a hold-out."""
    part, left, right = "hold-out", a.holdout, b.holdout
    if left is None and right is None:
        part, left, right = "out-of-fold rows", a.oof, b.oof
    if left is None or right is None:
        missing = a.path if left is None else b.path
        return None, f"{missing} has no table of its {part}, so the rows cannot be paired."
    both = left.join(right, on="sample_id", suffix="_b", maintain_order="left")
    same = both.filter((pl.col("price") - pl.col("price_b")).abs() <= 1e-9 * pl.col("price"))
    notes = [] if part == "hold-out" else ["Neither run has a hold-out: paired are the nested out-of-fold rows."]
    if len(same) < max(len(left), len(right)):
        sizes = f"A has {len(left)}, B {len(right)}"
        notes.append(f"{len(same)} products are in both {part} with the same price ({sizes}).")
    if not len(same):
        return None, " ".join(notes)
    compared = compare_predictions(
        same["price"].to_numpy(), same["stack"].to_numpy(), same["stack_b"].to_numpy(), resamples=2000,
        groups=_groups(a, same["sample_id"]),
    )  # fmt: skip
    return compared, " ".join(notes)


def _groups(run: RunFolder, ids: pl.Series) -> Any:
    """Near-duplicate group of each row where the run knows them: their errors are not independent."""
    if run.products is None or "group" not in run.products.columns:
        return None
    products = run.products.select("sample_id", "group")
    found = pl.DataFrame({"sample_id": ids}).join(products, on="sample_id", how="left", maintain_order="left")["group"]
    return None if found.null_count() else found.to_numpy()


def _smape_figures(metrics: Mapping[str, Any]) -> dict[str, float]:
    found = {"hold-out, stack": metrics.get("holdout", {}).get("smape")}
    for name in ("stack", "mean", "constant"):
        found[f"out of fold, {name}"] = metrics.get(name, {}).get("oof_smape")
    for name, item in sorted(metrics.get("models", {}).items()):
        found[f"out of fold, {name}"] = item.get("oof_smape")
        found[f"hold-out, {name}"] = item.get("holdout_smape")
    return {key: float(value) for key, value in found.items() if value is not None}


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) and abs(value) >= 0.01 else str(value)


def _change(a: float | None, b: float | None) -> str:
    return "" if a is None or b is None else f"{b - a:+.2f}"
