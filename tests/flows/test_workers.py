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

from flows.graph import TABLES, Graph, open_graph, split_cores
from pricing.download.sources import ImageSource
from pricing.run_progress import Step
from tasks.channel import say
from tasks.workers import branch_runner
from tests.flows.conftest import small_config

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
    (line,) = [log for log in logs if log.name == "pricing.members.multimodal.training"]
    assert line.message == "epoch 7: training loss 0.5"
    assert line.task_run_id is not None


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.99])
@pytest.mark.parametrize("cores", [1, 2, 3, 4, 7, 64])
def test_the_branches_use_the_cores_asked_for_and_no_more(cores: int, share: float, tmp_path: Path) -> None:
    config = small_config(tmp_path, resources={"cores": cores, "gbdt_share": share})
    tables, neural = split_cores(config)
    assert min(tables, neural) >= 1
    assert tables + neural == max(2, cores)
    pools = [branch_runner(threads, tmp_path) for threads in (tables, neural)]
    graph = Graph(pools[0], pools[-1 if cores > 1 else 0], tmp_path / "t.csv", None, config, ImageSource.web())
    assert sum(graph.threads.values()) == cores
