"""The steps: contracts of the folders, exact scoring of new rows, same bytes."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pricing.errors import ArtifactError
from pricing.features.build_features import build_features
from pricing.features.build_price_features import build_price_features
from pricing.features.engineer import FeatureEngineer
from pricing.features.load import load_features, load_price_features
from pricing.features.price_features import PriceFeatures
from pricing.metrics.smape import smape_of_logs
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
    written = load_features(built, "unlabelled")
    engineer = FeatureEngineer.load(built / "engineer")
    price = PriceFeatures.load(built_fold / "model")
    table = load_price_features(built_fold, "unlabelled", written.ids)
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
    labelled = pl.read_parquet(catalogue / "labelled.parquet").with_columns(
        catalog_content=pl.when(split["part"] == "holdout")
        .then(pl.lit("Item Name: Zzyzx"))
        .otherwise("catalog_content")
    )
    labelled.write_parquet(tmp_path / "catalogue" / "labelled.parquet")
    pl.read_parquet(catalogue / "unlabelled.parquet").write_parquet(tmp_path / "catalogue" / "unlabelled.parquet")
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
    tables = [pl.read_parquet(tmp_path / part / "labelled.parquet").filter(visible) for part in ("before", "after")]
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
    pl.read_parquet(catalogue / "labelled.parquet").with_columns(
        price=pl.when(unseen).then(pl.col("price") * 1000).otherwise("price")
    ).write_parquet(tmp_path / "catalogue" / "labelled.parquet")
    build_price_features(tmp_path / "catalogue", folds, built, CONFIG.price, 1, 0, tmp_path / "out")
    for name in ("labelled.parquet", "unlabelled.parquet"):
        assert (tmp_path / "out" / name).read_bytes() == (built_fold / name).read_bytes()


def test_ridge_predicts_every_row_that_its_fold_does_not_learn_from(
    stage_inputs: tuple[Path, Path], built: Path, built_fold: Path
) -> None:
    split = pl.read_parquet(stage_inputs[1] / "folds.parquet")
    price = np.log(pl.read_parquet(stage_inputs[0] / "labelled.parquet")["price"].to_numpy())
    model = PriceFeatures.load(built_fold / "model")
    known = load_price_features(built_fold, "labelled", split["sample_id"])
    assert known.schema["ridge"] == pl.Float64
    learnt = ((split["part"] == "train") & (split["fold"] != 1)).to_numpy()
    ridge = known["ridge"].to_numpy()
    assert np.array_equal(np.isnan(ridge), learnt)
    labelled = load_features(built, "labelled")
    # a role at a time or one row alone: the same bits
    for rows in ((split["fold"] == 1).to_numpy(), (split["part"] == "holdout").to_numpy(), np.flatnonzero(~learnt)[:1]):
        assert ridge[rows].tolist() == model.predict_ridge(labelled.take(rows)).tolist()
    np.testing.assert_allclose(known["price_ridge"].to_numpy()[~learnt], ridge[~learnt], atol=1e-5)
    assert 0 < smape_of_logs(ridge[~learnt], price[~learnt]) < 40
    unlabelled = load_features(built, "unlabelled")
    found = load_price_features(built_fold, "unlabelled", unlabelled.ids)["ridge"]
    assert found.to_list() == model.predict_ridge(unlabelled).tolist()


def test_refit_learns_from_all_labelled_rows(tmp_path: Path, stage_inputs: tuple[Path, Path], built: Path) -> None:
    build_price_features(*stage_inputs, built, CONFIG.price, None, 0, tmp_path)
    assert np.isfinite(PriceFeatures.load(tmp_path / "model").labelled_price).sum() == 110
    known = pl.read_parquet(tmp_path / "labelled.parquet")
    assert known.height == 110
    assert known["ridge"].is_nan().all()
    assert pl.read_parquet(tmp_path / "unlabelled.parquet")["ridge"].is_finite().all()


def test_folds_of_another_catalogue_are_refused(tmp_path: Path, stage_inputs: tuple[Path, Path]) -> None:
    catalogue, folds = stage_inputs
    pl.read_parquet(folds / "folds.parquet").reverse().write_parquet(tmp_path / "folds.parquet")
    with pytest.raises(ArtifactError, match="in the same order"):
        build_features(catalogue, tmp_path, CONFIG, 0, tmp_path)


def test_a_catalogue_without_rows_to_price(tmp_path: Path, stage_inputs: tuple[Path, Path]) -> None:
    catalogue, folds = stage_inputs
    for name in ("catalogue", "features", "fold"):
        (tmp_path / name).mkdir()
    pl.read_parquet(catalogue / "labelled.parquet").write_parquet(tmp_path / "catalogue" / "labelled.parquet")
    pl.read_parquet(catalogue / "unlabelled.parquet").clear().write_parquet(
        tmp_path / "catalogue" / "unlabelled.parquet"
    )
    build_features(tmp_path / "catalogue", folds, CONFIG, 0, tmp_path / "features")
    build_price_features(tmp_path / "catalogue", folds, tmp_path / "features", CONFIG.price, 0, 0, tmp_path / "fold")
    assert load_features(tmp_path / "features", "unlabelled").tfidf.shape[0] == 0
    assert pl.read_parquet(tmp_path / "fold" / "unlabelled.parquet").height == 0
