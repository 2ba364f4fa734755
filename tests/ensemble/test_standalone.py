"""`pricing ensemble` on anybody's tables."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pricing.config.ensemble import SubmissionConfig
from pricing.ensemble.standalone import stack_predictions
from pricing.errors import InputError, PredictionsError
from pricing.evaluation.compare import compare_runs
from pricing.evaluation.metrics import calculate_smape
from tests.ensemble.synthetic import QUICK, make_members


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    members, log_price = make_members(400, 3)
    prices = {f"m{j}": np.exp(members[:, j]) for j in range(3)}
    table = pl.DataFrame({"sample_id": [str(i) for i in range(400)], "price": np.exp(log_price), **prices})
    table[:300].write_csv(tmp_path / "oof.csv")
    # other order of the columns: they are matched by name
    table[300:].select("m2", "sample_id", "m0", "m1").write_csv(tmp_path / "test.csv")
    return tmp_path / "oof.csv", tmp_path / "test.csv"


def test_prices_in_prices_out(tables: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    named = SubmissionConfig(price_column="price")
    metrics = stack_predictions(*tables, out, QUICK, 0, submission=named)
    lines = (out / "submission.csv").read_text().splitlines()
    assert lines[0] == "sample_id,price"
    assert [line.split(",")[0] for line in lines[1:]] == [str(i) for i in range(300, 400)]
    given = pl.read_csv(tables[1])
    predicted = np.array([float(line.split(",")[1]) for line in lines[1:]])
    # prices, not logs: between the cheapest and dearest member, more or less
    assert np.median(predicted / given.select(pl.mean_horizontal("m0", "m1", "m2")).to_series().to_numpy()) > 0.5
    assert json.loads((out / "metrics.json").read_text()) == metrics
    assert "holdout" not in metrics
    assert all("holdout_smape" not in model for model in metrics["models"].values())
    oof = pl.read_parquet(out / "evaluation" / "oof.parquet")
    assert calculate_smape(oof["price"], oof["stack"]) == pytest.approx(metrics["stack"]["oof_smape"])
    assert not (out / "submission_intervals.csv").exists()
    assert metrics["stack"]["oof_smape"] < min(model["oof_smape"] for model in metrics["models"].values())


def test_row_order_and_file_type_change_nothing(tables: tuple[Path, Path], tmp_path: Path) -> None:
    """Seeded folds belong to ids, so a table sorted otherwise says the same, and so does Parquet."""
    first = stack_predictions(*tables, tmp_path / "a", QUICK, 0)
    parquet = tmp_path / "oof.parquet"
    pl.read_csv(tables[0]).write_parquet(parquet)  # integer ids here
    assert stack_predictions(parquet, tables[1], tmp_path / "b", QUICK, 0) == first
    assert (tmp_path / "a" / "submission.csv").read_bytes() == (tmp_path / "b" / "submission.csv").read_bytes()
    pl.read_csv(tables[0]).reverse().write_csv(tmp_path / "reversed.csv")
    turned = stack_predictions(tmp_path / "reversed.csv", tables[1], tmp_path / "c", QUICK, 0)
    assert turned["models"]["m0"]["oof_smape"] == pytest.approx(first["models"]["m0"]["oof_smape"])
    assert turned["mean"]["oof_smape"] == pytest.approx(first["mean"]["oof_smape"])


def test_given_folds_are_used(tables: tuple[Path, Path], tmp_path: Path) -> None:
    table = pl.read_csv(tables[0]).with_row_index("row").with_columns(fold=pl.col("row") % 4).drop("row")
    table.write_csv(tables[0])
    metrics = stack_predictions(*tables, tmp_path / "a", QUICK, 0)
    assert metrics["folds"] == "given"
    assert sorted(metrics["stack"]["fold_choices"]) == ["0", "1", "2", "3"]
    assert "fold" not in metrics["models"]
    # two stacks of the same rows can be compared, out of fold
    stack_predictions(*tables, tmp_path / "b", QUICK.model_copy(update={"meta_learners": ("ridge",)}), 0)
    found = compare_runs(tmp_path / "a", tmp_path / "b")
    assert found.holdout is not None
    assert found.holdout.rows == 300
    assert "nested out-of-fold rows" in found.to_markdown()
    assert "no run.json in A and B" in found.to_markdown()


@pytest.mark.parametrize("value", ["", "nan", "inf", "-1.5", "0", "many"])
@pytest.mark.parametrize("which", [0, 1])
def test_bad_prediction_is_refused_with_column_and_id(
    tables: tuple[Path, Path], tmp_path: Path, value: str, which: int
) -> None:
    lines = tables[which].read_text().splitlines()
    column = lines[0].split(",").index("m1")
    cells = lines[7].split(",")
    cells[column] = value
    lines[7] = ",".join(cells)
    tables[which].write_text("\n".join(lines) + "\n")
    sample_id = cells[lines[0].split(",").index("sample_id")]
    with pytest.raises(PredictionsError, match=rf"{tables[which].name}: column m1, sample_id {sample_id}: "):
        stack_predictions(*tables, tmp_path / "out", QUICK, 0)
    assert not (tmp_path / "out" / "submission.csv").exists()


@pytest.mark.parametrize(
    ("which", "edit", "words"),
    [
        (0, lambda t: t.drop("price"), "has no column price"),
        (0, lambda t: t.drop("sample_id"), "has no column sample_id"),
        (0, lambda t: t.select("sample_id", "price"), "no model's column"),
        (0, lambda t: pl.concat([t, t.head(1)]), "sample_id 0 is there more than once"),
        (0, lambda t: t.head(0), "no rows"),
        (1, lambda t: t.drop("m1"), "columns missing: m1, unknown: none"),
        (1, lambda t: t.with_columns(m9=1.0), "columns missing: none, unknown: m9"),
        (0, lambda t: t.with_columns(price=-pl.col("price")), "column price, sample_id 0"),
        (0, lambda t: t.with_columns(fold=pl.lit("x")), "column fold, sample_id 0: 'x'"),
        (0, lambda t: t.with_columns(stack=1.0), "cannot be called stack"),
        (1, lambda t: t.with_columns(low_80=1.0), "cannot be called low_80"),
    ],
)
def test_wrong_tables_are_refused(tables, tmp_path: Path, which: int, edit, words: str) -> None:  # type: ignore[no-untyped-def]
    edit(pl.read_csv(tables[which])).write_csv(tables[which])
    with pytest.raises(PredictionsError, match=words):
        stack_predictions(*tables, tmp_path / "out", QUICK, 0)


@pytest.mark.parametrize("name", ["m1", "sample_id"])
@pytest.mark.parametrize("which", [0, 1])
def test_a_header_that_is_there_twice_is_refused(
    tables: tuple[Path, Path], tmp_path: Path, which: int, name: str
) -> None:
    """Two columns m1: which is the model? Read on, the second would be a model called m1_duplicated_0."""
    header, *lines = tables[which].read_text().splitlines()
    text = "\n".join([f"{header},{name}", *(f"{line},{line.split(',')[-1]}" for line in lines)])
    tables[which].write_text(text + "\n")
    with pytest.raises(PredictionsError, match=rf"{tables[which].name}: column {name} is there more than once"):
        stack_predictions(*tables, tmp_path / "out", QUICK, 0)


def test_labelled_products_among_the_tests_are_counted(
    tables: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The wrong file given as the test's is noticed, not priced in silence."""
    stack_predictions(*tables, tmp_path / "out", QUICK, 0)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    both = pl.concat([pl.read_csv(tables[1]), pl.read_csv(tables[0]).select("m2", "sample_id", "m0", "m1").head(7)])
    both.write_csv(tables[1])
    stack_predictions(*tables, tmp_path / "out", QUICK, 0)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "test.csv: 7 of 107 ids are in" in warning


