"""A run is killed or told to stop while a network trains: it leaves a checkpoint, and the next run goes on from it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pricing.members.multimodal.checkpoint import CheckpointManager
from pricing.sample.generate import generate_sample
from tests.conftest import ROOT

SETTINGS = [
    "--preset", "demo", "--set", "folds.n_splits=2", "--set", "images.enabled=false", "--set", "holdout.refit=false",
    "--set", "members.sparse_mlp.enabled=false",
    "--set", "members.multimodal={text.enabled = false, image.enabled = false}",
    "--set", "members.multimodal.training={epochs = 1000000, patience = 1000000}",
]  # fmt: skip
DEADLINE = 150.0
"""Seconds for anything to happen on a small busy machine."""


class Run:
    """`pricing stage neural` on a training without end."""

    def __init__(self, root: Path, train: Path, log: str) -> None:
        # a shell starts what runs in the background with interrupts ignored, and a process hands that on
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.log, self.artifacts = root / log, root / "artifacts"
        environment = os.environ | {"PREFECT_HOME": str(root / "home"), "DO_NOT_TRACK": "1", "COLUMNS": "200"}
        command = [sys.executable, "-m", "flows.cli", "stage", "neural", "--train", str(train),
                   "--output", str(root / "out"), "--artifacts", str(self.artifacts), *SETTINGS]  # fmt: skip
        with self.log.open("w") as log_file:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log_file, stderr=log_file, start_new_session=True
            )

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()  # where the test failed before it could
        self.process.wait()

    def wait_for_line(self, text: str) -> None:
        until = time.monotonic() + DEADLINE
        while text not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            assert time.monotonic() < until, self.log.read_text()[-4000:]
            time.sleep(0.05)  # another process's log gives no event

    def stop(self, number: signal.Signals) -> None:
        """Send the signal to the command alone; it and all that it started must end."""
        self._end(lambda: self.process.send_signal(number), -number)

    def interrupt(self) -> None:
        """Ctrl-C: a terminal sends the signal to the command and what it started; the server must outlive the run."""
        self._end(lambda: os.killpg(self.process.pid, signal.SIGINT), 130)
        assert "Finished in state Crashed" in self.log.read_text()
        assert "attempts failed" not in self.log.read_text()

    def _end(self, stop: Callable[[], object], code: int) -> None:
        started = psutil.Process(self.process.pid).children(recursive=True)
        stop()
        assert self.process.wait(DEADLINE) == code
        _, alive = psutil.wait_procs(started, timeout=30)
        assert not alive, self.log.read_text()[-4000:]

    def checkpoint(self) -> dict:
        """The newest; only a training that was stopped leaves one in the middle of an epoch."""
        (folder,) = (self.artifacts / "work" / "checkpoints").iterdir()
        found = CheckpointManager(folder).get_latest_checkpoint()
        assert found is not None
        return found


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="has no SIGTERM")
def test_a_stopped_training_leaves_a_checkpoint_and_goes_on_from_it(tmp_path: Path) -> None:
    train = generate_sample(tmp_path / "sample", rows=100, test_rows=20, images=False).train
    with Run(tmp_path, train, "first.log") as first:
        first.wait_for_line("epoch 1: training loss")  # the log says how training goes, without a terminal too
        first.stop(signal.SIGKILL)
    left = first.checkpoint()
    assert left["position"]["batch"] > 0

    epoch, batch = left["position"]["epoch"] + 1, left["position"]["batch"]
    with Run(tmp_path, train, "second.log") as second:
        second.wait_for_line(f"resumed at epoch {epoch}, batch {batch}, step {left['step']}")
        second.wait_for_line(f"epoch {epoch}: training loss")
        second.stop(signal.SIGTERM)
    later = second.checkpoint()
    assert later["position"]["batch"] > 0
    assert later["step"] > left["step"]
    assert "multimodal-1" not in second.log.read_text(), "the next fold must not be taken up"

    with Run(tmp_path, train, "third.log") as third:
        third.wait_for_line("resumed at epoch")
        third.interrupt()
