"""A lane's process dies or takes too long: real processes, and what the run makes of it."""

import logging
import multiprocessing
import os
import signal
import time
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pricing.config.resources import ResourcesConfig
from pricing.errors import RunError
from pricing.members.contract import Lane
from pricing.plan.lane_pools import lane_processes
from pricing.plan.schedule import Lanes, run_steps
from pricing.plan.step import Step
from pricing.plan.workers import prepare_worker
from pricing.run_progress import RunProgress
from pricing.store.stages import Stage

pytestmark = pytest.mark.skipif(os.name == "nt", reason="has no SIGKILL")


def work(marks: str, name: str) -> dict[str, Any]:
    """A step's work: "dies" is killed every time, "dies-once" the first time, "hangs" never ends."""
    mark = Path(marks) / name
    tries = int(mark.read_text()) if mark.exists() else 0
    mark.write_text(str(tries + 1))
    if name == "dies" or (name == "dies-once" and tries == 0):
        time.sleep(1.2)  # long enough for its memory to be seen
        os.kill(os.getpid(), signal.SIGKILL)
    while name == "hangs":
        time.sleep(1)
    return {"made": name}


def small_pool(*initargs: Any) -> ProcessPoolExecutor:
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=spawn, initializer=prepare_worker, initargs=initargs)


def run(folder: Path, *names: str, timeout: float | None = None) -> dict[str, Any]:
    """Run steps of these names, one after another in one process."""
    lanes, others = Lanes.of(ResourcesConfig(cores=1)), multiprocessing.active_children()
    steps = [Step(Stage.GBDT, name, "module:function", Lane.TREES, cached=False) for name in names]
    progress = RunProgress()
    with lane_processes(lanes, folder / "weights", progress, small_pool) as pools:

        def submit(step: Step, resolved: Step, lane: Lane, threads: int) -> Future[dict[str, Any]]:
            return pools[lane].submit(work, str(folder), step.name)

        try:
            made = run_steps(steps, lanes, submit, progress, pools, timeout)
        finally:
            done = progress.moment().done
            assert done == len(steps)
    assert not set(multiprocessing.active_children()) - set(others)
    return {step.name: result for step, result in made.items()}


def test_a_killed_process_is_replaced_and_its_step_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It failed the whole run, with 210 lines of traceback and no step's name."""
    with caplog.at_level(logging.WARNING, "pricing.plan.schedule"):
        made = run(tmp_path, "before", "dies-once", "after")
    assert made == {name: {"made": name} for name in ("before", "dies-once", "after")}
    (line,) = caplog.messages
    assert line.startswith(
        "dies-once: its process was ended by SIGKILL, as the system does when memory runs out; it held"
    )
    assert "MB" in line
    tries = {mark.name: mark.read_text() for mark in tmp_path.iterdir()}
    assert tries == {"before": "1", "dies-once": "2", "after": "1"}


def test_a_step_that_dies_twice_ends_the_run_in_one_line_after_the_others(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"^dies: for the second time its process was ended by SIGKILL") as raised:
        run(tmp_path, "dies", "other")
    assert "\n" not in str(raised.value)
    assert (tmp_path / "other").exists(), "what does not need it is still done"


def test_a_step_over_its_time_is_ended_and_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"^hangs: took longer than the 3 s of resources.step_timeout"):
        run(tmp_path, "hangs", "other", timeout=3)
    assert (tmp_path / "hangs").read_text() == "1"
    assert (tmp_path / "other").exists()
