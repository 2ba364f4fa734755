"""The ensemble stage: rows are matched by id, inputs are checked, the same input gives the same bytes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pricing.ensemble.fit_ensemble import fit_ensemble
from pricing.ensemble.stack import Ensemble
from pricing.errors import ArtifactError, SchemaError
from pricing.metrics.price_metrics import calculate_smape
from tests.ensemble.synthetic import QUICK, write_stages


def run(root: Path, **sizes: int) -> tuple[Path, tuple]:
    stages = write_stages(root / "in", **sizes)
    out = root / "out"
    out.mkdir()
    fit_ensemble(*stages, QUICK, 0, out, floor={"smape": 6.0})
    return out, stages


def test_tables_and_metrics(tmp_path: Path) -> None:
    out, (catalogue, folds, members, refits) = run(tmp_path)
    oof, holdout, test = (pl.read_parquet(out / f"{name}.parquet") for name in ("oof", "holdout", "test"))
    parts = pl.read_parquet(folds / "folds.parquet")
    assert oof["sample_id"].to_list() == parts.filter(pl.col("part") == "train")["sample_id"].to_list()
    assert holdout["sample_id"].to_list() == parts.filter(pl.col("part") == "holdout")["sample_id"].to_list()
    assert test["sample_id"].to_list() == pl.read_parquet(catalogue / "unlabelled.parquet")["sample_id"].to_list()
    # every figure and table entry against the members' own files, looked up by id
    tables = {name: [pl.read_parquet(f / "predictions.parquet") for f in folders] for name, folders in members.items()}

    def found(table: pl.DataFrame, role: str, sample_id: str) -> float:
        return table.filter((pl.col("role") == role) & (pl.col("sample_id") == sample_id))["log_price"].item()

    for row in oof.head(12).iter_rows(named=True):
        assert row["b"] == pytest.approx(np.exp(found(tables["b"][row["fold"]], "valid", row["sample_id"])))
    for row in holdout.head(5).iter_rows(named=True):
        mean = np.mean([found(table, "holdout", row["sample_id"]) for table in tables["c"]])
        assert row["c"] == pytest.approx(np.exp(mean))
    refit = pl.read_parquet(refits["a"] / "predictions.parquet")
    for row in test.head(5).iter_rows(named=True):
        mean = np.mean([found(table, "test", row["sample_id"]) for table in tables["a"]])
        assert row["a"] == pytest.approx((mean + found(refit, "test", row["sample_id"])) / 2)
    again = Ensemble.load(out / "ensemble").predict({name: test[name].to_numpy() for name in members})
    assert (again == test["stack"].to_numpy()).all()

    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["holdout"]["smape"] == pytest.approx(calculate_smape(holdout["price"], holdout["stack"]))
    assert metrics["holdout"]["smape_low"] < metrics["holdout"]["smape"] < metrics["holdout"]["smape_high"]
    assert metrics["holdout"]["rows"] == 40
    assert metrics["stack"]["oof_smape"] == pytest.approx(calculate_smape(oof["price"], oof["stack"]))
    for name in members:
        assert metrics["models"][name]["oof_smape"] == pytest.approx(calculate_smape(oof["price"], oof[name]))
        assert metrics["models"][name]["holdout_smape"] == pytest.approx(
            calculate_smape(holdout["price"], holdout[name])
        )
    assert metrics["floor"] == {"smape": 6.0}
    assert metrics["constant"]["oof_smape"] > metrics["stack"]["oof_smape"]


def test_intervals_of_the_hold_out_are_those_of_its_own_members(tmp_path: Path) -> None:
    """Refits are in the test rows' members only. Here they make them disagree more, and a spread matched to that would
    be too small for the hold-out: its coverage would be called bad where the test's is not."""
    catalogue, folds, members, refits = write_stages(
        tmp_path / "in", train=900, holdout=400, test=400, refit=("a", "b", "c")
    )
    for seed, folder in enumerate(refits.values()):
        table = pl.read_parquet(folder / "predictions.parquet")
        noise = np.random.default_rng(seed).normal(0, 2.0, len(table))
        table.with_columns(pl.col("log_price") + noise).write_parquet(folder / "predictions.parquet")
    out = tmp_path / "out"
    out.mkdir()
    fit_ensemble(catalogue, folds, members, refits, QUICK, 0, out)
    figures = json.loads((out / "metrics.json").read_text())["intervals"]
    for level, slack in (("80", 4), ("95", 2)):
        assert figures[level]["coverage"] == pytest.approx(float(level), abs=slack)


