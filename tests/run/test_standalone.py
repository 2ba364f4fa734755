"""`pricing ensemble` on anybody's tables."""

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pricing.config.ensemble import SubmissionConfig
from pricing.errors import InputError, PredictionsError
from pricing.metrics.price_metrics import calculate_smape
from pricing.report.compare import compare_runs
from pricing.run.standalone import stack_predictions
from pricing.run.unit_warnings import unit_warnings
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
    # the true prices have no common decimals, so two; read as text
    assert all(re.fullmatch(r"\d+\.\d\d|[0-9.]{5}", line.split(",")[1]) for line in lines[1:])
    assert metrics["rounding"]["decimals"] == 2
    assert abs(metrics["rounding"]["smape_change"]) < 0.1
    assert metrics["warnings"] == []
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
    with pytest.raises(PredictionsError, match=rf"{tables[which].name}: column 'm1', sample_id '{sample_id}': "):
        stack_predictions(*tables, tmp_path / "out", QUICK, 0)
    assert not (tmp_path / "out" / "submission.csv").exists()


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda t: t.with_columns(price=-pl.col("price")), "column 'price', sample_id '0': '-[0-9.]*'; .* column.$"),
        (lambda t: t.with_columns(fold=pl.lit("x")), "column 'fold', sample_id '0': 'x'"),
        (lambda t: t.with_columns(fold=pl.lit(3)), "column 'fold' is 3 everywhere"),
    ],
)
@pytest.mark.parametrize("on_bad", ["refuse", "clip"])
def test_wrong_labels_are_refused(tables, tmp_path: Path, edit, words: str, on_bad: str) -> None:  # type: ignore[no-untyped-def]
    """No label is clipped: a price of zero is no price."""
    edit(pl.read_csv(tables[0])).write_csv(tables[0])
    config = QUICK.model_copy(update={"on_bad_predictions": on_bad})
    with pytest.raises(PredictionsError, match=words):
        stack_predictions(*tables, tmp_path / "out", config, 0)


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


