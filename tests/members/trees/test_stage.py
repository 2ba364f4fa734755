"""The stage functions on small stage outputs: what they write, who learns from whom, what they refuse."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from OLD.GBDT import GBDTConfig
from scipy import sparse

from pricing.config.tuning import TuningConfig
from pricing.configuration import load_config
from pricing.errors import ArtifactError, ConfigError, SchemaError, TrainingError
from pricing.features.load import FeatureSchema, FeatureSet, load_features, load_price_features, save_features
from pricing.members.trees.bag import Bag
from pricing.members.trees.rows import assemble
from pricing.members.trees.stage import predict_member, train_fold
from pricing.members.trees.tree_model import LIBRARIES, GBDTModel
from pricing.members.tuning.tune import tune
from pricing.metrics.smape import smape_of_logs
from tests.members.trees.conftest import make_table

ROWS, TESTS = 160, 20
FILES = {"predictions.parquet", "member.json", "importance.parquet", "curves.parquet", "model"}

each_library = pytest.mark.parametrize("library", LIBRARIES)


def feature_set(table: pl.DataFrame, ids: list[str]) -> FeatureSet:
    schema = FeatureSchema(tuple(table.columns[:-1]), ("brand",), 3)
    matrix = sparse.csr_matrix((table.height, 3), dtype=np.float32)
    return FeatureSet(pl.Series("sample_id", ids), table, matrix, schema)


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """catalogue/, folds/, features/ and price/ as their stages leave them: 160 labelled rows, 3 folds, 20 test rows."""
    root = tmp_path_factory.mktemp("stages")
    table, log_price = make_table(ROWS + TESTS, 3)
    ids = [f"id{number}" for number in range(ROWS + TESTS)]
    for name in ("catalogue", "folds", "features", "price"):
        (root / name).mkdir()
    catalogue = pl.DataFrame({"sample_id": ids[:ROWS], "price": np.exp(log_price[:ROWS])})
    catalogue.write_parquet(root / "catalogue" / "train.parquet")
    fold = np.arange(ROWS) % 4 - 1  # a quarter is the hold-out
    folds = catalogue.select("sample_id", group="sample_id", part=pl.Series(np.where(fold < 0, "holdout", "train")))
    folds.with_columns(fold=pl.Series(fold, dtype=pl.Int8)).write_parquet(root / "folds" / "folds.parquet")
    save_features(feature_set(table[:ROWS], ids[:ROWS]), root / "features", "train")
    save_features(feature_set(table[ROWS:], ids[ROWS:]), root / "features", "test")
    ridge = (log_price + np.random.default_rng(0).normal(0, 0.5, len(log_price))).astype(np.float32)
    price = pl.DataFrame({"sample_id": ids, "price_ridge": ridge})
    price[:ROWS].write_parquet(root / "price" / "train.parquet")
    price[ROWS:].write_parquet(root / "price" / "test.parquet")
    return root


def inputs(stages: Path) -> tuple[Path, Path, Path, Path]:
    return stages / "catalogue", stages / "folds", stages / "features", stages / "price"


@each_library
def test_a_fold(library: str, stages: Path, tiny: GBDTConfig, tmp_path: Path) -> None:
    train_fold(*inputs(stages), tiny, library, 1, 0, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == FILES
    predictions = pl.read_parquet(tmp_path / "predictions.parquet")
    assert dict(predictions.schema) == {"sample_id": pl.String, "part": pl.String, "log_price": pl.Float64}
    folds = pl.read_parquet(stages / "folds" / "folds.parquet")
    for part, expected in (
        ("valid", folds.filter(pl.col("fold") == 1)["sample_id"].to_list()),
        ("holdout", folds.filter(pl.col("part") == "holdout")["sample_id"].to_list()),
        ("test", [f"id{number}" for number in range(ROWS, ROWS + TESTS)]),
    ):
        assert predictions.filter(pl.col("part") == part)["sample_id"].to_list() == expected
    member = json.loads((tmp_path / "member.json").read_text())
    actual = np.log(pl.read_parquet(stages / "catalogue" / "train.parquet")["price"].to_numpy())[folds["fold"] == 1]
    valid = predictions.filter(pl.col("part") == "valid")["log_price"].to_numpy()
    assert member["valid_smape"] == pytest.approx(smape_of_logs(valid, actual))
    assert (member["member"], member["fold"], member["rows"]) == (library, 1, 80)
    curves = pl.read_parquet(tmp_path / "curves.parquet")
    assert set(curves["split"]) == {"train", "valid"}
    assert set(pl.read_parquet(tmp_path / "importance.parquet")["feature"]) >= {"price_ridge", "brand"}

    features = load_features(stages / "features", "test")
    price = load_price_features(stages / "price", "test", features.ids)
    again = predict_member(tmp_path / "model", features, price)
    assert again.tolist() == predictions.filter(pl.col("part") == "test")["log_price"].to_list()


def test_seeds_of_a_fold_are_averaged_and_saved(stages: Path, tiny: GBDTConfig, tmp_path: Path) -> None:
    """The first model is that of one seed, and the prediction the mean of the models in the folder."""
    for name, seeds in (("one", 1), ("three", 3)):
        (tmp_path / name).mkdir()
        lively = tiny.lightgbm.model_copy(update={"extra_trees": True})
        config = tiny.model_copy(update={"seeds": seeds, "lightgbm": lively})
        train_fold(*inputs(stages), config, "lightgbm", 1, 0, tmp_path / name)
    model = Path("model", "0", "model.txt")
    assert (tmp_path / "one" / model).read_bytes() == (tmp_path / "three" / model).read_bytes()
    features = load_features(stages / "features", "test")
    price = load_price_features(stages / "price", "test", features.ids)
    each = [
        GBDTModel.load(tmp_path / "three" / "model" / str(number)).predict(assemble(features, price), features.tfidf)
        for number in range(3)
    ]
    assert len({tuple(prediction) for prediction in each}) == 3
    predictions = pl.read_parquet(tmp_path / "three" / "predictions.parquet")
    found = predictions.filter(pl.col("part") == "test")["log_price"].to_numpy()
    np.testing.assert_allclose(found, np.mean(each, axis=0), rtol=1e-12)
    assert predict_member(tmp_path / "three" / "model", features, price).tolist() == found.tolist()
    rounds = sorted(model.rounds for model in Bag.load(tmp_path / "three" / "model").models)
    assert json.loads((tmp_path / "three" / "member.json").read_text())["best_round"] == rounds[1]
    with pytest.raises(ArtifactError, match="holds no models"):
        Bag.load(tmp_path)
    # a copy that lost its last model once priced with the others, unnoticed
    shutil.rmtree(tmp_path / "three" / "model" / "2")
    with pytest.raises(ArtifactError, match=r"2.schema\.json"):
        Bag.load(tmp_path / "three" / "model")


@each_library
def test_a_target_per_unit_is_undone_for_new_rows(library: str, stages: Path, tiny: GBDTConfig, tmp_path: Path) -> None:
    """The stage's predictions are log prices whatever the trees learn, and a saved model gives the same ones again."""
    features, out = tmp_path / "features", tmp_path / "out"
    features.mkdir()
    out.mkdir()
    names = {load_features(stages / "features").schema.numeric[0]: "ipq_log_amount", "brand": "ipq_family"}
    for part in ("train", "test"):
        found = load_features(stages / "features", part)
        schema = FeatureSchema(("ipq_log_amount", *found.schema.numeric[1:]), ("ipq_family",), 3)
        save_features(FeatureSet(found.ids, found.tabular.rename(names), found.tfidf, schema), features, part)
    per_unit = getattr(tiny, library).model_copy(update={"amount_exponent": 1.0})
    catalogue, folds, _, price = inputs(stages)
    train_fold(catalogue, folds, features, price, tiny.model_copy(update={library: per_unit}), library, 1, 0, out)
    predictions = pl.read_parquet(out / "predictions.parquet")
    found = load_features(features, "test")
    again = predict_member(out / "model", found, load_price_features(price, "test", found.ids))
    assert again.tolist() == predictions.filter(pl.col("part") == "test")["log_price"].to_list()
    labelled = pl.read_parquet(catalogue / "train.parquet").join(predictions, on="sample_id")
    valid = labelled.filter(pl.col("part") == "valid")
    assert abs((valid["price"].log() - valid["log_price"]).median()) < 0.5  # type: ignore[operator, arg-type]
    assert json.loads((out / "member.json").read_text())["params"]["amount_exponent"] == 1


