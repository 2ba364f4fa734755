"""What runs again and what does not: the cache matrix, on real runs of the whole small pipeline."""

import itertools
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName

from flows.pipeline import price_catalogue
from pricing.configuration import PricingConfig
from pricing.errors import WeightsError
from pricing.report.timeline import timeline
from pricing.sample.generate import SampleInfo
from pricing.store.artifacts import ArtifactStore
from tests.flows.conftest import parameters, small_config

pytestmark = pytest.mark.usefixtures("prefect_server", "kept_workers")

ALL = {"catalogue", "folds", "features", "price_features", "gbdt", "neural", "ensemble", "outputs"}


@dataclass
class Run:
    """What a run left."""

    output: Path

    @property
    def stages(self) -> list[dict[str, Any]]:
        return json.loads((self.output / "run.json").read_text(encoding="utf-8"))["stages"]

    @property
    def made(self) -> set[str]:
        """Stages that did not come from the cache."""
        return {stage["name"] for stage in self.stages if not stage["cached"]}

    @property
    def submission(self) -> bytes:
        return (self.output / "submission.csv").read_bytes()

    @property
    def metrics(self) -> dict[str, Any]:
        return json.loads((self.output / "metrics.json").read_text(encoding="utf-8"))


def run(train: Path, test: Path, config: PricingConfig, output: Path) -> Run:
    price_catalogue(train=train, test=test, output=output, **parameters(config))
    return Run(output)


