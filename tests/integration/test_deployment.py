"""A real server, work pool and worker on loopback: deployed, run, failed, retried."""

import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from prefect.concurrency.sync import concurrency
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.automations import HEARTBEAT, NAME, dead_runs, register
from pricing import Pricer
from pricing.configuration import load_config
from pricing.members.contract import Lane
from pricing.members.lightgbm import LightGBMSettings
from pricing.members.multimodal.settings import MultimodalSettings
from pricing.members.ridge import RidgeSettings
from pricing.plan.step import Step
from pricing.sample.generate import generate_sample
from pricing.store.artifacts import ArtifactStore
from pricing.store.stages import Stage
from tasks.gpu_slot import LIMIT, gpu_slot
from tests.conftest import ROOT
from tests.flows.conftest import parameters, small_config
from tests.members.networks.builders import write_text_encoder

MAKE = ("-o", "install", f"BIN={Path(sys.executable).parent}")
"""The environment that the tests run in, as it is."""
DEADLINE = 200.0
"""Seconds for anything to happen; a small busy machine starts a server in 20."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """Prefect's command and API with one home and server."""

    def __init__(self, root: Path) -> None:
        self.port = free_port()
        self.api = f"http://127.0.0.1:{self.port}/api"
        self.log = root / "log"
        self.log.mkdir()
        self.environment = os.environ | {
            "PREFECT_HOME": str(root / "home"), "PREFECT_API_URL": self.api, "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_WORKER_QUERY_SECONDS": "1", "COLUMNS": "200",
            "PREFECT_SERVER_API_HOST": "127.0.0.1", "PREFECT_SERVER_API_PORT": str(self.port),
        }  # fmt: skip

    def prefect(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "prefect", *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, env=self.environment, cwd=ROOT, timeout=DEADLINE, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def make(self, target: str) -> None:
        done = subprocess.run(
            ["make", *MAKE, target], capture_output=True, text=True, env=self.environment, cwd=ROOT, timeout=DEADLINE,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    @contextmanager
    def running(self, name: str, *command: str, **environment: str) -> Iterator[None]:
        with (self.log / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                command, env=self.environment | environment, cwd=ROOT, stdout=log, stderr=log
            )  # fmt: skip
            try:
                yield
            finally:
                process.terminate()
                process.wait(60)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        answer = httpx.post(f"{self.api}/{path}", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def wait_until_up(self) -> None:
        until = time.monotonic() + DEADLINE
        while time.monotonic() < until:
            try:
                if httpx.get(f"{self.api}/health", timeout=5).is_success:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.3)  # a health check is the only sign that a server gives
        raise AssertionError((self.log / "server.log").read_text())

    def wait_for(self, run: str, *wanted: str, runs: int = 1) -> dict[str, Any]:
        until = time.monotonic() + DEADLINE
        while time.monotonic() < until:
            found = httpx.get(f"{self.api}/flow_runs/{run}", timeout=30).json()
            if found["state_type"] in wanted and found["run_count"] >= runs:
                return dict(found)
            assert found["state_type"] not in {"CRASHED", "CANCELLED"}, (self.log / "worker.log").read_text()[-4000:]
            time.sleep(0.3)
        raise AssertionError((self.log / "worker.log").read_text()[-4000:])

    def wait_for_crash(self, run: str) -> None:
        until = time.monotonic() + DEADLINE
        while httpx.get(f"{self.api}/flow_runs/{run}", timeout=30).json()["state_type"] != "CRASHED":
            assert time.monotonic() < until, (self.log / "server.log").read_text()[-4000:]
            time.sleep(0.3)

    def said(self, run: str) -> list[str]:
        """The run's log lines."""
        logs = self.post("logs/filter", {"logs": {"flow_run_id": {"any_": [run]}}, "limit": 200})
        return [log["message"] for log in logs]

    def said_until(self, run: str, last: str) -> list[str]:
        """The run's log lines once this one is among them: the process sends them after the run's state."""
        until = time.monotonic() + DEADLINE
        while not any(last in line for line in self.said(run)):
            assert time.monotonic() < until, self.said(run)
            time.sleep(0.3)
        return self.said(run)

    def artifacts(self, run: str) -> dict[str, str]:
        """The run's artifacts that have a key: their types."""
        found = self.post("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}})
        return {artifact["key"]: artifact["type"] for artifact in found if artifact["key"]}

    def task_states(self, run: str) -> dict[str, str]:
        tasks = self.post("task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}, "sort": "EXPECTED_START_TIME_ASC"})
        return {task["name"]: task["state_name"] for task in tasks}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    it = Server(tmp_path_factory.mktemp("server"))
    with it.running("server", "make", *MAKE, "server"):
        it.wait_until_up()
        it.make("deploy")
        it.make("deploy")  # once more changes nothing
        # as systemd starts it: by its path, with nothing of this environment on PATH
        with it.running("worker", "make", *MAKE, "worker", PATH="/usr/bin:/bin"):
            yield it


def launch(server: Server, deployment: str, **given: Any) -> str:
    """`prefect deployment run` with these parameters over the deployment's; the run's id."""
    server.prefect("deployment", "run", deployment, "--params", json.dumps(given, default=str))
    runs = server.post("flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC", "limit": 1})
    return str(runs[0]["id"])


def test_deployments_carry_no_machines_path(server: Server) -> None:
    deployments = server.post("deployments/filter", {})
    assert {deployment["name"] for deployment in deployments} == {"demo", "cpu", "full", "score", "nightly"}
    for deployment in deployments:
        assert str(ROOT) not in json.dumps(deployment)


def test_a_run_from_the_form_with_nothing_changed_is_the_deployments_run(server: Server) -> None:
    """The form once submitted 216 library defaults, which undid the preset. It submits a default for every field."""
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    for deployment in server.post("deployments/filter", {}):
        schema, own = deployment["parameter_openapi_schema"], deployment["parameters"]
        fields = schema["properties"]
        assert all(field["description"] for field in fields.values())
        assert len(fields) <= 8, "one screen"
        shown = {name: field.get("default") for name, field in fields.items()} | own
        body = {"parameters": shown, "state": {"type": "SCHEDULED", "state_details": {"scheduled_time": later}}}
        run = server.post(f"deployments/{deployment['id']}/create_flow_run", body)
        submitted = run["parameters"]
        httpx.delete(f"{server.api}/flow_runs/{run['id']}", timeout=30).raise_for_status()
        assert submitted == shown
        if "preset" in own:
            from_form = load_config(submitted["preset"], submitted["overrides"] or {})
            assert from_form == load_config(own["preset"]) == load_config(deployment["name"])
        assert submitted.get("images") is None
        assert {name: submitted[name] for name in own} == own
        assert not any(submitted[name] for name in fields.keys() - own.keys())


@dataclass(frozen=True)
class Retried:
    """A deployed run that failed, as an encoder was missing, and was retried when it was there."""

    run: str
    before: set[str]
    """Keys of what was made when it failed."""
    output: Path


@pytest.fixture(scope="module")
def retried(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Retried:
    folder = tmp_path_factory.mktemp("retried")
    encoder, artifacts, output = folder / "encoder", folder / "artifacts", folder / "out"
    text = {"enabled": True, "name": str(encoder), "max_length": 12, "trainable_layers": 0}
    network = {"text": text, "image": {"enabled": False}, "training": {"epochs": 1}}
    config = small_config(artifacts, members__multimodal=network, members__sparse_mlp={"enabled": False},
                          images__enabled=False)  # fmt: skip
    run = launch(server, "pricing-sample/demo", rows=100, output=output, **parameters(config))
    server.wait_for(run, "FAILED")
    before = {record["reference"].key for record in ArtifactStore(artifacts / "store").outputs()}
    assert not output.exists()
    write_text_encoder(encoder, "bert")
    server.prefect("flow-run", "retry", run)
    server.wait_for(run, "COMPLETED", runs=2)
    return Retried(run, before, output)


def test_a_deployed_run_fails_and_retried_takes_up_only_what_is_missing(server: Server, retried: Retried) -> None:
    run, output = retried.run, retried.output
    stages = json.loads((output / "run.json").read_text(encoding="utf-8"))["stages"]
    assert {stage["key"] for stage in stages if stage["cached"]} == retried.before
    assert {stage["name"] for stage in stages if not stage["cached"]} == {"encode", "neural", "ensemble", "outputs"}
    # what failed is a line: tracebacks are for bugs
    said = [line for line in server.said(run) if "WeightsError" in line]
    assert said
    assert not any("Traceback" in message for message in said), said
    # what it gave is there, on the Artifacts page too
    assert (output / "submission.csv").exists()
    assert {"catalogue", "gbdt lightgbm-0", "neural multimodal-1", "ensemble"} <= set(server.task_states(run))
    assert server.artifacts(run) == {
        "pricing-progress": "progress", "pricing-training": "progress", "pricing-report": "markdown",
    }  # fmt: skip
    # leases outlive the server: after its restart the run would crash at the next renewal, 410 Gone
    assert (Path(server.environment["PREFECT_HOME"]) / "concurrency_leases").is_dir()


def test_a_deployment_prices_a_new_catalogue_as_the_command_does(
    server: Server, retried: Retried, tmp_path: Path
) -> None:
    new = generate_sample(tmp_path / "new", rows=60, test_rows=12, images=False).test
    given = {"model": retried.output, "catalogue": new, "comparables": 2}
    run = launch(server, "pricing-score/score", output=tmp_path / "prices.csv", **given)
    done = server.wait_for(run, "COMPLETED", "FAILED")
    assert (done["state_type"], done["name"]) == ("COMPLETED", "test.csv, prices"), done["state"]
    Pricer.load(retried.output, {"submission.intervals": True}).price_file(new, tmp_path / "again.csv", comparables=2)
    for name in ("", "_intervals", "_comparables", "_trust"):
        assert (tmp_path / f"prices{name}.csv").read_bytes() == (tmp_path / f"again{name}.csv").read_bytes()
    assert server.artifacts(run) == {"pricing-progress": "progress", "pricing-report": "markdown"}


@pytest.mark.slow
def test_the_nightly_deployment_prices_only_what_has_changed(server: Server, retried: Retried, tmp_path: Path) -> None:
    (nightly,) = [one for one in server.post("deployments/filter", {}) if one["name"] == "nightly"]
    (schedule,) = nightly["schedules"]
    assert (schedule["schedule"]["cron"], schedule["active"]) == ("0 3 * * *", False)
    new = generate_sample(tmp_path / "new", rows=60, test_rows=12, images=False).test
    given = {"model": retried.output, "catalogue": new, "output": tmp_path / "prices.csv"}

    def state() -> str:
        done = server.wait_for(launch(server, "pricing-reprice/nightly", **given), "COMPLETED", "FAILED")
        return str(done["state_name"])

    assert state() == "Completed"
    assert state() == "Unchanged"
    pl.read_csv(new).head(5).write_csv(new)
    assert state() == "Completed"
    assert len((tmp_path / "prices.csv").read_text(encoding="utf-8").splitlines()) == 6


def test_a_deployed_run_is_checked_before_any_work(server: Server, tmp_path: Path) -> None:
    """A missing file was four tracebacks, and a refused setting came after half a minute."""
    run = launch(server, "pricing/cpu", train=tmp_path / "absent.csv", output=tmp_path / "out", test=None)
    failed = server.wait_for(run, "FAILED")
    assert "absent.csv" in failed["state"]["message"]
    assert not server.task_states(run)
    said = server.said_until(run, "Engine execution exited")
    assert any("absent.csv" in line for line in said)
    assert not any("Traceback" in line for line in said), "\n".join(said)
    assert not (tmp_path / "out").exists()


def test_a_run_without_a_heartbeat_is_closed(server: Server) -> None:
    """A worker stopped in mid-run left it Running for ever, in the way of the next one and of its own retry."""
    (automation,) = server.post("automations/filter", {})
    assert automation["name"] == NAME
    assert automation["enabled"]
    assert automation["trigger"]["within"] == 120
    frequencies = {
        one["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"]
        for one in server.post("deployments/filter", {})
    }
    assert frequencies == {"30"}, "four may be lost"
    with temporary_settings({PREFECT_API_URL: server.api}):
        register(dead_runs(10))
        runs = {name: running(server, name) for name in ("pricing", "another")}
        server.wait_for_crash(runs["pricing"])
        assert httpx.get(f"{server.api}/flow_runs/{runs['another']}", timeout=30).json()["state_type"] == "RUNNING"
        register(dead_runs())
    (again,) = server.post("automations/filter", {})
    assert (again["id"], again["trigger"]["within"]) == (automation["id"], 120)


def test_steps_on_a_gpu_take_turns_and_others_wait_for_nothing(server: Server) -> None:
    def taken() -> int:
        (limit,) = [one for one in server.post("v2/concurrency_limits/filter", {}) if one["name"] == LIMIT]
        assert (limit["limit"], limit["active"]) == (1, True)
        return int(limit["active_slots"])

    def step(settings: object) -> Step:
        return Step(Stage.NEURAL, "neural", "a:b", Lane.NETWORKS, {"settings": settings})

    with temporary_settings({PREFECT_API_URL: server.api}):
        with gpu_slot(step(MultimodalSettings(device="cuda"))):
            assert taken() == 1
            with gpu_slot(step(MultimodalSettings(device="cpu"))), gpu_slot(step(RidgeSettings())):
                assert taken() == 1
            with pytest.raises(TimeoutError), concurrency(LIMIT, timeout_seconds=0.1):
                raise AssertionError("two at once")
        assert taken() == 0
        with gpu_slot(step(LightGBMSettings(device="gpu"))):
            assert taken() == 1


def running(server: Server, flow: str) -> str:
    """A run of the flow that says that it lives, once."""
    made = server.post("flows/", {"name": flow})
    run = server.post("flow_runs/", {"flow_id": made["id"], "state": {"type": "RUNNING"}})
    heartbeat = {
        "id": str(uuid.uuid4()), "occurred": datetime.now(UTC).isoformat(), "event": HEARTBEAT,
        "resource": {"prefect.resource.id": f"prefect.flow-run.{run['id']}", "prefect.resource.name": run["name"]},
        "related": [{"prefect.resource.id": f"prefect.flow.{made['id']}", "prefect.resource.role": "flow",
                     "prefect.resource.name": flow}],
    }  # fmt: skip
    server.post("events", [heartbeat])
    return str(run["id"])