@each_library
def test_hold_out_and_validation_prices_do_not_reach_a_fold(
    library: str, stages: Path, tiny: GBDTConfig, tmp_path: Path
) -> None:
    """With the hold-out's prices changed a fold gives the same bytes; with rounds given, validation prices too."""
    outputs = []
    for name, factor in (("as is", 1.0), ("changed", 1000.0)):
        catalogue, out = tmp_path / name, tmp_path / f"{name} out"
        catalogue.mkdir()
        out.mkdir()
        changed = pl.read_parquet(stages / "folds" / "folds.parquet")["fold"].is_in([-1, 1])
        table = pl.read_parquet(stages / "catalogue" / "train.parquet")
        price = pl.when(pl.lit(changed)).then(pl.col("price") * factor).otherwise(pl.col("price"))
        table.with_columns(price).write_parquet(catalogue / "train.parquet")
        train_fold(catalogue, *inputs(stages)[1:], tiny, library, 1, 0, out, rounds=6)
        outputs.append((out / "predictions.parquet").read_bytes())
    assert outputs[0] == outputs[1]


@each_library
def test_refit(library: str, stages: Path, tiny: GBDTConfig, tmp_path: Path) -> None:
    train_fold(*inputs(stages), tiny, library, None, 0, tmp_path, rounds=7)
    member = json.loads((tmp_path / "member.json").read_text())
    assert (member["fold"], member["best_round"], member["rows"], member["valid_smape"]) == (None, 7, ROWS, None)
    assert set(pl.read_parquet(tmp_path / "predictions.parquet")["part"]) == {"test"}