@pytest.fixture(scope="module")
def first(sample: SampleInfo, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An undisturbed run; its store is copied, never used, by the tests."""
    root = tmp_path_factory.mktemp("first")
    return run(sample.train, sample.test, small_config(root / "artifacts"), root / "output")


@pytest.fixture
def artifacts(first: Run, tmp_path: Path) -> Path:
    """A store as the first run left it."""
    return Path(shutil.copytree(first.output.parent / "artifacts", tmp_path / "artifacts"))


def test_a_fresh_run_makes_everything(first: Run) -> None:
    assert first.made == ALL


def test_the_branches_work_at_the_same_time_and_odd_rows_are_put_aside(
    artifacts: Path, sample: SampleInfo, tmp_path: Path
) -> None:
    frame, asked = (pl.read_csv(file, infer_schema=False) for file in (sample.train, sample.test))
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    row = pl.int_range(pl.len())
    # row 7 has the id of a product of the test file, and neither has a price
    price = pl.when(row == 5).then(pl.lit("free")).when(row.is_in([7, 20])).then(pl.lit("")).otherwise("price")
    name = pl.when(row == 7).then(pl.lit(asked["sample_id"][1])).otherwise("sample_id")
    frame.with_columns(price=price, sample_id=name).write_csv(train)
    pl.concat([asked, asked[:1]]).write_csv(test)
    # long enough that the networks' process is up before the trees are done
    slow = {"rounds": 200, "early_stopping": 200, "depth": 6}
    config = small_config(
        artifacts, members__lightgbm={"enabled": False}, members__catboost=slow, members__sparse_mlp={"seeds": 16},
        catalogue={"on_bad_rows": "quarantine", "on_unpriced_rows": "price"}, submission__intervals=True,
    )  # fmt: skip
    done = run(train, test, config, tmp_path / "out")
    assert timeline(done.stages)["overlap"] > 0
    rejected = pl.read_csv(done.output / "rejected.csv", infer_schema=False)
    assert rejected["sample_id"].to_list() == [frame["sample_id"][5], asked["sample_id"][0]]
    assert "free" in rejected["reason"][0]
    assert done.metrics["holdout"]["rows"] > 0
    learnt = pl.concat([pl.read_parquet(done.output / "evaluation" / f"{part}.parquet") for part in ("oof", "holdout")],
                       how="diagonal")["sample_id"]  # fmt: skip
    assert sorted(learnt) == sorted(set(frame["sample_id"]) - {frame["sample_id"][place] for place in (5, 7, 20)})
    for file, ids in (("submission", asked["sample_id"].to_list()),
                      ("unpriced", [asked["sample_id"][1], frame["sample_id"][20]])):  # fmt: skip
        priced = pl.read_csv(done.output / f"{file}.csv", infer_schema=False)
        assert priced["sample_id"].to_list() == ids
        assert (priced["predicted_price"].cast(pl.Float64) > 0).all()
        assert pl.read_csv(done.output / f"{file}_intervals.csv", infer_schema=False)["sample_id"].to_list() == ids
    record = json.loads((done.output / "run.json").read_text(encoding="utf-8"))
    assert (record["submission"]["rows"], record["unpriced"]["rows"]) == (len(asked), 2)
    reasons = {part: record["catalogue"][part]["rejected_reasons"] for part in ("train", "test")}
    assert reasons == {"train": {"price is not a number": 1}, "test": {"duplicate id": 1}}


def test_a_gbdt_setting_makes_only_gbdt_and_what_follows_and_back_again_is_a(
    first: Run, artifacts: Path, sample: SampleInfo, tmp_path: Path
) -> None:
    other = small_config(artifacts, members__lightgbm__num_leaves=4)
    b = run(sample.train, sample.test, other, tmp_path / "b")
    assert b.made == {"gbdt", "ensemble", "outputs"}
    assert b.submission != first.submission
    a = run(sample.train, sample.test, small_config(artifacts), tmp_path / "a")
    assert a.made == set()
    assert a.submission == first.submission


def test_adding_a_library_trains_one_library(artifacts: Path, sample: SampleInfo, tmp_path: Path) -> None:
    config = small_config(artifacts, members__xgboost={"rounds": 10})  # its settings are in no key but its own
    more = run(sample.train, sample.test, config, tmp_path / "more")
    made = {stage["label"] for stage in more.stages if not stage["cached"]}
    assert made == {"gbdt xgboost-0", "gbdt xgboost-1", "ensemble", "outputs"}


def test_other_content_under_the_same_name_is_noticed(
    first: Run, artifacts: Path, sample: SampleInfo, tmp_path: Path
) -> None:
    train = tmp_path / sample.train.name
    frame = pl.read_csv(sample.train, infer_schema=False)
    frame.with_columns(price=pl.col("price").cast(pl.Float64) * 2).write_csv(train)
    doubled = run(train, sample.test, small_config(artifacts), tmp_path / "doubled")
    assert doubled.made >= {"catalogue", "folds", "price_features", "gbdt", "neural", "ensemble", "outputs"}
    before = pl.read_csv(first.output / "submission.csv")["predicted_price"].to_numpy()
    after = pl.read_csv(doubled.output / "submission.csv")["predicted_price"].to_numpy()
    assert np.median(after / before) == pytest.approx(2, rel=0.25)


def test_a_lost_and_a_damaged_output_are_made_again_on_one_core_to_the_same_bytes(
    first: Run, artifacts: Path, sample: SampleInfo, tmp_path: Path
) -> None:
    """Cores are in no key. On one of them the branches take turns: nothing is at work beside anything else."""
    store = ArtifactStore(artifacts / "store")
    shutil.rmtree(store.path(store.outputs("gbdt")[0]["reference"]))
    shutil.rmtree(store.path(store.outputs("ensemble")[0]["reference"]))
    file = store.path(store.outputs("neural")[0]["reference"]) / "predictions.parquet"
    file.write_bytes(file.read_bytes()[:100])
    again = run(sample.train, sample.test, small_config(artifacts, resources__cores=1), tmp_path / "again")
    made = sorted((stage for stage in again.stages if not stage["cached"]), key=lambda stage: stage["started"])
    assert sorted(stage["name"] for stage in made) == ["ensemble", "gbdt", "neural"]
    assert all(before["ended"] <= after["started"] for before, after in itertools.pairwise(made))
    assert {stage["threads"] for stage in made} == {1}
    assert again.submission == first.submission
    assert not store.verify()


POISON = {
    "pickle": {"type": "pickle"},
    "decoder": {"type": "json", "object_decoder": "tests.flows.poison.drink"},
}


def test_a_poisoned_record_runs_nothing(first: Run, artifacts: Path, sample: SampleInfo, tmp_path: Path) -> None:
    # a record names what reads it: a foreign one would run code in the next run
    import base64

    import cloudpickle

    from tests.flows import poison

    marker = tmp_path / "drunk"
    for kind, record in zip(itertools.cycle(POISON), sorted((artifacts / "records").iterdir()), strict=False):
        content = json.loads(record.read_text(encoding="utf-8"))
        content["metadata"]["serializer"] = content["metadata"]["serializer"] | POISON[kind]
        if kind == "pickle":
            content["metadata"]["serializer"] = POISON[kind]
            content["result"] = base64.encodebytes(cloudpickle.dumps(poison.Potion(str(marker)))).decode()
        else:
            content["result"] = json.dumps({"marker": str(marker)})
        record.write_text(json.dumps(content), encoding="utf-8")
    again = run(sample.train, sample.test, small_config(artifacts), tmp_path / "again")
    assert not marker.exists()
    assert not again.made, "the outputs are whole: a lost record costs no work"
    assert again.submission == first.submission


def test_a_failing_branch_leaves_the_other_done(artifacts: Path, sample: SampleInfo, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    broken = {
        "sparse_mlp": {"enabled": False}, "xgboost": {"enabled": False}, "catboost": {"enabled": False},
        "lightgbm": {"rounds": 20}, "multimodal": {"text": {"name": str(tmp_path / "no-such-encoder")}},
    }  # fmt: skip
    with pytest.raises(WeightsError, match="no-such-encoder"):
        run(sample.train, sample.test, small_config(fresh, members=broken), tmp_path / "broken")
    assert not (tmp_path / "broken").exists()
    done = [record["reference"].slot for record in ArtifactStore(fresh / "store").outputs("gbdt")]
    assert sorted(done) == ["lightgbm-0", "lightgbm-1"]
    mended = run(sample.train, sample.test, small_config(fresh), tmp_path / "mended")
    assert mended.made == {"neural", "ensemble", "outputs"}


@pytest.mark.parametrize("kind", ["grouped", pytest.param("random", marks=pytest.mark.slow)])
def test_permuted_prices_teach_nothing(sample: SampleInfo, tmp_path: Path, kind: str) -> None:
    from pricing.sample.generate import generate_sample

    big = generate_sample(tmp_path / "sample", rows=500, test_rows=20, seed=3, images=False)
    frame = pl.read_csv(big.train, infer_schema=False)
    train = tmp_path / "permuted.csv"
    frame.with_columns(price=frame["price"].shuffle(seed=1)).write_csv(train)
    config = small_config(tmp_path / "artifacts", folds__kind=kind, members__xgboost={"rounds": 500})
    metrics = run(train, big.test, config, tmp_path / "out").metrics
    figures = {name: model["oof_smape"] for name, model in metrics["models"].items()}
    figures["stack"] = metrics["stack"]["oof_smape"]
    # the paired standard error of a difference is about 1 on 425 rows
    assert min(figures.values()) > metrics["constant"]["oof_smape"] - 2.5
    assert metrics["holdout"]["smape"] > metrics["constant"]["holdout_smape"] - 5


def test_the_runs_graph_shows_the_arrows_between_tasks(first: Run, prefect_server: str) -> None:
    """The UI draws it from this endpoint; the two branches are side by side where no arrow joins them."""
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=["pricing"])))
        (found,) = [one for one in runs if one.parameters["output"] == str(first.output)]
    nodes = httpx.get(f"{prefect_server}/flow_runs/{found.id}/graph-v2").raise_for_status().json()["nodes"]
    labels = {key: node["label"] for key, node in nodes}
    parents = {node["label"]: {labels[parent["id"]] for parent in node["parents"]} for _, node in nodes}
    trees, networks = ({f"{name}-{fold}" for fold in (0, 1)} for name in ("gbdt lightgbm", "neural sparse_mlp"))
    assert parents["folds"] == {"catalogue"}
    assert {"features", "price_features 0"} < parents["gbdt lightgbm-0"]
    assert trees | networks <= parents["ensemble"]
    assert "ensemble" in parents["outputs"]
    for one in trees | networks:
        assert not parents[one] & (trees | networks)
