"""What a lane's process is given: where weights go, and where its log lines and its progress go."""

import logging
import os
import time
from pathlib import Path

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.logging.handlers import APILogHandler
from prefect.runtime import flow_run

from flows.prefect_runner import lane_runner
from pricing.config.paths import PathsConfig
from pricing.config.resources import ResourcesConfig
from pricing.members.contract import Lane
from pricing.plan.channel import say
from pricing.plan.lane_pools import lane_processes
from pricing.plan.schedule import Lanes
from pricing.run_progress import ProgressStep, RunProgress

pytestmark = pytest.mark.usefixtures("prefect_server")


@task
def probe() -> str:
    logging.getLogger("pricing.members.multimodal.training").info("epoch 7: training loss 0.5")
    say("images 3/9")
    return os.environ["PRICING_WEIGHTS"]


@pytest.mark.parametrize("named", [None, "mine"])
def test_weights_go_into_the_artifacts_and_log_lines_to_the_task_run(
    named: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if named:
        monkeypatch.setenv("PRICING_WEIGHTS", named)

    asked, said = [], []

    @flow
    def ask() -> str:
        asked.append(flow_run.id)
        progress = RunProgress()
        lanes, weights = Lanes.of(ResourcesConfig(cores=1)), PathsConfig(artifacts=tmp_path).work / "weights"
        with lane_processes(lanes, weights, progress, lane_runner) as runners:
            progress.start(progress.submit(ProgressStep("downloading", Lane.TREES)))
            found = str(runners[Lane.TREES].submit(probe, {}).result())
            until = time.monotonic() + 20
            while time.monotonic() < until and progress.moment().doing != ("images 3/9",):
                time.sleep(0.01)  # it comes by another way than the result
            said.extend(progress.moment().doing)
            return found

    assert ask() == (named or str(tmp_path / "work" / "weights"))
    assert said == ["images 3/9"]
    assert capfd.readouterr().err.count("epoch 7: training loss 0.5") == 1
    APILogHandler().flush()
    with get_client(sync_client=True) as client:
        logs = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[asked[0]])))
    (line,) = [log for log in logs if log.name == "pricing.members.multimodal.training"]
    assert line.message == "epoch 7: training loss 0.5"
    assert line.task_run_id is not None
