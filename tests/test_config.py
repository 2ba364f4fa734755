"""The configuration tree: complete, frozen, and clear about what it refuses."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from pricing.configuration import PricingConfig, load_config, preset_names
from pricing.errors import ConfigError

DEFAULT = PricingConfig()
ROOT = Path(__file__).resolve().parent.parent


def leaves(section: BaseModel, prefix: str = "") -> dict[str, object]:
    """Every setting by its full path."""
    found: dict[str, object] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        path = f"{prefix}{name}"
        found |= leaves(value, f"{path}.") if isinstance(value, BaseModel) else {path: value}
    return found


FOLDERS = ("store", "models", "work", "checkpoints", "records", "logs")


@given(st.text("abc_ ", min_size=1), st.sampled_from(preset_names()))
def test_property_38_paths(place: str, preset: str) -> None:
    """Property 38: Configuration path completeness. Every path that the program uses comes from the configuration."""
    paths = load_config(preset, {"paths.data": f"in/{place}", "paths.artifacts": f"made/{place}"}).paths
    assert paths.data == Path("in", place)
    for name in FOLDERS:
        assert Path("made", place) in getattr(paths, name).parents


def test_no_module_makes_up_a_path_by_itself() -> None:
    names = "|".join({"data", "artifacts", *(getattr(DEFAULT.paths, name).name for name in FOLDERS)})
    spelled = re.compile(rf'(?:Path\(|joinpath\(|/ )"(?:{names})["/]|"artifacts/')
    for source in (path for room in ("pricing", "tasks", "flows") for path in (ROOT / room).rglob("*.py")):
        if source != ROOT / "pricing" / "config" / "paths.py":
            assert not spelled.search(source.read_text(encoding="utf-8")), source


PLANNED = [
    *(f"members.multimodal.training.{name}" for name in (
        "batch_size", "epochs", "learning_rate", "warmup", "accumulation", "clip_norm", "ema_decay")),
    *(f"members.multimodal.{name}" for name in (
        "lora.r", "lora.alpha", "text.name", "text.max_length", "image.name", "image.side", "checkpoint.minutes")),
    "members.lightgbm.num_leaves", "members.lightgbm.learning_rate", "members.xgboost.max_depth",
    "members.catboost.depth", "tuning.trials", "ensemble.ridge_alpha", "ensemble.elasticnet_alpha", "folds.n_splits",
    "images.concurrency", "images.retries", "seed",
]  # fmt: skip


@given(st.sampled_from(PLANNED), st.sampled_from(preset_names()))
def test_property_39_hyperparameters(key: str, preset: str) -> None:
    """Property 39: Configuration hyperparameter completeness. What the plan names is a described setting everywhere."""
    assert leaves(load_config(preset))[key] is not None
    model: type[BaseModel] = PricingConfig
    *sections, leaf = key.split(".")
    for section in sections:
        model = model.model_fields[section].annotation  # type: ignore[assignment]
    assert model.model_fields[leaf].description


@given(st.sampled_from(["tfidf.word_ngrams", "tfidf.svd_components", "quality_keywords", "discount_keywords",
                        "brand_min_count", "price.ridge_alpha", "price.neighbours"]))  # fmt: skip
def test_property_40_features(key: str) -> None:
    """Property 40: Feature engineering config completeness. Vocabularies, n-grams and keyword lists are settings."""
    assert leaves(DEFAULT)[f"features.{key}"]


@given(st.sampled_from(sorted(leaves(DEFAULT))))
def test_unknown_keys_are_refused_with_their_path(key: str) -> None:
    with pytest.raises(ConfigError, match=key.replace(".", r"\.") + "_typo"):
        load_config("demo", [f"{key}_typo=1"])


@pytest.mark.parametrize(
    ("setting", "path"),
    [("folds.n_splits=1", "folds.n_splits"), ("folds.n_splits=many", "folds.n_splits"), ("seed=-1", "seed"),
     ("holdout.fraction=0.9", "holdout.fraction"), ("members.quantum.enabled=true", "members.quantum"),
     ("ensemble.meta_learners=['quantum']", "ensemble.meta_learners"),
     ("submission.price_column=sample_id", "submission.price_column"),
     ("submission.price_column=high_95", "submission.price_column")],
)  # fmt: skip
def test_impossible_values_are_refused_with_their_path(setting: str, path: str) -> None:
    with pytest.raises(ConfigError, match=path):
        load_config("demo", [setting])


def test_a_search_by_more_folds_than_there_are_is_refused() -> None:
    """It was once cut to those there are, silently. Without a search its default of 3 is in nobody's way."""
    with pytest.raises(ConfigError, match=r"refused: tuning\.n_splits is 3, and folds\.n_splits only 2; .{0,30}$"):
        load_config("demo", ["folds.n_splits=2", "tuning.trials=5"])
    assert load_config("demo", ["folds.n_splits=2"]).tuning.n_splits == 3
    assert load_config("demo", ["folds.n_splits=2", "tuning.trials=5", "tuning.n_splits=2"])