def test_refused(stages: Path, tiny: GBDTConfig, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="rounds"):
        train_fold(*inputs(stages), tiny, "lightgbm", None, 0, tmp_path)
    with pytest.raises(ArtifactError, match=r"fold 7 .* \[0, 1, 2\]"):
        train_fold(*inputs(stages), tiny, "lightgbm", 7, 0, tmp_path)
    with pytest.raises(ConfigError, match="forest"):
        train_fold(*inputs(stages), tiny, "forest", 0, 0, tmp_path)
    catalogue = tmp_path / "catalogue"
    catalogue.mkdir()
    pl.read_parquet(stages / "catalogue" / "train.parquet").reverse().write_parquet(catalogue / "train.parquet")
    with pytest.raises(ArtifactError, match="assign the folds"):
        train_fold(catalogue, *inputs(stages)[1:], tiny, "lightgbm", 0, 0, tmp_path)


def test_assemble_checks_rows_and_columns(stages: Path) -> None:
    features = load_features(stages / "features", "test")
    price = pl.read_parquet(stages / "price" / "test.parquet")
    assert assemble(features, price).columns == [*features.tabular.columns, "price_ridge"]
    with pytest.raises(SchemaError, match="other sample_ids"):
        assemble(features, price.reverse())
    with pytest.raises(SchemaError, match="19 rows"):
        assemble(features, price.drop("sample_id")[1:])
    with pytest.raises(SchemaError, match="brand"):
        assemble(features, price.with_columns(brand=1))


def test_a_fold_without_a_category_of_another(stages: Path, tiny: GBDTConfig, tmp_path: Path) -> None:
    """A unit that only the validation fold holds is read as missing, not refused."""
    features = tmp_path / "features"
    out = tmp_path / "out"
    features.mkdir()
    out.mkdir()
    fold = pl.read_parquet(stages / "folds" / "folds.parquet")["fold"].to_numpy()
    for part in ("train", "test"):
        loaded = load_features(stages / "features", part)
        if part == "train":
            only = pl.when(pl.lit(pl.Series(fold == 0))).then(pl.lit("dozen")).otherwise(pl.col("brand"))
            loaded = FeatureSet(
                loaded.ids, loaded.tabular.with_columns(only.alias("brand")), loaded.tfidf, loaded.schema
            )
        save_features(loaded, features, part)
    train_fold(stages / "catalogue", stages / "folds", features, stages / "price", tiny, "xgboost", 0, 0, out)
    assert pl.read_parquet(out / "predictions.parquet")["log_price"].is_finite().all()


def test_hold_out_prices_do_not_reach_the_search(stages: Path, tiny: GBDTConfig, tmp_path: Path) -> None:
    _, *others, price = inputs(stages)
    held = pl.read_parquet(stages / "folds" / "folds.parquet")["part"] == "holdout"
    config = tiny.model_copy(update={"search": TuningConfig(trials=4, n_splits=2)})
    found = []
    for name, factor in (("as is", 1.0), ("changed", 1000.0)):
        catalogue, out = tmp_path / name, tmp_path / f"{name} out"
        catalogue.mkdir()
        out.mkdir()
        table = pl.read_parquet(stages / "catalogue" / "train.parquet")
        cost = pl.when(pl.lit(held)).then(pl.col("price") * factor).otherwise(pl.col("price"))
        table.with_columns(cost.alias("price")).write_parquet(catalogue / "train.parquet")
        tune(catalogue, *others, [price] * 3, config, "lightgbm", 0, out, tmp_path / f"{name} work")
        found.append((out / "search.json").read_bytes())
    assert found[0] == found[1]


def test_search_feeds_training(stages: Path, tiny: GBDTConfig, tmp_path: Path) -> None:
    catalogue, folds, features, price = inputs(stages)
    config = tiny.model_copy(update={"search": TuningConfig(trials=3, n_splits=2)})
    found, out = tmp_path / "found", tmp_path / "out"
    found.mkdir()
    out.mkdir()
    tune(catalogue, folds, features, [price] * 3, config, "lightgbm", 0, found, tmp_path / "work")
    history = json.loads((found / "search.json").read_text())
    assert (history["member"], len(history["trials"])) == ("lightgbm", 3)
    assert history["smape"] <= history["default_smape"]
    train_fold(*inputs(stages), config, "lightgbm", 0, 0, out, tuned=found)
    used = json.loads((out / "member.json").read_text())["params"]
    assert {name: used[name] for name in history["params"]} == history["params"]

    # what was found is a piece of a preset: with it, the same training without a search
    pasted = load_config(str(found / "settings.toml")).gbdt.lightgbm
    assert {name: getattr(pasted, name) for name in history["params"]} == history["params"]

    (found / "settings.toml").write_text("[gbdt.lightgbm]\nnum_leaves = 'many'\n")
    with pytest.raises(ArtifactError, match=r"settings\.toml"):
        train_fold(*inputs(stages), config, "lightgbm", 0, 0, tmp_path, tuned=found)
