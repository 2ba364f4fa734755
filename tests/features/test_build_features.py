"""The stages: contracts of the folders, exact scoring of new rows, same bytes."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pricing.errors import ArtifactError
from pricing.features.build_features import build_features, build_price_features
from pricing.features.engineer import FeatureEngineer
from pricing.features.load import load_features, load_price_features
from pricing.features.price_features import PriceFeatures
from tests.features.conftest import CONFIG, Products
from tests.features.test_engineer import assert_same


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, stage_inputs: tuple[Path, Path]) -> Path:
    out = tmp_path_factory.mktemp("features")
    build_features(*stage_inputs, CONFIG, 0, out)
    return out


@pytest.fixture(scope="module")
def built_fold(tmp_path_factory: pytest.TempPathFactory, stage_inputs: tuple[Path, Path], built: Path) -> Path:
    out = tmp_path_factory.mktemp("fold1")
    build_price_features(*stage_inputs, built, CONFIG.price, 1, 0, out)
    return out


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_same_input_same_bytes(tmp_path: Path, stage_inputs: tuple[Path, Path], built: Path, built_fold: Path) -> None:
    for name in ("features", "fold"):
        (tmp_path / name).mkdir()
    build_features(*stage_inputs, CONFIG, 0, tmp_path / "features")
    assert bytes_of(tmp_path / "features") == bytes_of(built)
    build_price_features(*stage_inputs, built, CONFIG.price, 1, 0, tmp_path / "fold")
    assert bytes_of(tmp_path / "fold") == bytes_of(built_fold)


def test_new_rows_get_what_the_stage_wrote(built: Path, built_fold: Path, products: Products) -> None:
    """Scoring is exact: the saved engineer and price features give single rows the numbers of the stage's tables."""
    written = load_features(built, "test")
    engineer = FeatureEngineer.load(built / "engineer")
    price = PriceFeatures.load(built_fold / "model")
    table = load_price_features(built_fold, "test", written.ids)
    rows = products.frame.tail(40)
    assert_same(engineer.transform(rows), written)
    for at in (0, 13, 39):
        alone = engineer.transform(rows[at])
        assert_same(alone, written.take(np.array([at])))
        assert price.transform(alone).drop("sample_id").equals(table[at], null_equal=True)


