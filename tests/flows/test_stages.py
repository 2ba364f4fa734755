"""Stages alone: each brings what it needs before it, and leaves it for the whole run."""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.pipeline import price_catalogue
from flows.stage_flows import run_stage
from pricing.catalogue.sample import SampleInfo, generate_sample
from pricing.catalogue.serving import serve_folder
from pricing.catalogue.sources import ImageSource
from pricing.errors import ConfigError
from tests.flows.conftest import small_config

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_download_says_what_is_there_and_what_is_not(tmp_path: Path) -> None:
    sample = generate_sample(tmp_path / "sample", rows=80, test_rows=20)
    assert sample.images is not None
    first, second = sorted(sample.images.iterdir())[:2]
    first.unlink()
    second.write_bytes(second.read_bytes()[:500])
    config = small_config(tmp_path / "artifacts", images={"allow_hosts": ["127.0.0.1"], "retries": 0, "shard_size": 40})
    with serve_folder(sample.images) as address:
        source = ImageSource.mirror(address)
        run_stage("download", sample.train, tmp_path / "out", test=sample.test, config=config, image_source=source)
    run = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    images = run["images"]
    assert images["requested"] == images["present"] + sum(images["failed"].values())
    assert images["failed"]["http_404"] >= 1
    assert images["failed"]["truncated"] >= 1
    assert [stage["name"] for stage in run["stages"]] == ["catalogue", "images"]
    with (tmp_path / "out" / "missing_pictures.csv").open(encoding="utf-8", newline="") as stream:
        missing = Counter(row["reason"] for row in csv.DictReader(stream))
    assert missing == images["failed"]
    # and how it went is on the Artifacts page, a line for each task run
    with get_client(sync_client=True) as client:
        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=["pictures"]))
        shown = [one for one in client.read_artifacts(artifact_filter=wanted) if one.type == "progress"]
    assert len(shown) == 3
    assert sorted(float(str(one.data)) for one in shown)[-1] == 100.0
    assert any(f"pictures {images['requested']}/{images['requested']}" in str(one.description) for one in shown)


def test_a_stage_brings_what_it_needs_and_the_whole_run_takes_it_up(sample: SampleInfo, tmp_path: Path) -> None:
    config = small_config(tmp_path / "artifacts")
    made = run_stage("gbdt", sample.train, tmp_path / "gbdt", test=sample.test, config=config)
    alone = made["run"]
    assert {stage["name"] for stage in alone["stages"]} == {"catalogue", "folds", "features", "price_features", "gbdt"}
    price_catalogue(train=sample.train, test=sample.test, output=tmp_path / "out", config=config)
    stages = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))["stages"]
    assert {stage["key"] for stage in stages if stage["cached"]} == {stage["key"] for stage in alone["stages"]}
    whole = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    figures = json.loads((tmp_path / "gbdt" / "metrics.json").read_text(encoding="utf-8"))
    assert set(figures["models"]) == set(config.gbdt.members)
    for name, found in figures["models"].items():
        assert found["oof_smape"] == whole["models"][name]["oof_smape"]
    networks = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))["networks"]
    assert (
        run_stage("neural", sample.train, tmp_path / "neural", test=sample.test, config=config)["run"]["networks"]
        == networks
    )
    assert set(networks) == {"sparse_mlp"}
    assert networks["sparse_mlp"]["precision"] == "fp32"
    assert networks["sparse_mlp"]["parameters"] == networks["sparse_mlp"]["trainable_parameters"] > 0


def test_an_unknown_stage_is_named(sample: SampleInfo, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no stage 'trees'; there are download, features, tune, gbdt"):
        run_stage("trees", sample.train, tmp_path / "out", config=small_config(tmp_path / "artifacts"))


def test_the_search_is_a_stage_whose_choice_the_trees_take(sample: SampleInfo, tmp_path: Path) -> None:
    config = small_config(tmp_path / "artifacts", gbdt__search={"trials": 3, "n_splits": 2})
    alone = run_stage("tune", sample.train, tmp_path / "tune", test=sample.test, config=config)["run"]
    assert alone["stages"][-1]["label"] == "tune lightgbm"
    history = json.loads((tmp_path / "tune" / "search" / "lightgbm.json").read_text(encoding="utf-8"))
    assert [trial["number"] for trial in history["trials"]] == [0, 1, 2]
    price_catalogue(train=sample.train, test=sample.test, output=tmp_path / "out", config=config)
    stages = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))["stages"]
    assert next(stage["cached"] for stage in stages if stage["name"] == "tune")
    assert "Search for settings" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "out" / "plots" / "search.png").exists()
    trained = [
        json.loads((tmp_path / "artifacts" / "store" / "gbdt" / stage["key"] / "member.json").read_text())["params"]
        for stage in stages
        if stage["name"] == "gbdt"
    ]
    assert len(trained) == 2
    for params in trained:
        assert {name: params[name] for name in history["params"]} == history["params"]

    # a larger budget goes on with the study
    more = small_config(tmp_path / "artifacts", gbdt__search={"trials": 4, "n_splits": 2})
    run_stage("tune", sample.train, tmp_path / "more", test=sample.test, config=more)
    longer = json.loads((tmp_path / "more" / "search" / "lightgbm.json").read_text(encoding="utf-8"))
    assert longer["trials"][:3] == history["trials"]
    assert len(list((tmp_path / "artifacts" / "work" / "studies").iterdir())) == 1


def test_a_search_without_a_budget_says_so(sample: SampleInfo, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gbdt\.search\.trials or gbdt\.search\.seconds"):
        run_stage("tune", sample.train, tmp_path / "out", config=small_config(tmp_path / "artifacts"))
