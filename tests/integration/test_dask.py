"""The same run on the workers of a Dask scheduler: the same bytes, also when a worker is killed in the middle."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from flows import dask_runner
from flows.dask_runner import DaskLanes
from flows.pipeline import price_catalogue
from pricing.configuration import PricingConfig, load_config
from pricing.download.sources import ImageSource
from pricing.errors import ConfigError, RunError
from pricing.members.contract import Lane
from pricing.members.registry import member_class
from pricing.plan.execute import Runtime
from pricing.plan.local_runner import execute_here
from pricing.plan.opening import OpenedRun, check_machine
from pricing.plan.step import Step
from pricing.sample.generate import SampleInfo
from pricing.store.stages import Stage
from tests.flows.conftest import parameters, sample, small_config
from tests.integration.dask_cluster import start_scheduler, start_worker

__all__ = ["sample"]  # the session's


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a scheduler with a worker for each lane."""
    root = tmp_path_factory.mktemp("cluster")
    with ExitStack() as stack:
        address = stack.enter_context(start_scheduler(root))
        for lane in ("trees", "networks"):
            stack.enter_context(start_worker(address, root / lane, f"{lane}=1"))
        yield address


@pytest.fixture(scope="module")
def local(sample: SampleInfo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run's output without Dask, Prefect and other processes, one core per lane as the workers have."""
    return here(small_config(tmp_path_factory.mktemp("local") / "artifacts", resources__cores=2), sample)


def here(config: PricingConfig, sample: SampleInfo) -> Path:
    """Run the steps in this process, in the plan's order; returns the output folder."""

    def submit(step: Step, resolved: Step, lane: Lane, runtime: Runtime) -> Future[dict[str, Any]]:
        done: Future[dict[str, Any]] = Future()
        done.set_result(execute_here(resolved, runtime))
        return done

    opened = OpenedRun.open(sample.train, sample.test, config, ImageSource.of(None))
    output = opened.paths.artifacts.parent / "out"
    opened.run(submit).finish(output)
    return output


def on_dask(address: str, sample: SampleInfo, root: Path, **changes: object) -> list[dict[str, Any]]:
    """Run the flow on a scheduler's workers; returns the stages of run.json."""
    config = small_config(
        root / "artifacts", resources__runner="dask", resources__dask_address=address, **changes
    )  # fmt: skip
    price_catalogue(sample.train, root / "out", test=sample.test, **parameters(config))
    return list(json.loads((root / "out" / "run.json").read_text(encoding="utf-8"))["stages"])


@pytest.mark.usefixtures("prefect_server")
def test_the_workers_of_a_scheduler_make_the_same_bytes(
    cluster: str, local: Path, sample: SampleInfo, tmp_path: Path
) -> None:
    stages = on_dask(cluster, sample, tmp_path)
    for name in ("submission.csv", "metrics.json"):
        assert (tmp_path / "out" / name).read_bytes() == (local / name).read_bytes(), name
    alone = json.loads((local / "run.json").read_text(encoding="utf-8"))["stages"]
    assert [stage["key"] for stage in stages] == [stage["key"] for stage in alone]
    assert not any(stage["cached"] for stage in stages)


def trained(name: str, **settings: object) -> Step:
    config = load_config("demo", {f"members.{name}.{setting}": value for setting, value in settings.items()})
    inputs = {"settings": getattr(config.members, name)}
    return Step(Stage.GBDT, name, "module:function", member_class(name).lane, inputs)


def test_a_resource_that_no_worker_offers_is_one_line(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_runner, "ABSENT_SECONDS", 0.5)  # 20, so that with all else it is said within 30
    with Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(2)
        lanes = DaskLanes.on(client, [trained("lightgbm"), trained("sparse_mlp")])
        assert lanes.cores() == {"trees": 1, "networks": 1}
        with pytest.raises(
            RunError, match=r"^lightgbm: no worker of the Dask .* offers trees and gpu; .*gpu=1"
        ) as told:
            DaskLanes.on(client, [trained("lightgbm", device="gpu")])
    assert "\n" not in str(told.value)


def test_a_lane_has_room_for_as_many_steps_as_its_workers_offer(cluster: str, tmp_path: Path) -> None:
    """A second worker for the trees, and a third that offers two at once on one GPU."""
    with ExitStack() as stack:
        for number, offer in enumerate(("trees=1", "trees=2 gpu=1")):
            stack.enter_context(start_worker(cluster, tmp_path / str(number), offer))
        client = stack.enter_context(Client(cluster, set_as_default=False))
        client.wait_for_workers(4)
        lanes = DaskLanes.on(client, [trained("lightgbm")])
        assert lanes.room(trained("lightgbm")) == 4
        assert lanes.room(trained("lightgbm", device="gpu")) == 1
        assert lanes.room(trained("sparse_mlp")) == 1
        download = Step(Stage.DOWNLOAD, "fetch", "module:function", Lane.DOWNLOAD)
        assert lanes.room(download) == 4  # every thread of every worker


def test_dask_needs_an_address_and_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"resources.*dask_address is not set; set it to .*tcp://HOST:8786"):
        load_config("demo", {"resources.runner": "dask"})
    config = small_config(tmp_path, resources__runner="dask", resources__dask_address="tcp://127.0.0.1:9")
    monkeypatch.setattr("pricing.plan.opening.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'pip install "smart-product-pricing\[dask\]"'):
        check_machine(config)


def test_images_behind_an_address_are_refused(tmp_path: Path) -> None:
    """Prices would have been made without them: the list of images is of the machine that downloads."""
    address = f"file://{tmp_path}/store"
    given = {"resources.runner": "dask", "resources.dask_address": "tcp://127.0.0.1:1", "paths.artifacts": address}
    with pytest.raises(ConfigError, match=r"paths.artifacts file://.*images.enabled=false"):
        check_machine(load_config("demo", given | {"paths.cache": str(tmp_path / "cache")}))


@pytest.mark.usefixtures("prefect_server")
def test_a_scheduler_that_does_not_answer_is_one_line(
    sample: SampleInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_runner, "ABSENT_SECONDS", 1.0)
    with pytest.raises(RunError, match=r"dask_address: no Dask scheduler answers at tcp://127\.0\.0\.1:9") as told:
        on_dask("tcp://127.0.0.1:9", sample, tmp_path)
    assert "\n" not in str(told.value)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("prefect_server")
def test_a_worker_killed_in_training_costs_its_step_alone(local: Path, sample: SampleInfo, tmp_path: Path) -> None:
    """Its nanny is killed with it, so that it does not come back: the other worker does its step."""
    slow = {"members__lightgbm__rounds": 3000}
    alone = here(small_config(tmp_path / "alone" / "artifacts", resources__cores=2, **slow), sample)
    with ExitStack() as stack:
        address = stack.enter_context(start_scheduler(tmp_path))
        started = {
            name: stack.enter_context(start_worker(address, tmp_path / name, "trees=1")) for name in ("one", "two")
        }
        stack.enter_context(start_worker(address, tmp_path / "networks", "networks=1"))
        client = stack.enter_context(Client(address, set_as_default=False))
        killed: list[str] = []

        def kill() -> None:
            trains = tmp_path / "artifacts" / "store" / ".partial"
            while not any(trains.glob("gbdt-*")):
                time.sleep(0.02)  # another process's file
            workers, busy = client.scheduler_info()["workers"], client.processing()
            at_it = next(name for name, worker in workers.items() if busy.get(name) and "trees" in worker["resources"])
            folder = Path(workers[at_it]["local_directory"]).relative_to(tmp_path).parts[0]
            os.killpg(started[folder].pid, signal.SIGKILL)
            killed.append(folder)

        thread = threading.Thread(target=kill, daemon=True)
        thread.start()
        on_dask(address, sample, tmp_path, **slow)
        thread.join(10)
    assert killed
    assert (tmp_path / "out" / "submission.csv").read_bytes() == (alone / "submission.csv").read_bytes()