def test_holdout_texts_teach_the_engineer_nothing(tmp_path: Path, stage_inputs: tuple[Path, Path], built: Path) -> None:
    catalogue, folds = stage_inputs
    split = pl.read_parquet(folds / "folds.parquet")
    for name in ("catalogue", "out"):
        (tmp_path / name).mkdir()
    train = pl.read_parquet(catalogue / "train.parquet").with_columns(
        catalog_content=pl.when(split["part"] == "holdout")
        .then(pl.lit("Item Name: Zzyzx"))
        .otherwise("catalog_content")
    )
    train.write_parquet(tmp_path / "catalogue" / "train.parquet")
    pl.read_parquet(catalogue / "test.parquet").write_parquet(tmp_path / "catalogue" / "test.parquet")
    build_features(tmp_path / "catalogue", folds, CONFIG, 0, tmp_path / "out")
    learnt = {name: content for name, content in bytes_of(built / "engineer").items() if not name.startswith("index/")}
    assert len(learnt) >= 4
    # the index lists the hold-out's texts for the refit; nothing is learnt from it, and no fold compares with them
    assert {name: bytes_of(tmp_path / "out" / "engineer")[name] for name in learnt} == learnt
    for part in ("before", "after"):
        (tmp_path / part).mkdir()
    build_price_features(catalogue, folds, built, CONFIG.price, 1, 0, tmp_path / "before")
    build_price_features(tmp_path / "catalogue", folds, tmp_path / "out", CONFIG.price, 1, 0, tmp_path / "after")
    visible = (split["part"] == "train").to_numpy()
    tables = [pl.read_parquet(tmp_path / part / "train.parquet").filter(visible) for part in ("before", "after")]
    # up to the last bits: which terms are frequent enough for a dense product depends on all rows of the index
    for name in tables[0].columns[1:]:
        np.testing.assert_allclose(tables[0][name], tables[1][name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_prices_of_validation_and_holdout_rows_reach_nothing(
    tmp_path: Path, stage_inputs: tuple[Path, Path], built: Path, built_fold: Path
) -> None:
    catalogue, folds = stage_inputs
    split = pl.read_parquet(folds / "folds.parquet")
    for name in ("catalogue", "out"):
        (tmp_path / name).mkdir()
    unseen = (split["part"] == "holdout") | (split["fold"] == 1)
    pl.read_parquet(catalogue / "train.parquet").with_columns(
        price=pl.when(unseen).then(pl.col("price") * 1000).otherwise("price")
    ).write_parquet(tmp_path / "catalogue" / "train.parquet")
    build_price_features(tmp_path / "catalogue", folds, built, CONFIG.price, 1, 0, tmp_path / "out")
    for name in ("train.parquet", "test.parquet", "predictions.parquet"):
        assert (tmp_path / "out" / name).read_bytes() == (built_fold / name).read_bytes()


def test_member_format(stage_inputs: tuple[Path, Path], built_fold: Path) -> None:
    split = pl.read_parquet(stage_inputs[1] / "folds.parquet")
    predicted = pl.read_parquet(built_fold / "predictions.parquet")
    assert predicted.schema == {"sample_id": pl.String, "part": pl.String, "log_price": pl.Float64}
    assert predicted.filter(part="valid")["sample_id"].equals(split.filter(fold=1)["sample_id"])
    assert predicted.filter(part="holdout")["sample_id"].equals(split.filter(part="holdout")["sample_id"])
    assert predicted.filter(part="test").height == 40
    record = json.loads((built_fold / "member.json").read_text())
    assert (record["member"], record["fold"]) == ("ridge", 1)
    assert 0 < record["valid_smape"] < 40
    table = pl.read_parquet(built_fold / "train.parquet")
    assert table["sample_id"].equals(split["sample_id"])
    joined = predicted.filter(pl.col("part") != "test").join(table, on="sample_id")
    np.testing.assert_allclose(joined["price_ridge"], joined["log_price"], atol=1e-5)


def test_refit_learns_from_all_labelled_rows_and_predicts_test_only(
    tmp_path: Path, stage_inputs: tuple[Path, Path], built: Path
) -> None:
    build_price_features(*stage_inputs, built, CONFIG.price, None, 0, tmp_path)
    assert pl.read_parquet(tmp_path / "predictions.parquet")["part"].unique().to_list() == ["test"]
    assert np.isfinite(PriceFeatures.load(tmp_path / "model").labelled_price).sum() == 110
    assert pl.read_parquet(tmp_path / "train.parquet").height == 110


def test_folds_of_another_catalogue_are_refused(tmp_path: Path, stage_inputs: tuple[Path, Path]) -> None:
    catalogue, folds = stage_inputs
    pl.read_parquet(folds / "folds.parquet").reverse().write_parquet(tmp_path / "folds.parquet")
    with pytest.raises(ArtifactError, match="in the same order"):
        build_features(catalogue, tmp_path, CONFIG, 0, tmp_path)


def test_a_catalogue_without_rows_to_price(tmp_path: Path, stage_inputs: tuple[Path, Path]) -> None:
    catalogue, folds = stage_inputs
    for name in ("catalogue", "features", "fold"):
        (tmp_path / name).mkdir()
    pl.read_parquet(catalogue / "train.parquet").write_parquet(tmp_path / "catalogue" / "train.parquet")
    pl.read_parquet(catalogue / "test.parquet").clear().write_parquet(tmp_path / "catalogue" / "test.parquet")
    build_features(tmp_path / "catalogue", folds, CONFIG, 0, tmp_path / "features")
    build_price_features(tmp_path / "catalogue", folds, tmp_path / "features", CONFIG.price, 0, 0, tmp_path / "fold")
    assert load_features(tmp_path / "features", "test").tfidf.shape[0] == 0
    assert pl.read_parquet(tmp_path / "fold" / "test.parquet").height == 0
