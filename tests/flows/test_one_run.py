"""Two runs on one store wait for each other, whatever becomes of the first."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client

from flows.one_run import limit_name, one_run
from pricing.config.paths import PathsConfig
from tests.conftest import ROOT

HOLD = """
import sys
from pathlib import Path
from prefect import flow
from flows.one_run import one_run
from pricing.config.paths import PathsConfig

@flow
def hold(artifacts: Path) -> None:
    with one_run(PathsConfig(artifacts=artifacts)):
        print("held", flush=True)
        sys.stdin.readline()

hold(Path(sys.argv[1]))
"""


def holding(artifacts: Path, server: str) -> subprocess.Popen[str]:
    """A run in a process of its own that has the store; ends at a line on its input."""
    environment = os.environ | {"PREFECT_API_URL": server, "PREFECT_LOGGING_LEVEL": "ERROR"}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(artifacts)], cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def slots(artifacts: Path) -> int:
    """How many slots of the store's limit are taken."""
    with get_client(sync_client=True) as client:
        return client.read_global_concurrency_limit_by_name(limit_name(artifacts)).active_slots


@flow
def take(artifacts: Path) -> float:
    """When this run had the store."""
    with one_run(PathsConfig(artifacts=artifacts)):
        assert slots(artifacts) == 1
        return time.time()


def test_a_run_waits_for_the_one_before_it_and_not_for_one_that_was_killed(prefect_server: str, tmp_path: Path) -> None:
    first = holding(tmp_path / "a", prefect_server)
    assert slots(tmp_path / "a") == 1
    take(tmp_path / "b")  # another store is free
    assert slots(tmp_path / "b") == 0
    waiter = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "a")], cwd=ROOT, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"PREFECT_API_URL": prefect_server},
    )  # fmt: skip
    assert waiter.stderr is not None
    assert waiter.stdout is not None
    line = next(text for text in waiter.stderr if "waits for" in text)
    assert f"process {first.pid} on" in line
    assert f"works on {tmp_path / 'a'} since" in line
    first.communicate("end\n")
    assert first.returncode == 0
    assert waiter.stdout.readline() == "held\n"

    # killed, it leaves the slot taken; the next one here need not wait for the lease to end
    waiter.kill()
    waiter.communicate()
    assert slots(tmp_path / "a") == 1
    killed = time.time()
    assert take(tmp_path / "a") - killed < 60
    assert slots(tmp_path / "a") == 0


def test_a_slot_whose_lease_is_lost_blocks_nothing(prefect_server: str, tmp_path: Path) -> None:
    """A server that kept leases in memory forgot them at its restart, and its database did not."""
    dead = holding(tmp_path / "a", prefect_server)
    dead.kill()
    dead.communicate()
    record = tmp_path / "a" / "work" / "run.json"
    text = record.read_text(encoding="utf-8")
    lease = text.split('"lease": "')[1].split('"')[0]
    record.write_text(text.replace(lease, "00000000-0000-4000-8000-000000000000"), encoding="utf-8")
    take(tmp_path / "a")
    assert slots(tmp_path / "a") == 0
    assert not record.exists()


def test_the_limit_is_named_after_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert limit_name(Path("artifacts")) == limit_name(tmp_path / "artifacts") != limit_name(tmp_path / "other")
