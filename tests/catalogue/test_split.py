"""The folds as every stage reads them."""

from pathlib import Path

import polars as pl
import pytest

from pricing.catalogue.split import fold_roles, read_split
from pricing.errors import ArtifactError

SPLIT = pl.DataFrame(
    {"sample_id": list("abcd"), "group": list("abcd"), "part": ["train"] * 3 + ["holdout"], "fold": [0, 1, 0, -1]},
    schema_overrides={"fold": pl.Int8},
)


def test_a_fold_learns_from_the_others_and_never_from_the_holdout() -> None:
    roles = {name: "".join(SPLIT.filter(pl.Series(mask))["sample_id"]) for name, mask in fold_roles(SPLIT, 0).items()}
    assert roles == {"train": "b", "valid": "ac", "holdout": "d"}
    assert {name: mask.all() for name, mask in fold_roles(SPLIT, None).items()} == {"train": True}


@pytest.mark.parametrize(("fold", "split"), [(2, SPLIT), (-1, SPLIT), (0, SPLIT.filter(fold=0))])
def test_a_fold_without_rows_is_refused(fold: int, split: pl.DataFrame) -> None:
    with pytest.raises(ArtifactError, match=rf"fold {fold} has .* the folds are \[0"):
        fold_roles(split, fold)


def test_folds_of_other_rows_are_refused(tmp_path: Path) -> None:
    SPLIT.write_parquet(tmp_path / "folds.parquet")
    assert read_split(tmp_path, SPLIT["sample_id"]).equals(SPLIT)
    for ids in (SPLIT["sample_id"].reverse(), SPLIT["sample_id"].head(3)):
        with pytest.raises(ArtifactError, match=r"folds\.parquet: its 4 rows .* in the same order; assign"):
            read_split(tmp_path, ids)
    SPLIT.drop("group").write_parquet(tmp_path / "folds.parquet")
    with pytest.raises(ArtifactError, match=r"(?s)with the columns sample_id, group.*rebuild"):
        read_split(tmp_path, SPLIT["sample_id"])
