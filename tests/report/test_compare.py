"""Two runs side by side: what differs, what it gained, whether that is beyond noise."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from pricing.errors import ArtifactError
from pricing.report.compare import compare_runs


def test_comparison_of_runs(run_dir: Path, tmp_path: Path) -> None:
    same = compare_runs(run_dir, run_dir)
    assert same.config == {}
    assert same.holdout is not None
    assert not same.holdout.beyond_noise
    assert "within noise" in same.verdict
    better = tmp_path / "better"
    shutil.copytree(run_dir, better)
    table = pl.read_parquet(better / "evaluation" / "holdout.parquet")
    halfway = (pl.col("stack") * pl.col("price")).sqrt()
    table.with_columns(stack=halfway)[5:].write_parquet(better / "evaluation" / "holdout.parquet")
    run = json.loads((better / "run.json").read_text())
    run["config"]["members"]["lightgbm"]["rounds"] = 500
    run["folds"]["kind"] = "random"
    (better / "run.json").write_text(json.dumps(run))
    found = compare_runs(run_dir, better)
    assert found.config == {"members.lightgbm.rounds": (2000, 500)}
    assert found.holdout is not None
    assert found.holdout.rows == len(table) - 5
    # halfway to the truth B's SMAPE is lower, and the other way round A's
    gain = abs(found.holdout.difference.mean)
    assert found.verdict.startswith(
        f"B is better: its SMAPE is {gain:.2f} lower, beyond noise (95 % interval of B - A -"
    )
    assert compare_runs(better, run_dir).verdict.startswith(f"A is better: its SMAPE is {gain:.2f} lower, beyond noise")
    assert any("Folds differ" in note for note in found.notes)
    assert any(f"{len(table) - 5} products are in both" in note for note in found.notes)
    assert "| members.lightgbm.rounds | 2000 | 500 |" in found.to_markdown()
    assert found.record == {}
    assert "equal" not in found.to_markdown()
    (better / "evaluation" / "holdout.parquet").unlink()
    unpaired = compare_runs(run_dir, better)
    assert unpaired.holdout is None
    assert unpaired.verdict == "The runs cannot be compared row by row."
    assert "better has no table of its hold-out" in unpaired.to_markdown()
    assert "share no rows" not in unpaired.to_markdown()
    with pytest.raises(ArtifactError, match="finished run"):
        compare_runs(run_dir, tmp_path)
    (better / "evaluation" / "products.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(ArtifactError, match=r"products\.parquet: cannot be read"):
        compare_runs(run_dir, better)


def test_comparison_says_what_else_differs(run_dir: Path, tmp_path: Path) -> None:
    """Equal settings over another catalogue, library or refit are no equal runs."""
    assert "The configurations, versions and inputs are equal." in compare_runs(run_dir, run_dir).to_markdown()
    other = Path(shutil.copytree(run_dir, tmp_path / "other"))
    run = json.loads((other / "run.json").read_text())
    old = run | {"hashes": {"catalogue": "c0ffee", "ensemble": "e1"}}
    run |= {"hashes": {"catalogue": "decaf", "ensemble": "e1"}, "refit": False}
    run["versions"] = run["versions"] | {"lightgbm": "4.8.0"}
    run["inputs"] = run["inputs"] | {"train": "train2.csv"}
    first = Path(shutil.copytree(run_dir, tmp_path / "first"))
    for folder, record in ((first, old), (other, run)):
        (folder / "run.json").write_text(json.dumps(record))
    found = compare_runs(first, other)
    assert found.config == {}
    assert found.record == {
        "refit": (True, False), "inputs.train": ("train.csv", "train2.csv"), "hashes.catalogue": ("c0ffee", "decaf"),
        "versions.lightgbm": ("4.7.0", "4.8.0"),
    }  # fmt: skip
    told = found.to_markdown()
    assert "The configurations are equal." in told
    assert "The catalogues differ" in told
    assert "| versions.lightgbm | 4.7.0 | 4.8.0 |" in told
    (other / "run.json").unlink()
    unknown = compare_runs(first, other).to_markdown()
    assert "no run.json in B" in unknown
    assert "equal" not in unknown
    assert "differ (" not in unknown


@pytest.mark.parametrize(("other", "named"), [("USD", "B's in USD"), (None, "B's in an unknown currency")])
def test_comparison_of_two_currencies_says_which_figures_compare(
    run_dir: Path, tmp_path: Path, other: str | None, named: str
) -> None:
    metrics = json.loads((run_dir / "metrics.json").read_text())
    runs = []
    for place, currency in enumerate(("EUR", other)):
        runs.append(Path(shutil.copytree(run_dir, tmp_path / str(place))))
        told = {"currency": currency} if currency else {}
        (runs[-1] / "metrics.json").write_text(json.dumps(metrics | told))
    said = f"A's prices are in EUR, {named}: SMAPE is relative and can be compared, prices and absolute errors cannot."
    assert said in compare_runs(*runs).to_markdown()
    for one in (runs[0], run_dir):
        assert "currency" not in compare_runs(one, one).to_markdown()
