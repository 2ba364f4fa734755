"""Ctrl-C in a real terminal, while a network trains: once stops the run, twice ends it at once."""

import os
import time
from pathlib import Path

import psutil
import pytest

from pricing.members.multimodal.checkpoint import CheckpointManager
from pricing.plan.workers import STOP_SECONDS
from pricing.sample.generate import generate_sample
from tests.integration.terminal import Terminal
from tests.integration.test_stopping import SETTINGS

pytestmark = pytest.mark.skipif(os.name == "nt", reason="has no pseudo-terminal")
GO_ON = "interrupted; what is finished is kept. To go on, run the same command again"


def training(root: Path, runner: str, server: str = "") -> Terminal:
    """A training without end."""
    train = generate_sample(root / "sample", rows=100, test_rows=20, images=False).train
    command = ["stage", "neural", "--train", str(train), "--output", str(root / "out"), "--verbose",
               "--artifacts", str(root / "artifacts"), "--set", f"resources.runner='{runner}'", *SETTINGS]  # fmt: skip
    return Terminal(root, *command, server=server)


@pytest.mark.parametrize("runner", ["local", "processes"])
def test_ctrl_c_stops_a_training_within_10_s_and_says_how_to_go_on(
    runner: str, tmp_path: Path, prefect_server: str
) -> None:
    """It was not heard at all: polars' signal handler does not wake a thread that waits for a lock."""
    with training(tmp_path, runner, prefect_server) as run:
        run.read_until("epoch 3: training loss")
        started, pressed = run.started(), time.monotonic()
        run.press_ctrl_c()
        run.read_until("")
        assert run.process.wait(10) == 130
        assert time.monotonic() - pressed < 10
    lines = [line for line in run.said.splitlines() if line.strip()]
    assert lines[-1] == f"pricing: {GO_ON}"
    assert "Traceback" not in run.said, run.said
    assert not psutil.wait_procs(started, timeout=5)[1]
    (folder,) = (tmp_path / "artifacts" / "work" / "checkpoints").iterdir()
    found = CheckpointManager(folder).get_latest_checkpoint()
    assert found is not None
    assert found["position"]["batch"] > 0, "saved in the middle of an epoch, by the stop itself"
    assert not list((tmp_path / "artifacts" / "work").glob("run.json"))


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    with training(tmp_path, "local") as run:
        run.read_until("epoch 3: training loss")
        started = run.started()
        for process in started:
            if "spawn_main" in " ".join(process.cmdline()):
                process.suspend()  # as one in a long call of a library
        run.press_ctrl_c()
        time.sleep(1)  # the terminal shows nothing of the first one before it has stopped
        pressed = time.monotonic()
        run.press_ctrl_c()
        assert run.process.wait(30) == 130
        assert time.monotonic() - pressed < STOP_SECONDS / 2
    assert not psutil.wait_procs(started, timeout=5)[1]
