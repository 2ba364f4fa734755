"""The members of the boosting libraries on one fold: what they leave, who learns from whom, what they refuse."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pricing.errors import ArtifactError, SchemaError, TrainingError
from pricing.members.fold_rows import FoldInputs, FoldRows, Rows
from pricing.members.lightgbm import LightGBM
from pricing.members.train_fold import train_fold
from pricing.members.trees.boosting import table_rows
from pricing.metrics.smape import smape_of_logs
from pricing.store.codehash import code_digests, library_versions
from tests.members.trees.conftest import LIBRARIES, TESTS, TINY, each_library, fold_rows, make_table, tiny, write_stages

FILES = {"predictions.parquet", "member.json", "importance.parquet", "curves.parquet", "model"}


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of 160 labelled rows, 3 folds, 20 test rows."""
    return write_stages(tmp_path_factory.mktemp("stages"))


def inputs(stages: Path) -> tuple[Path, Path, Path]:
    return stages / "catalogue", stages / "folds", stages / "features"


def line(library: str) -> str:
    return f"pricing.members.{library}:{LIBRARIES[library].__name__}"


@each_library
def test_a_fold(library: str, stages: Path, tmp_path: Path) -> None:
    given = inputs(stages)
    train_fold(line(library), *given, TINY[library], 1, 0, tmp_path, price_features=stages / "price")
    assert {path.name for path in tmp_path.iterdir()} == FILES
    predictions = pl.read_parquet(tmp_path / "predictions.parquet")
    assert dict(predictions.schema) == {"sample_id": pl.String, "role": pl.String, "log_price": pl.Float64}
    rows = FoldRows.read(FoldInputs(*given, stages / "price"), 1)
    assert set(predictions["role"]) == {"valid", "holdout", "test"}
    for role in ("valid", "holdout", "test"):
        assert predictions.filter(pl.col("role") == role)["sample_id"].to_list() == rows[role].ids.to_list()
    assert len(rows["test"]) == TESTS
    member = json.loads((tmp_path / "member.json").read_text())
    valid = predictions.filter(pl.col("role") == "valid")["log_price"].to_numpy()
    assert member["valid_smape"] == pytest.approx(smape_of_logs(valid, rows["valid"].log_price))
    assert (member["member"], member["fold"], member["rows"], member["features"]) == (library, 1, 80, 6)
    curves = pl.read_parquet(tmp_path / "curves.parquet")
    assert curves.columns == ["round", "split", "metric", "value"]
    assert set(curves["split"]) == {"train", "valid"}
    assert set(pl.read_parquet(tmp_path / "importance.parquet")["feature"]) >= {"price_ridge", "brand"}
    again = LIBRARIES[library].load(tmp_path / "model").predict(rows["test"])
    assert again.tolist() == predictions.filter(pl.col("role") == "test")["log_price"].to_list()


@each_library
def test_refit(library: str, stages: Path, tmp_path: Path) -> None:
    """It trains on all labelled rows, for the folds' median number of rounds."""
    for number, rounds in enumerate((3, 7, 90)):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "member.json").write_text(json.dumps({"best_round": rounds}))
    out = tmp_path / "out"
    out.mkdir()
    train_fold(
        line(library), *inputs(stages), TINY[library], None, 0, out, price_features=stages / "price",
        fold_models=[tmp_path / str(number) for number in range(3)],
    )  # fmt: skip
    member = json.loads((out / "member.json").read_text())
    assert (member["fold"], member["best_round"], member["rows"], member["valid_smape"]) == (None, 7, 160, None)
    assert set(pl.read_parquet(out / "predictions.parquet")["role"]) == {"test"}


def test_refused(stages: Path, tmp_path: Path) -> None:
    options = {"price_features": stages / "price"}
    with pytest.raises(TrainingError, match=r"lightgbm: no valid rows .* rounds"):
        train_fold(line("lightgbm"), *inputs(stages), TINY["lightgbm"], None, 0, tmp_path, **options)
    with pytest.raises(ArtifactError, match=r"fold 7 .* \[0, 1, 2\]"):
        train_fold(line("lightgbm"), *inputs(stages), TINY["lightgbm"], 7, 0, tmp_path, **options)
    catalogue = tmp_path / "catalogue"
    shutil.copytree(stages / "catalogue", catalogue)
    pl.read_parquet(catalogue / "labelled.parquet").reverse().write_parquet(catalogue / "labelled.parquet")
    with pytest.raises(ArtifactError, match="build the features of this catalogue"):
        train_fold(line("lightgbm"), catalogue, *inputs(stages)[1:], TINY["lightgbm"], 0, 0, tmp_path, **options)


def test_columns_of_features_and_price_features_are_told_apart(stages: Path) -> None:
    rows = FoldRows.read(FoldInputs(*inputs(stages), stages / "price"), 1)["test"]
    assert rows.table().columns == [*rows.features.tabular.columns, "price_ridge"]
    with pytest.raises(SchemaError, match="brand"):
        replace(rows, price=rows.price.with_columns(brand=1)).table()