def test_intervals_are_written_beside(tables: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    metrics = stack_predictions(*tables, out, QUICK, 0, submission=SubmissionConfig(intervals=True))
    table = pl.read_csv(out / "submission_intervals.csv")
    assert table.select("sample_id", "predicted_price").equals(pl.read_csv(out / "submission.csv"))
    for low, high in (("low_80", "high_80"), ("low_95", "high_95")):
        assert table.select(pl.col("predicted_price").is_between(low, high).all()).item()
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


def rewritten(path: Path, column: str, cells: dict[int, float | str]) -> None:
    """The table with other cells in some rows of a column."""
    table = pl.read_csv(path, infer_schema=False)
    values = [str(cells.get(row, value)) for row, value in enumerate(table[column])]
    table.with_columns(pl.Series(column, values)).write_csv(path)


def test_bad_predictions_can_be_clipped(tables: tuple[Path, Path], tmp_path: Path) -> None:
    """Models of raw prices predict a handful below zero. They count as the smallest known price, and are told of."""
    oof, test = tables
    rewritten(oof, "m1", {3: -1.5, 5: 0})
    rewritten(test, "m2", {7: "-0.0"})
    with pytest.raises(PredictionsError, match=r"'-1.5'; .* \(2 such values .*--on-bad-predictions clip"):
        stack_predictions(oof, test, tmp_path / "out", QUICK, 0)
    clip = QUICK.model_copy(update={"on_bad_predictions": "clip"})
    found = stack_predictions(oof, test, tmp_path / "out", clip, 0)
    cheapest = pl.read_csv(oof)["price"].min()
    assert found["clipped_predictions"] == {
        "oof": {"floor": pytest.approx(cheapest), "columns": {"m1": 2}, "ids": {"m1": ["3", "5"]}},
        "test": {"floor": pytest.approx(cheapest), "columns": {"m2": 1}, "ids": {"m2": ["307"]}},
    }
    assert len(found["warnings"]) == 2
    assert "oof.csv: column 'm1': 2 predictions were not above 0" in found["warnings"][0]
    assert "test.csv: column 'm2': 1 predictions" in found["warnings"][1]
    # the same as if the floor had been written there
    rewritten(oof, "m1", {3: cheapest, 5: cheapest})
    rewritten(test, "m2", {7: cheapest})
    by_hand = stack_predictions(oof, test, tmp_path / "by_hand", QUICK, 0)
    assert by_hand["stack"]["oof_smape"] == pytest.approx(found["stack"]["oof_smape"])
    written = [pl.read_csv(tmp_path / name / "submission.csv")["predicted_price"] for name in ("out", "by_hand")]
    np.testing.assert_allclose(*written, rtol=0.01)


@pytest.mark.parametrize("value", ["", "nan", "inf", "-inf", "many"])
def test_clip_guesses_no_missing_prediction(tables: tuple[Path, Path], tmp_path: Path, value: str) -> None:
    rewritten(tables[1], "m1", {2: value, 3: -1.0})
    clip = QUICK.model_copy(update={"on_bad_predictions": "clip"})
    with pytest.raises(PredictionsError, match=r"sample_id '302': .* \(1 such values .*clip is for zero and negative"):
        stack_predictions(*tables, tmp_path / "out", clip, 0)


@pytest.mark.parametrize("rows", [1, 5, 12, 19])
def test_too_few_rows_are_refused_when_the_file_is_read(tables: tuple[Path, Path], tmp_path: Path, rows: int) -> None:
    pl.read_csv(tables[0]).head(rows).write_csv(tables[0])
    with pytest.raises(
        PredictionsError, match=rf"oof.csv: has {rows} rows with a price, too few .* expected 20 or more"
    ):
        stack_predictions(*tables, tmp_path / "out", QUICK, 0)


@pytest.mark.parametrize("folds", [None, 2, 15])
def test_thirty_rows_are_enough(tables: tuple[Path, Path], tmp_path: Path, folds: int | None) -> None:
    table = pl.read_csv(tables[0]).head(30)
    if folds:
        table = table.with_columns(fold=pl.int_range(pl.len()) % folds)
    table.write_csv(tables[0])
    stack_predictions(*tables, tmp_path / "out", QUICK, 0)
    assert len(pl.read_csv(tmp_path / "out" / "submission.csv")) == 100


def test_prices_are_rounded_to_the_catalogues_decimals(tables: tuple[Path, Path], tmp_path: Path) -> None:
    """Whole yen in, whole yen out: never a figure of another kind than the catalogue's own."""
    members = pl.col("m0", "m1", "m2") * 150
    pl.read_csv(tables[0]).with_columns((pl.col("price") * 150).round(0).cast(pl.Int64), members).write_csv(tables[0])
    pl.read_csv(tables[1]).with_columns(members).write_csv(tables[1])
    metrics = stack_predictions(*tables, tmp_path / "out", QUICK, 0, submission=SubmissionConfig(intervals=True))
    assert metrics["rounding"]["decimals"] == 0
    dear = [
        cell
        for name in ("submission.csv", "submission_intervals.csv")
        for line in (tmp_path / "out" / name).read_text().splitlines()[1:]
        for cell in line.split(",")[1:]
        if float(cell) >= 100
    ]
    assert len(dear) > 300
    assert all(cell.isdigit() for cell in dear)


def test_a_model_that_is_worse_than_a_constant_is_told_of(tables: tuple[Path, Path], tmp_path: Path) -> None:
    """Logs and cents are the usual reasons."""
    for path in tables:
        cents, logs = pl.col("m1") * 100, (pl.col("m2") + 1).log()
        pl.read_csv(path).with_columns(cents.alias("cents"), logs.alias("logs")).write_csv(path)
    metrics = stack_predictions(*tables, tmp_path / "out", QUICK, 0)
    cents, logs = metrics["warnings"]
    known = metrics["models"]
    constant = metrics["constant"]["oof_smape"]
    assert f"model 'cents' has SMAPE {known['cents']['oof_smape']:.1f} on the labelled rows, worse than" in cents
    assert f"best constant's {constant:.1f}" in cents
    assert re.search(r"another unit\? they are some (9\d\.\d|1\d\d) times the prices", cents)
    assert f"model 'logs' has SMAPE {known['logs']['oof_smape']:.1f}" in logs
    assert re.search(r"are these log prices\? exp(m1)?\(\) of them has [34]\d\.\d; give prices", logs)
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["warnings"] == metrics["warnings"]


def test_predictions_of_any_size_are_judged() -> None:
    """A softplus gives 1e-20: whether these are logarithms is asked without a warning of numpy's."""
    log_price = np.random.default_rng(0).normal(3, 1, 50)
    for size in (1e-300, 1e-20, 1e300):
        (line,) = unit_warnings({"m": np.full(50, np.log(size))}, log_price, 70.0)
        assert line.startswith("model 'm' has SMAPE 200.0 on the labelled rows")