def test_missing_file_is_refused(tables: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(PredictionsError, match=r"none\.csv: cannot be read"):
        stack_predictions(tmp_path / "none.csv", tables[1], tmp_path / "out", QUICK, 0)


def test_intervals_are_written_beside(tables: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    metrics = stack_predictions(*tables, out, QUICK, 0, submission=SubmissionConfig(intervals=True))
    table = pl.read_csv(out / "submission_intervals.csv")
    assert table.select("sample_id", "predicted_price").equals(pl.read_csv(out / "submission.csv"))
    _, log_price = make_members(400, 3)
    for level, slack in ((80, 12), (95, 6)):
        inside = (table[f"low_{level}"].to_numpy() <= np.exp(log_price[300:])) & (
            np.exp(log_price[300:]) <= table[f"high_{level}"].to_numpy()
        )
        assert 100 * inside.mean() == pytest.approx(level, abs=slack)
        assert metrics["intervals"][str(level)]["oof_coverage"] == pytest.approx(level, abs=3)
    # a second stack without intervals leaves none of the first one's, and touches nothing else
    for name in ("report.html", "notes.txt"):
        (out / name).write_text("old")
    stack_predictions(*tables, out, QUICK, 0)
    left = {path.name for path in out.iterdir()}
    assert left == {"submission.csv", "metrics.json", "ensemble", "evaluation", "notes.txt"}


def test_folders_of_the_users_are_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "out" / "evaluation").mkdir(parents=True)
    with pytest.raises(InputError, match="has a folder evaluation/"):
        stack_predictions(tmp_path / "none.csv", tmp_path / "none.csv", tmp_path / "out", QUICK, 0)
