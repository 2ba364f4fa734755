"""The submission file."""

import csv
import math
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.config.ensemble import SubmissionConfig
from pricing.errors import ArtifactError, PredictionsError
from pricing.run.beside_prices import beside
from pricing.run.submission import create_submission, create_unpriced, write_submission

IDS = st.lists(st.text("0123456789abc-,\"' é", min_size=1, max_size=8), min_size=1, max_size=20, unique=True)


def stages(root: Path, ids: list[str], predicted: list[str], logs: list[float]) -> tuple[Path, Path]:
    for name in ("catalogue", "ensemble"):
        (root / name).mkdir(exist_ok=True)
    pl.DataFrame({"sample_id": ids, "catalog_content": ids}).write_parquet(root / "catalogue" / "unlabelled.parquet")
    pl.DataFrame({"sample_id": predicted, "stack": logs}).write_parquet(root / "ensemble" / "test.parquet")
    return root / "catalogue", root / "ensemble"


@settings(max_examples=25)
@given(IDS, st.text("abc_", min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_format(ids: list[str], header: str, random) -> None:  # type: ignore[no-untyped-def]
    """Property 41: Submission format correctness. A CSV of two columns, sample_id and the configured one, that Python's
    own reader takes, whatever the ids hold."""
    with tempfile.TemporaryDirectory() as root:
        logs = [random.uniform(-3, 7) for _ in ids]
        paths = stages(Path(root), ids, ids, logs)
        target = Path(root) / "new" / "submission.csv"
        create_submission(*paths, SubmissionConfig(price_column=header), target)
        with target.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        assert rows[0] == ["sample_id", header]
        assert all(len(row) == 2 and math.isfinite(float(row[1])) and float(row[1]) > 0 for row in rows[1:])
        assert [path.name for path in target.parent.iterdir()] == ["submission.csv"]


@settings(max_examples=25)
@given(IDS, st.randoms(use_true_random=False))
def test_completeness(ids: list[str], random) -> None:  # type: ignore[no-untyped-def]
    """Property 42: Submission completeness. Every test id once, in the test's order."""
    with tempfile.TemporaryDirectory() as root:
        prices = {i: random.uniform(0.1, 900.0) for i in ids}
        shuffled = random.sample(ids, len(ids))
        paths = stages(Path(root), ids, shuffled, [math.log(prices[i]) for i in shuffled])
        statistics = create_submission(*paths, SubmissionConfig(), Path(root) / "s.csv")
        with (Path(root) / "s.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))[1:]
        assert [row[0] for row in rows] == ids
        # three significant digits, as `tests/metrics/test_rounding.py` has it to the last one
        assert [float(row[1]) for row in rows] == pytest.approx([prices[i] for i in ids], rel=0.0051)
        assert statistics["rows"] == len(ids)
        assert statistics["min"] == min(float(row[1]) for row in rows)


@given(st.floats(-4, 12))
def test_log_space_is_left_once(log_price: float) -> None:
    """Property 43: Submission log space conversion. The price written is e to the stack's log price: neither the log
    itself nor exponentiated twice, and without the minus one of log1p."""
    with tempfile.TemporaryDirectory() as root:
        paths = stages(Path(root), ["a"], ["a"], [log_price])
        create_submission(*paths, SubmissionConfig(), Path(root) / "s.csv")
        written = float((Path(root) / "s.csv").read_text().splitlines()[1].split(",")[1])
        assert written == pytest.approx(math.e**log_price, rel=0.0051)


@pytest.mark.parametrize(
    ("predicted", "logs", "words"),
    [
        (["a"], [1.0], "1 missing .first b."),
        (["a", "b", "c"], [1.0, 1.0, 1.0], "1 unknown .first c."),
        (["a", "a"], [1.0, 1.0], "a is predicted more than once"),
    ],
)
def test_other_products_are_refused(tmp_path: Path, predicted: list[str], logs: list[float], words: str) -> None:
    target = tmp_path / "submission.csv"
    with pytest.raises(ArtifactError, match=words):
        create_submission(*stages(tmp_path, ["a", "b"], predicted, logs), SubmissionConfig(), target)
    assert not target.exists()


@pytest.mark.parametrize("log_price", [float("nan"), 800.0, -800.0])
def test_impossible_price_is_refused_and_the_old_file_stays(tmp_path: Path, log_price: float) -> None:
    target = tmp_path / "submission.csv"
    target.write_text("the last good one")
    with pytest.raises(PredictionsError, match="product b"):
        create_submission(*stages(tmp_path, ["a", "b"], ["a", "b"], [1.0, log_price]), SubmissionConfig(), target)
    assert target.read_text() == "the last good one"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_no_test_rows_make_an_empty_file(tmp_path: Path) -> None:
    statistics = write_submission(pl.Series([], dtype=pl.String), np.empty(0), SubmissionConfig(), tmp_path / "s.csv")
    assert statistics == {"rows": 0}
    assert (tmp_path / "s.csv").read_text() == "sample_id,predicted_price\n"


def test_intervals_stand_beside_the_submission(tmp_path: Path) -> None:
    paths = stages(tmp_path, ["a", "b"], ["b", "a"], [2.0, 1.0])
    table = pl.read_parquet(paths[1] / "test.parquet")
    ends = {"low_80": -0.5, "high_80": 0.5, "low_95": -1.0, "high_95": 2.0}
    table.with_columns((pl.col("stack") + off).alias(name) for name, off in ends.items()).write_parquet(
        paths[1] / "test.parquet"
    )
    target = tmp_path / "out" / "s.csv"
    create_submission(*paths, SubmissionConfig(price_column="price", intervals=True, decimals=3), target)
    with beside(target, "intervals").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(path.name for path in target.parent.iterdir()) == ["s.csv", "s_intervals.csv"]
    assert [row["sample_id"] for row in rows] == ["a", "b"]
    assert float(rows[0]["price"]) == pytest.approx(math.e, abs=0.0005)
    for name, off in ends.items():
        assert float(rows[1][name]) == pytest.approx(math.e ** (2 + off), abs=0.001)


def test_rows_without_a_price_are_written_beside_under_their_own_ids(tmp_path: Path) -> None:
    """The labelled file's b has no price, and the test file has a product b too: the two get a price each."""
    paths = stages(tmp_path, ["b", "a", "b (unpriced)", "c"], ["c", "a", "b", "b (unpriced)"], [4.0, 2.0, 1.0, 3.0])
    table = pl.read_parquet(paths[1] / "test.parquet")
    ends = {name: pl.col("stack") for name in ("low_80", "high_80", "low_95", "high_95")}
    table.with_columns(**ends).write_parquet(paths[1] / "test.parquet")
    pl.DataFrame({"sample_id": ["b", "c"]}).write_parquet(paths[0] / "unpriced.parquet")
    config, out = SubmissionConfig(price_column="price", intervals=True), tmp_path / "out"
    assert create_submission(*paths, config, out / "submission.csv")["rows"] == 2
    found = create_unpriced(*paths, config, out / "unpriced.csv")
    assert found is not None
    assert found["rows"] == 2
    written = {"submission": [("b", math.e), ("a", math.e**2)], "unpriced": [("b", math.e**3), ("c", math.e**4)]}
    for name, rows in written.items():
        table = pl.read_csv(out / f"{name}.csv")
        assert table.columns == ["sample_id", "price"]
        assert table["sample_id"].to_list() == [row[0] for row in rows]
        assert table["price"].to_list() == pytest.approx([row[1] for row in rows], rel=0.01)
        assert pl.read_csv(out / f"{name}_intervals.csv").select("sample_id", "price").equals(table)
    pl.DataFrame({"sample_id": []}, schema={"sample_id": pl.String}).write_parquet(paths[0] / "unpriced.parquet")
    assert create_unpriced(*paths, config, out / "none.csv") is None
    assert not (out / "none.csv").exists()