def test_same_input_same_bytes_whatever_order_branches_ended_in(tmp_path: Path) -> None:
    out, (catalogue, folds, members, refits) = run(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    reverse = dict(reversed(list(members.items())))
    fit_ensemble(catalogue, folds, reverse, refits, QUICK, 0, other, floor={"smape": 6.0})
    files = sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    assert len(files) >= 6
    assert all((out / file).read_bytes() == (other / file).read_bytes() for file in files)


def test_no_hold_out_and_no_test(tmp_path: Path) -> None:
    out, _ = run(tmp_path, holdout=0, test=0)
    metrics = json.loads((out / "metrics.json").read_text())
    assert "holdout" not in metrics
    assert "holdout_smape" not in metrics["models"]["a"]
    assert len(pl.read_parquet(out / "test.parquet")) == 0


def _drop_a_row(folder: Path) -> None:
    table = pl.read_parquet(folder / "predictions.parquet")
    table.filter(pl.col("role") != "valid").write_parquet(folder / "predictions.parquet")


def _repeat_a_row(folder: Path) -> None:
    table = pl.read_parquet(folder / "predictions.parquet")
    pl.concat([table, table.head(1)]).write_parquet(folder / "predictions.parquet")


def _diverge(folder: Path) -> None:
    table = pl.read_parquet(folder / "predictions.parquet")
    table.with_columns(log_price=pl.lit(float("nan"))).write_parquet(folder / "predictions.parquet")


def _other_fold(folder: Path) -> None:
    (folder / "member.json").write_text('{"member": "b", "fold": 2}')


def _garbage(folder: Path) -> None:
    (folder / "predictions.parquet").write_bytes(b"\x80\x04cos\nsystem\n")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_drop_a_row, "role valid has 0 rows.*is missing"),
        (_repeat_a_row, "has .* rows of .* ids"),
        (_diverge, "is not finite"),
        (_other_fold, "is member b fold 2, expected member b fold 1"),
        (_garbage, "cannot be read"),
    ],
)
def test_damaged_member_is_refused(tmp_path: Path, damage, words: str) -> None:  # type: ignore[no-untyped-def]
    catalogue, folds, members, refits = write_stages(tmp_path / "in")
    damage(members["b"][1])
    with pytest.raises(ArtifactError, match=words):
        fit_ensemble(catalogue, folds, members, refits, QUICK, 0, tmp_path)


def test_wrong_sets_are_refused(tmp_path: Path) -> None:
    catalogue, folds, members, refits = write_stages(tmp_path / "in")
    with pytest.raises(ArtifactError, match="got 2 fold outputs"):
        fit_ensemble(catalogue, folds, members | {"a": members["a"][:2]}, refits, QUICK, 0, tmp_path)
    with pytest.raises(ArtifactError, match="at least one member"):
        fit_ensemble(catalogue, folds, {}, {}, QUICK, 0, tmp_path)
    with pytest.raises(SchemaError, match="cannot be called 'price'"):
        fit_ensemble(catalogue, folds, {"price": members["a"]}, {}, QUICK, 0, tmp_path)
    with pytest.raises(ArtifactError, match="refits of z"):
        fit_ensemble(catalogue, folds, members, {"z": refits["a"]}, QUICK, 0, tmp_path)
    shuffled = pl.read_parquet(folds / "folds.parquet").reverse()
    shuffled.write_parquet(folds / "folds.parquet")
    with pytest.raises(ArtifactError, match="in the same order"):
        fit_ensemble(catalogue, folds, members, refits, QUICK, 0, tmp_path)


def test_the_first_stack_of_a_process_is_as_its_second() -> None:
    """SciPy, loaded by the first fit, once took all cores in it: a run of the stack alone had other last bits."""
    code = (
        "import numpy as np; from pricing.ensemble.stacking import train_ensemble\n"
        "from tests.ensemble.synthetic import QUICK, make_members\n"
        "members, log_price = make_members(300, 3, 2)\n"
        "first, second = (train_ensemble(members, log_price, np.arange(300) % 3, ('a', 'b', 'c'), QUICK, 0).oof"
        " for _ in range(2))\n"
        "print((first == second).all())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
