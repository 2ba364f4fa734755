"""Folds and predictions, as every stage reads and writes them."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pricing.errors import ArtifactError
from pricing.store.tables import fold_parts, read_split, write_predictions

SPLIT = pl.DataFrame(
    {"sample_id": list("abcd"), "group": list("abcd"), "part": ["train"] * 3 + ["holdout"], "fold": [0, 1, 0, -1]},
    schema_overrides={"fold": pl.Int8},
)


def test_a_fold_learns_from_the_others_and_never_from_the_holdout() -> None:
    parts = {name: "".join(SPLIT.filter(pl.Series(mask))["sample_id"]) for name, mask in fold_parts(SPLIT, 0).items()}
    assert parts == {"learn": "b", "valid": "ac", "holdout": "d"}
    assert {name: mask.all() for name, mask in fold_parts(SPLIT, None).items()} == {"learn": True}


@pytest.mark.parametrize(("fold", "split"), [(2, SPLIT), (-1, SPLIT), (0, SPLIT.filter(fold=0))])
def test_a_fold_without_rows_is_refused(fold: int, split: pl.DataFrame) -> None:
    with pytest.raises(ArtifactError, match=rf"fold {fold} has .* the folds are \[0"):
        fold_parts(split, fold)


def test_folds_of_other_rows_are_refused(tmp_path: Path) -> None:
    SPLIT.write_parquet(tmp_path / "folds.parquet")
    assert read_split(tmp_path, SPLIT["sample_id"]).equals(SPLIT)
    for ids in (SPLIT["sample_id"].reverse(), SPLIT["sample_id"].head(3)):
        with pytest.raises(ArtifactError, match=r"folds\.parquet: its 4 rows .* in the same order; assign"):
            read_split(tmp_path, ids)
    SPLIT.drop("group").write_parquet(tmp_path / "folds.parquet")
    with pytest.raises(ArtifactError, match=r"(?s)with the columns sample_id, group.*rebuild"):
        read_split(tmp_path, SPLIT["sample_id"])


def test_predictions_have_one_form(tmp_path: Path) -> None:
    ids = pl.Series(["a", "b"])
    write_predictions(tmp_path, {"valid": (ids, np.float32([1.5, 2])), "test": (ids.clear(), np.zeros(0))})
    table = pl.read_parquet(tmp_path / "predictions.parquet")
    assert table.schema == {"sample_id": pl.String, "part": pl.String, "log_price": pl.Float64}
    assert table.rows() == [("a", "valid", 1.5), ("b", "valid", 2.0)]
