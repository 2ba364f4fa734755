"""The steps of the search: blind to the hold-out, continued by a larger budget, taken up by training."""

import json
from pathlib import Path

import polars as pl
import pytest

from pricing.config.tuning import TuningConfig
from pricing.configuration import load_config
from pricing.errors import ArtifactError
from pricing.members.train_fold import train_fold
from pricing.members.tuning.tune import take_settings, tune_member
from pricing.store.codehash import code_digests
from tests.members.trees.conftest import TINY, write_stages

LINE = "pricing.members.lightgbm:LightGBM"


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of 160 labelled rows, 3 folds, 20 test rows."""
    return write_stages(tmp_path_factory.mktemp("stages"))


def tune(stages: Path, work: Path, trials: int, catalogue: Path | None = None, digest: str = "a") -> Path:
    """Search LightGBM's settings on two folds."""
    out = work / f"found {trials} {digest}"
    out.mkdir(parents=True)
    tune_member(
        LINE, catalogue or stages / "catalogue", stages / "folds", stages / "features", [stages / "price"] * 3,
        TINY["lightgbm"], TuningConfig(trials=trials, n_splits=2), 0, digest, out, work,
    )  # fmt: skip
    return out


def test_hold_out_prices_do_not_reach_the_search(stages: Path, tmp_path: Path) -> None:
    held = pl.read_parquet(stages / "folds" / "folds.parquet")["part"] == "holdout"
    found = []
    for name, factor in (("as is", 1.0), ("changed", 1000.0)):
        catalogue = tmp_path / name
        catalogue.mkdir()
        table = pl.read_parquet(stages / "catalogue" / "labelled.parquet")
        price = pl.when(pl.lit(held)).then(pl.col("price") * factor).otherwise(pl.col("price"))
        table.with_columns(price.alias("price")).write_parquet(catalogue / "labelled.parquet")
        (catalogue / "unlabelled.parquet").symlink_to(stages / "catalogue" / "unlabelled.parquet")
        found.append((tune(stages, tmp_path / f"{name} work", 4, catalogue) / "search.json").read_bytes())
    assert found[0] == found[1]


def test_a_larger_budget_continues_the_study_and_other_inputs_do_not(stages: Path, tmp_path: Path) -> None:
    short, long = (json.loads((tune(stages, tmp_path, trials) / "search.json").read_text()) for trials in (2, 3))
    assert long["trials"][:2] == short["trials"]
    (study,) = (tmp_path / "studies").iterdir()
    assert len(list(study.glob("*.sqlite3"))) == 1
    tune(stages, tmp_path, 2, digest="b")
    assert len(list((tmp_path / "studies").iterdir())) == 2


def test_search_feeds_training(stages: Path, tmp_path: Path) -> None:
    found, taken, out = tune(stages, tmp_path, 3), tmp_path / "taken", tmp_path / "out"
    history = json.loads((found / "search.json").read_text())
    assert (history["member"], len(history["trials"])) == ("lightgbm", 3)
    assert history["smape"] <= history["default_smape"]
    taken.mkdir()
    take_settings(found, taken)
    assert [path.name for path in taken.iterdir()] == ["settings.toml"]
    out.mkdir()
    given = stages / "catalogue", stages / "folds", stages / "features", TINY["lightgbm"]
    train_fold(LINE, *given, 0, 0, out, price_features=stages / "price", tuned=taken)
    used = json.loads((out / "member.json").read_text())["params"]
    assert {name: used[name] for name in history["params"]} == history["params"]

    # what was found is a piece of a preset: with it, the same training without a search
    pasted = load_config(str(found / "settings.toml")).members.lightgbm
    assert {name: getattr(pasted, name) for name in history["params"]} == history["params"]

    (taken / "settings.toml").write_text("[members.lightgbm]\nnum_leaves = 'many'\n")
    with pytest.raises(ArtifactError, match=r"settings\.toml"):
        train_fold(LINE, *given, 0, 0, tmp_path, price_features=stages / "price", tuned=taken)


def test_one_member_s_code_is_not_in_the_search_of_another() -> None:
    """The step's key and the study's folder hold the member's own module beside this one."""
    code = code_digests("pricing.members.tuning.tune", "pricing.members.lightgbm")
    assert {"pricing.members.tuning.search_space", "pricing.members.lightgbm"} <= set(code)
    assert not {"pricing.members.catboost", "pricing.members.xgboost", "pricing.members.tuning.optimizers"} & set(code)