def test_the_tree_is_frozen_and_survives_json() -> None:
    config = load_config("cpu", ["seed=7"])
    with pytest.raises(ValidationError):
        config.seed = 8  # type: ignore[misc]
    assert PricingConfig.model_validate(json.loads(config.model_dump_json())) == config


@pytest.mark.parametrize("preset", preset_names())
def test_a_record_is_the_whole_tree_and_opens_no_preset(preset: str, tmp_path: Path) -> None:
    """A run made with a preset file of one's own could not be scored where that file was not."""
    mine = tmp_path / "mine.toml"
    shutil.copy(ROOT / "pricing" / "presets" / f"{preset}.toml", mine)
    config = load_config(str(mine), {"seed": 3})
    mine.unlink()
    record = json.loads(config.model_dump_json())
    read = PricingConfig.model_validate(record)
    assert read == config
    assert json.loads(read.model_dump_json()) == record
    assert read.model_copy(update={"preset": preset, "seed": 0}) == load_config(preset)


@pytest.mark.parametrize(
    "overrides",
    [
        {"seed": 4, "folds": {"n_splits": 7, "kind": "random"}},
        {"seed": 4, "folds.n_splits": 7, "folds.kind": "random"},
        {"folds": {"n_splits": 7}, "folds.kind": "random", "seed": "4"},
        {"folds.n_splits": 2, "folds": {"kind": "random", "n_splits": 7}, "seed": 4},
        ["seed=4", "folds.n_splits=7", "folds.kind=random"],
        ["folds={n_splits = 7}", "folds.kind='random'", "seed=4"],
    ],
)
def test_settings_are_nested_dotted_or_texts(overrides: Any) -> None:
    config = load_config("demo", overrides)
    assert (config.seed, config.folds.n_splits, config.folds.kind) == (4, 7, "random")
    rest = {"seed": 0, "folds": load_config("demo").folds}
    assert config.model_copy(update=rest) == load_config("demo"), "nothing else changes"


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"folds": 3}, "folds"), ({"folds.n_splits.x": 3}, "folds.n_splits"), ({"seed": 1, "seed.x": 2}, "seed.x"),
        ({"members": {"lightgbm.num_leafs": 3}}, "did you mean num_leaves"), ({"preset": "cpu"}, "preset"),
        (["preset=cpu"], "preset"), (["seed"], "expected key.path=value"), ({"": 1}, "unknown key"),
    ],
)  # fmt: skip
def test_impossible_settings_are_named(overrides: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        load_config("demo", overrides)


@pytest.mark.parametrize(
    ("old", "new"),
    [("gbdt.lightgbm.num_leaves", "members.lightgbm.num_leaves"),
     ("neural.sparse_mlp.seeds", "members.sparse_mlp.seeds"), ("neural.text.name", "members.multimodal.text.name"),
     ("neural.refit_multimodal", "members.multimodal.refit"),
     ("gbdt.members", "members.NAME.enabled"), ("gbdt.search.trials", "tuning.trials"),
     ("gbdt.seeds", "members.NAME.seeds"), ("resources.gbdt_share", "resources.trees_share")],
)  # fmt: skip
def test_a_key_of_an_earlier_version_is_refused_with_the_new_one(old: str, new: str) -> None:
    with pytest.raises(ConfigError, match=f"{re.escape(old)} is now {re.escape(new)}$"):
        load_config("demo", {old: 1})


def test_a_copied_preset_file_is_a_preset(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text("[folds]\nn_splits = 4\n", encoding="utf-8")
    assert load_config(str(mine)).folds.n_splits == 4
    mine.write_text("[folds\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(str(mine))
    with pytest.raises(ConfigError, match="no preset 'fast'"):
        load_config("fast")
