"""What a member leaves, as every reader finds it."""

from pathlib import Path

import numpy as np
import polars as pl

from pricing.members.predictions import write_predictions


def test_predictions_have_one_form(tmp_path: Path) -> None:
    ids = pl.Series(["a", "b"])
    write_predictions(tmp_path, {"valid": (ids, np.float32([1.5, 2])), "test": (ids.clear(), np.zeros(0))})
    table = pl.read_parquet(tmp_path / "predictions.parquet")
    assert table.schema == {"sample_id": pl.String, "role": pl.String, "log_price": pl.Float64}
    assert table.rows() == [("a", "valid", 1.5), ("b", "valid", 2.0)]
