"""Stages alone: each brings what it needs before it, and leaves it for the whole run."""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ParameterTypeError

from flows.pipeline import price_catalogue, run_stage
from pricing.errors import ConfigError
from pricing.sample.generate import SampleInfo, generate_sample
from pricing.sample.serving import serve_folder
from tests.flows.conftest import parameters, small_config

pytestmark = pytest.mark.usefixtures("prefect_server", "kept_workers")


def test_download_says_what_is_there_and_what_is_not(tmp_path: Path) -> None:
    sample = generate_sample(tmp_path / "sample", rows=80, test_rows=20)
    assert sample.images is not None
    first, second = sorted(sample.images.iterdir())[:2]
    first.unlink()
    second.write_bytes(second.read_bytes()[:500])
    config = small_config(tmp_path / "artifacts", images={"allow_hosts": ["127.0.0.1"], "retries": 0, "shard_size": 40})
    with serve_folder(sample.images) as address:
        run_stage("download", sample.train, tmp_path / "out", test=sample.test, images=address, **parameters(config))
    run = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    images = run["images"]
    assert run["catalogue"]["train"]["rows"] == 80
    assert images["requested"] == images["present"] + sum(images["failed"].values())
    assert images["failed"]["http_404"] >= 1
    assert images["failed"]["truncated"] >= 1
    assert [stage["name"] for stage in run["stages"]] == ["catalogue", "images"]
    with (tmp_path / "out" / "missing_images.csv").open(encoding="utf-8", newline="") as stream:
        missing = Counter(row["reason"] for row in csv.DictReader(stream))
    assert missing == images["failed"]
    assert images["hosts_lost"] == {}
    assert images["hint"] is None
    assert images["fetched"]["oldest"] <= images["fetched"]["newest"]
    # and how it went is on the Artifacts page
    with get_client(sync_client=True) as client:
        (latest,) = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
        wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[latest.id]))
        shown = [one for one in client.read_artifacts(artifact_filter=wanted) if one.key == "pricing-progress"]
    assert [(one.type, float(str(one.data))) for one in shown] == [("progress", 100.0)]


def test_a_stage_brings_what_it_needs_and_the_whole_run_takes_it_up(sample: SampleInfo, tmp_path: Path) -> None:
    config = small_config(tmp_path / "artifacts")
    made = run_stage("gbdt", sample.train, tmp_path / "gbdt", test=sample.test, **parameters(config))
    alone = made["run"]
    assert {stage["name"] for stage in alone["stages"]} == {"catalogue", "folds", "features", "price_features", "gbdt"}
    price_catalogue(train=sample.train, test=sample.test, output=tmp_path / "out", **parameters(config))
    ran = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))["stages"]
    assert {stage["key"] for stage in ran if stage["cached"]} == {stage["key"] for stage in alone["stages"]}
    whole = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    figures = json.loads((tmp_path / "gbdt" / "metrics.json").read_text(encoding="utf-8"))
    assert set(figures["models"]) == {"lightgbm"}
    for name, found in figures["models"].items():
        assert found["oof_smape"] == whole["models"][name]["oof_smape"]
    networks = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))["networks"]
    assert (
        run_stage("neural", sample.train, tmp_path / "neural", test=sample.test, **parameters(config))["run"][
            "networks"
        ]
        == networks
    )
    assert set(networks) == {"sparse_mlp"}
    assert networks["sparse_mlp"]["precision"] == "fp32"
    assert networks["sparse_mlp"]["parameters"] == networks["sparse_mlp"]["trainable_parameters"] > 0


def test_an_unknown_stage_is_named(sample: SampleInfo, tmp_path: Path) -> None:
    with pytest.raises(ParameterTypeError, match="'features', 'tune', 'gbdt'"):
        run_stage("trees", sample.train, tmp_path / "out", **parameters(small_config(tmp_path / "artifacts")))


def test_the_search_is_a_stage_whose_choice_the_trees_take(sample: SampleInfo, tmp_path: Path) -> None:
    config = small_config(tmp_path / "artifacts", tuning={"trials": 3, "n_splits": 2})
    alone = run_stage("tune", sample.train, tmp_path / "tune", test=sample.test, **parameters(config))["run"]
    assert [stage["label"] for stage in alone["stages"]][-2:] == ["tune lightgbm", "settings lightgbm"]
    history = json.loads((tmp_path / "tune" / "search" / "lightgbm.json").read_text(encoding="utf-8"))
    assert [trial["number"] for trial in history["trials"]] == [0, 1, 2]
    ran = run_stage("gbdt", sample.train, tmp_path / "gbdt", test=sample.test, **parameters(config))["run"]["stages"]
    assert next(stage["cached"] for stage in ran if stage["name"] == "tune")
    trained = [
        json.loads((tmp_path / "artifacts" / "store" / "gbdt" / stage["key"] / "member.json").read_text())["params"]
        for stage in ran
        if stage["name"] == "gbdt"
    ]
    assert len(trained) == 2
    for params in trained:
        assert {name: params[name] for name in history["params"]} == history["params"]

    # a larger budget goes on with the study, and trains again only where the choice is another
    more = small_config(tmp_path / "artifacts", tuning={"trials": 4, "n_splits": 2})
    again = run_stage("gbdt", sample.train, tmp_path / "more", test=sample.test, **parameters(more))["run"]["stages"]
    longer = json.loads((tmp_path / "more" / "search" / "lightgbm.json").read_text(encoding="utf-8"))
    assert longer["trials"][:3] == history["trials"]
    assert not next(stage["cached"] for stage in again if stage["name"] == "tune")
    same = longer["params"] == history["params"]
    assert [stage["cached"] for stage in again if stage["name"] == "gbdt"] == [same, same]
    assert len(list((tmp_path / "artifacts" / "work" / "studies").iterdir())) == 1


def test_a_search_without_a_budget_says_so(sample: SampleInfo, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tuning\.trials or tuning\.seconds"):
        run_stage("tune", sample.train, tmp_path / "out", **parameters(small_config(tmp_path / "artifacts")))
