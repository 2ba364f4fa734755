"""The same run without Prefect: the same bytes, one store, no process left, no `__main__` guard."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.pipeline import price_catalogue
from pricing.sample.generate import SampleInfo
from tests.conftest import ROOT
from tests.flows.conftest import parameters, small_config

pytestmark = pytest.mark.usefixtures("prefect_server", "kept_workers")

SCRIPT = """
import json, sys
from pricing import Pricer

train, test, output, overrides = sys.argv[1:]
pricer = Pricer("demo", json.loads(overrides)).fit(train, test=test)
pricer.write(output)
print(pricer.leaderboard())
"""


@pytest.fixture(scope="module")
def without_prefect(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which importing Prefect is an error, in child processes too."""
    folder = tmp_path_factory.mktemp("blocked")
    (folder / "prefect").mkdir()
    (folder / "prefect" / "__init__.py").write_text("raise ImportError('no Prefect here')", encoding="utf-8")
    return os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


def stages(output: Path) -> list[dict[str, Any]]:
    return list(json.loads((output / "run.json").read_text(encoding="utf-8"))["stages"])


def command(script: Sequence[str], sample: SampleInfo, artifacts: Path, output: Path, **changes: object) -> list[str]:
    overrides = parameters(small_config(artifacts, **changes))["overrides"]
    return [sys.executable, *script, str(sample.train), str(sample.test), str(output), json.dumps(overrides)]


def test_a_script_and_the_flow_make_the_same_bytes_and_serve_each_other(
    sample: SampleInfo, tmp_path: Path, without_prefect: dict[str, str]
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")  # without a guard: a spawned process must not run it again
    local, flow = tmp_path / "local", tmp_path / "flow"
    done = subprocess.run(
        command([str(script)], sample, tmp_path / "store-local", local), env=without_prefect, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert done.stdout.count("sparse_mlp") == 1
    price_catalogue(sample.train, flow, test=sample.test, **parameters(small_config(tmp_path / "store-flow")))
    for name in ("submission.csv", "metrics.json"):
        assert (local / name).read_bytes() == (flow / name).read_bytes(), name

    # over one store, whichever is second executes nothing
    again = tmp_path / "again"
    price_catalogue(sample.train, again, test=sample.test, **parameters(small_config(tmp_path / "store-local")))
    assert all(stage["cached"] for stage in stages(again))
    from_notebook = command(["-"], sample, tmp_path / "store-flow", tmp_path / "notebook")  # `__main__` has no file
    subprocess.run(from_notebook, input=SCRIPT, env=without_prefect, capture_output=True, text=True, check=True)
    assert all(stage["cached"] for stage in stages(tmp_path / "notebook"))
    assert (tmp_path / "notebook" / "submission.csv").read_bytes() == (flow / "submission.csv").read_bytes()


def test_the_command_runs_without_prefect_where_it_is_told_to(
    sample: SampleInfo, tmp_path: Path, without_prefect: dict[str, str]
) -> None:
    options = ["--artifacts", str(tmp_path / "artifacts"), "--set", "resources.runner=local",
               "--set", "images.enabled=false", "--preset", "demo"]  # fmt: skip
    arguments = ["stage", "features", "--train", str(sample.train), "--output", str(tmp_path / "out"), *options]
    subprocess.run([sys.executable, "-m", "flows.cli", *arguments], env=without_prefect, check=True)
    assert {stage["name"] for stage in stages(tmp_path / "out")} == {
        "catalogue", "folds", "features", "price_features",
    }  # fmt: skip
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert list(metrics["models"]) == ["ridge"]


def test_ctrl_c_leaves_no_process(sample: SampleInfo, tmp_path: Path, without_prefect: dict[str, str]) -> None:
    endless = {"epochs": 1_000_000, "seeds": 32}
    started = subprocess.Popen(
        command(["-c", SCRIPT], sample, tmp_path / "artifacts", tmp_path / "out", members__sparse_mlp=endless),
        env=without_prefect, start_new_session=True,
    )  # fmt: skip
    try:
        process = psutil.Process(started.pid)
        _wait_for(lambda: (tmp_path / "artifacts" / "store" / "gbdt").is_dir(), started)
        children = process.children(recursive=True)
        assert children
        os.killpg(started.pid, signal.SIGINT)  # a terminal's reaches them all
        assert started.wait(60) != 0
        gone, alive = psutil.wait_procs(children, 30)
        assert not alive
        assert gone
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
    assert not (tmp_path / "out").exists()
    shutil.rmtree(tmp_path / "artifacts")


def _wait_for(there: Any, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 120
    while not there():
        assert process.poll() is None, "it has ended"
        assert time.monotonic() < until
        time.sleep(0.1)  # another process's file