def test_seeds_of_a_fold_are_averaged_and_saved(tmp_path: Path) -> None:
    """The first model is that of one seed, and the prediction the mean of the models in the folder."""
    table, log_price = make_table(160, 3)
    rows, new = fold_rows(table, log_price, 120), table_rows(make_table(20, 4)[0])
    made = {}
    for seeds in (1, 3):
        made[seeds] = LightGBM(tiny("lightgbm", extra_trees=True, seeds=seeds)).fit(rows)
        (tmp_path / str(seeds)).mkdir()
        made[seeds].save(tmp_path / str(seeds))
    first = Path("0", "model.txt")
    assert (tmp_path / "1" / first).read_bytes() == (tmp_path / "3" / first).read_bytes()
    each = [LightGBM.Model.load(tmp_path / "3" / str(number)).predict(new.table()) for number in range(3)]
    assert len({tuple(prediction) for prediction in each}) == 3
    found = made[3].predict(new)
    np.testing.assert_allclose(found, np.mean(each, axis=0), rtol=1e-12)
    loaded = LightGBM.load(tmp_path / "3")
    assert loaded.predict(new).tolist() == found.tolist()
    assert made[3].describe().best_round == sorted(model.rounds for model in loaded.models)[1]
    with pytest.raises(ArtifactError, match="expected a member's models"):
        LightGBM.load(tmp_path)
    # a copy that lost its last model once priced with the others, unnoticed
    shutil.rmtree(tmp_path / "3" / "2")
    with pytest.raises(ArtifactError, match=r"2.schema\.json"):
        LightGBM.load(tmp_path / "3")


def test_models_of_the_same_rows_read_them_by_encoders_of_their_own(tmp_path: Path) -> None:
    """Members of equal encoders share what these made of the rows; those of another fold know other categories."""
    table, log_price = make_table(160, 3)
    few, many = (LightGBM(tiny("lightgbm")).fit(fold_rows(table, log_price, count)) for count in (60, 120))
    few.models[0].encoder.categories["brand"] = few.models[0].encoder.categories["brand"][1:]
    alone = [member.predict(table_rows(make_table(20, 4)[0])).tolist() for member in (few, many, few)]
    shared = table_rows(make_table(20, 4)[0])
    assert [member.predict(shared).tolist() for member in (few, many, few)] == alone


@each_library
def test_a_target_per_unit_is_undone_for_new_rows(library: str, tmp_path: Path) -> None:
    """Predictions are log prices whatever the trees learn, and a saved model gives the same ones again."""
    table, log_price = make_table(160, 3)
    table = table.rename({table.columns[0]: "ipq_log_amount", "brand": "ipq_family"})
    rows = fold_rows(table, log_price, 120)
    member = LIBRARIES[library](tiny(library, amount_exponent=1.0)).fit(rows)
    member.save(tmp_path)
    found = member.predict(rows["valid"])
    assert LIBRARIES[library].load(tmp_path).predict(rows["valid"]).tolist() == found.tolist()
    assert abs(np.median(log_price[120:] - found)) < 0.5


@each_library
def test_hold_out_and_validation_prices_do_not_reach_a_fold(library: str) -> None:
    """With the hold-out's prices changed a fold predicts the same bytes; with rounds given, validation prices too."""
    table, log_price = make_table(160, 3)
    rows = fold_rows(table[:120], log_price[:120], 80)
    rows = replace(rows, roles={**rows, "holdout": table_rows(table[120:], log_price[120:])})

    def changed(part: Rows) -> Rows:
        return replace(part, frame=part.frame.with_columns(pl.col("log_price") + 7))

    other = replace(rows, roles={role: part if role == "train" else changed(part) for role, part in rows.items()})
    outputs = []
    for given in (rows, other):
        member = LIBRARIES[library](TINY[library]).fit(given, rounds=6)
        outputs.append([member.predict(rows[role]).tobytes() for role in ("valid", "holdout")])
    assert outputs[0] == outputs[1]


def test_a_fold_without_a_category_of_another() -> None:
    """A unit that only the validation fold holds is read as missing, not refused."""
    table, log_price = make_table(160, 3)
    only = pl.when(pl.int_range(pl.len()) >= 120).then(pl.lit("dozen")).otherwise(pl.col("brand"))
    rows = fold_rows(table.with_columns(only.alias("brand")), log_price, 120)
    member = LIBRARIES["xgboost"](TINY["xgboost"]).fit(rows)
    assert np.isfinite(member.predict(rows["valid"])).all()


@each_library
def test_a_member_is_trained_again_for_its_own_code_alone(library: str) -> None:
    code = code_digests(line(library).partition(":")[0])
    assert {f"pricing.members.{library}", "pricing.members.trees.boosted", "pricing.members.trees.target"} <= set(code)
    others = {f"pricing.members.{name}" for name in LIBRARIES if name != library}
    assert not others & set(code)
    unrelated = ("pricing.members.registry", "pricing.members.tuning", "pricing.members.multimodal", "pricing.config")
    assert not [name for name in code if name.startswith(unrelated)]
    assert {name for name in library_versions(f"pricing.members.{library}") if name in LIBRARIES} == {library}
