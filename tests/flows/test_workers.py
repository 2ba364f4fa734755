"""What a branch's process is given: where weights go, and where its log lines and its progress go."""

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

from flows.graph import TABLES, open_graph
from pricing.catalogue.sources import ImageSource
from pricing.run_progress import Step
from tasks.channel import say
from tests.flows.conftest import small_config

pytestmark = pytest.mark.usefixtures("prefect_server")


@task
def probe() -> str:
    logging.getLogger("pricing.neural.training").info("epoch 7: training loss 0.5")
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
        config = small_config(tmp_path / "artifacts")
        with open_graph(tmp_path / "train.csv", None, config, ImageSource.web()) as graph:
            graph.progress.submit(Step("fetch", lane=TABLES))
            found = str(graph.tables.submit(probe, {}).result())
            until = time.monotonic() + 20
            while time.monotonic() < until and graph.progress.moment().doing != ("images 3/9",):
                time.sleep(0.01)  # it comes by another way than the result
            said.extend(graph.progress.moment().doing)
            return found

    assert ask() == (named or str(tmp_path / "artifacts" / "work" / "weights"))
    assert said == ["images 3/9"]
    assert capfd.readouterr().err.count("epoch 7: training loss 0.5") == 1
    APILogHandler().flush()
    with get_client(sync_client=True) as client:
        logs = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[asked[0]])))
    (line,) = [log for log in logs if log.name == "pricing.neural.training"]
    assert line.message == "epoch 7: training loss 0.5"
    assert line.task_run_id is not None
