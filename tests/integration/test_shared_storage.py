"""Machines that share a bucket and no disk: the same bytes as with a folder, and only what is whole is served."""

import json
import logging
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
from moto.server import ThreadedMotoServer

from flows.pipeline import price_catalogue
from pricing.configuration import PricingConfig
from pricing.download.sources import ImageSource
from pricing.members.contract import Lane
from pricing.plan.execute import Runtime
from pricing.plan.local_runner import execute_here
from pricing.plan.opening import OpenedRun
from pricing.plan.step import Step
from pricing.sample.generate import SampleInfo
from pricing.store.remote import Remote
from tests.flows.conftest import parameters, sample, small_config
from tests.integration.dask_cluster import start_scheduler, start_worker

__all__ = ["sample"]  # the session's

SECRET = "Geheim7-planted-secret"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of an empty bucket of an S3-compatible server on loopback; credentials are in the environment."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "planted-id", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    try:
        remote = Remote("s3://shop/prices")
        remote._opened[0].mkdir("shop")
        yield remote.address
    finally:
        server.stop()


def run(config: PricingConfig, sample: SampleInfo, output: Path) -> dict[str, bool]:
    """Run the steps in this process, in the plan's order; returns whether each one's output was there before."""

    def submit(step: Step, resolved: Step, lane: Lane, runtime: Runtime) -> Future[dict[str, Any]]:
        done: Future[dict[str, Any]] = Future()
        done.set_result(execute_here(resolved, runtime))
        return done

    OpenedRun.open(sample.train, sample.test, config, ImageSource.of(None)).run(submit).finish(output)
    return stages(output)


def stages(output: Path) -> dict[str, bool]:
    record = json.loads((output / "run.json").read_text(encoding="utf-8"))
    return {stage["label"]: stage["cached"] for stage in record["stages"]}


def assert_same(one: Path, other: Path) -> None:
    for name in ("submission.csv", "metrics.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.slow
def test_another_machine_serves_all_and_rebuilds_what_is_corrupt(
    bucket: str, sample: SampleInfo, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    def machine(name: str) -> dict[str, bool]:
        config = small_config(Path("unused"), paths__artifacts=bucket, paths__cache=str(tmp_path / name))
        return run(config, sample, tmp_path / name / "out")

    run(small_config(tmp_path / "folder"), sample, tmp_path / "folder" / "out")
    assert not any(machine("one").values())
    assert_same(tmp_path / "one" / "out", tmp_path / "folder" / "out")
    assert all(machine("two").values())
    assert_same(tmp_path / "two" / "out", tmp_path / "folder" / "out")

    remote = Remote(bucket)
    corrupt = next(name for name in remote.sizes("store/ensemble") if name.endswith("metrics.json"))
    remote.write(corrupt, b"{}")
    (lost,) = {name for name in remote.sizes("store/folds") if name.endswith("artifact.json")}
    remote.remove([lost])
    again = machine("three")
    assert {label for label, cached in again.items() if not cached} == {"folds", "ensemble"}
    assert_same(tmp_path / "three" / "out", tmp_path / "folder" / "out")

    for path in tmp_path.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
    for name in remote.sizes(""):
        assert SECRET.encode() not in (remote.read(name) or b""), name
    assert SECRET not in caplog.text


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("prefect_server")
def test_workers_without_a_shared_disk_of_which_one_is_killed(
    bucket: str, sample: SampleInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scheduler and workers are processes with working folders of their own, and know one another's from the bucket."""
    slow = {"members__lightgbm__rounds": 3000, "resources__cores": 2}
    run(small_config(tmp_path / "folder", **slow), sample, tmp_path / "alone")
    (tmp_path / "parent").mkdir()
    monkeypatch.chdir(tmp_path / "parent")
    with ExitStack() as stack:
        address = stack.enter_context(start_scheduler(tmp_path))
        started = {
            name: stack.enter_context(start_worker(address, tmp_path / name, "trees=1")) for name in ("one", "two")
        }
        stack.enter_context(start_worker(address, tmp_path / "networks", "networks=1"))
        client = stack.enter_context(Client(address, set_as_default=False))
        client.wait_for_workers(3)
        killed: list[str] = []

        def kill() -> None:
            while not (found := [*tmp_path.glob("*/cache/store/.partial/gbdt-*")]):
                time.sleep(0.02)  # another process's file
            folder = found[0].relative_to(tmp_path).parts[0]
            os.killpg(started[folder].pid, signal.SIGKILL)
            killed.append(folder)

        thread = threading.Thread(target=kill, daemon=True)
        thread.start()
        config = small_config(
            Path("unused"), paths__artifacts=bucket, paths__cache="cache", resources__runner="dask",
            resources__dask_address=address, **slow,
        )  # fmt: skip
        price_catalogue(sample.train, tmp_path / "out", test=sample.test, **parameters(config))
        thread.join(10)
    assert killed
    assert not any(stages(tmp_path / "out").values())
    assert (tmp_path / "out" / "submission.csv").read_bytes() == (tmp_path / "alone" / "submission.csv").read_bytes()
    there = {path.name for path in tmp_path.iterdir() if (path / "cache" / "store").is_dir()}
    assert there == {"parent", "one", "two", "networks"}
