"""Files beside a submission."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pricing.config.ensemble import SubmissionConfig
from pricing.errors import PredictionsError
from pricing.run.beside_prices import beside, write_comparables, write_intervals, write_rejected, write_trust
from pricing.run.submission import write_submission


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ({"low_80": [1.0, 3.5]}, "low_80 is 3.5 for the price 3.0 of product b"),
        ({"high_80": [2.0, float("inf")]}, "high_80 is inf"),
        ({"low_80": [0.0, 1.0]}, "low_80 is 0.0 for the price 2.0 of product a"),
    ],
)
def test_impossible_intervals_are_refused(tmp_path: Path, ends: dict[str, list[float]], words: str) -> None:
    arrays = {name: np.array(values) for name, values in ends.items()}
    config = SubmissionConfig(price_column="price")
    with pytest.raises(PredictionsError, match=words):
        write_intervals(pl.Series(["a", "b"]), np.array([2.0, 3.0]), arrays, config, tmp_path / "s.csv")
    assert not beside(tmp_path / "s.csv", "intervals").exists()


def test_files_of_earlier_prices_go_with_them(tmp_path: Path) -> None:
    """Intervals of the last catalogue beside the prices of this one would be taken for theirs."""
    ids, price, target = pl.Series(["a"]), np.array([2.0]), tmp_path / "prices.csv"
    ends = {name: np.array([2.0]) for name in ("low_80", "high_80", "low_95", "high_95")}
    write_submission(ids, price, SubmissionConfig(), target)
    write_intervals(ids, price, ends, SubmissionConfig(), target)
    write_comparables(pl.DataFrame({"sample_id": ids, "price": [9.5]}), SubmissionConfig(), target)
    assert beside(target, "comparables").read_text() == "sample_id,price\na,9.50\n"
    write_rejected(pl.DataFrame({"sample_id": ids, "reason": ["a total"]}), SubmissionConfig(), target)
    write_trust(ids, pl.DataFrame({"trust": ["low"], "reason": ["wide interval"]}), SubmissionConfig(), target)
    assert beside(target, "trust").read_text() == "sample_id,trust,reason\na,low,wide interval\n"
    (tmp_path / "prices_drift.json").write_text("{}")
    (tmp_path / "other_intervals.csv").write_text("mine")
    with pytest.raises(PredictionsError):
        write_submission(ids, -price, SubmissionConfig(), target)
    assert beside(target, "intervals").exists()
    write_submission(ids, price, SubmissionConfig(), target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other_intervals.csv", "prices.csv"]


def test_formulas_in_other_peoples_ids_are_escaped_where_asked(tmp_path: Path) -> None:
    """A product called =HYPERLINK(...) would be a link in whoever's spreadsheet opens the prices."""
    ids, target = pl.Series(['=HYPERLINK("http://x","y")', "@a", "-1", "b=1"]), tmp_path / "prices.csv"
    price = np.array([2.0, 3.0, 4.0, 5.0])
    write_submission(ids, price, SubmissionConfig(excel_safe=True, decimals=0), target)
    found = pl.read_csv(target)
    assert found["sample_id"].to_list() == ['\'=HYPERLINK("http://x","y")', "'@a", "'-1", "b=1"]
    assert found["predicted_price"].to_list() == [2, 3, 4, 5]
    trust = pl.DataFrame({"trust": ["low"] * 4, "reason": ["+1"] * 4})
    write_trust(ids, trust, SubmissionConfig(excel_safe=True), target)
    assert pl.read_csv(beside(target, "trust"))["reason"].unique().to_list() == ["'+1"]
    write_submission(ids, price, SubmissionConfig(), target)
    assert pl.read_csv(target)["sample_id"].to_list() == ids.to_list()
