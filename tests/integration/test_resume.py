"""kill -9 in the middle of a run, then the same command: nothing finished is repeated, nothing differs."""

import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pricing.store.artifacts import ArtifactStore
from tests.conftest import ROOT

HASH_SEEDS = itertools.count(1)
SETTINGS = [
    "--rows", "100", "--set", "folds.n_splits=2", "--set", "members.catboost.enabled=false",
    "--set", "members.lightgbm.rounds=300", "--set", "members.xgboost.rounds=100", "--set", "images.enabled=false",
    "--set", "members.multimodal={text.enabled = false, image.enabled = false, training.epochs = 4}",
    "--set", "report={dpi = 50, driver_rows = 0}", "--set", "ensemble.bootstrap=50",
]  # fmt: skip


def start(root: Path, artifacts: Path, code: Path = ROOT, server: str = "") -> subprocess.Popen[str]:
    """The demo, in a process group of its own, on the code in ``code``; it starts a server where none is named."""
    environment = os.environ | {"PREFECT_HOME": str(root / "home"), "DO_NOT_TRACK": "1", "COLUMNS": "200"}
    if server:
        environment["PREFECT_API_URL"] = server
    # sets and dictionaries of strings in another order each time: nothing may depend on it
    environment["PYTHONHASHSEED"] = str(next(HASH_SEEDS))
    command = [sys.executable, "-m", "flows.cli", "demo", "--output", str(root / "out"), "--artifacts", str(artifacts)]
    return subprocess.Popen(
        [*command, *SETTINGS], cwd=code, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=280)
    assert process.returncode == 0, output[-4000:]
    return output


def kill_when(process: subprocess.Popen[str], ready: Callable[[], bool]) -> None:
    """SIGKILL to the command alone, as the kernel's out-of-memory killer would."""
    while process.poll() is None and not ready():
        time.sleep(0.02)
    assert process.poll() is None, "it ended before it could be killed"
    left = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    _, alive = psutil.wait_procs(left, timeout=30)
    assert not alive, "workers and server must end with the command"


def stages(root: Path) -> dict[str, bool]:
    """Label of each stage of the finished run: was it cached?"""
    run = json.loads((root / "out" / "run.json").read_text(encoding="utf-8"))
    return {stage["label"]: stage["cached"] for stage in run["stages"]}


def outputs(artifacts: Path) -> dict[str, str]:
    """Label of each finished stage output, with its digest."""
    references = [record["reference"] for record in ArtifactStore(artifacts / "store").outputs()]
    return {reference.label: reference.digest for reference in references}


# as people write it: without `if __name__ == "__main__":`, which a process pool would otherwise ask for
SCRIPT = """
import sys
from flows.pipeline import price_sample
from pricing.configuration import parse_settings

output, artifacts, *settings = sys.argv[1:]
price_sample(output=output, rows=100, overrides=parse_settings([f"paths.artifacts='{artifacts}'", *settings]))
"""


def servers(parent: int) -> set[int]:
    """Prefect servers that the process has started."""
    found = set()
    for child in psutil.Process(parent).children(recursive=True):
        with suppress(psutil.Error):  # it may end while it is looked at
            if "prefect.server.api.server:create_app" in child.cmdline():
                found.add(child.pid)
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run called from a script, behind a proxy that does not answer, with a server of its own."""
    root = tmp_path_factory.mktemp("undisturbed")
    (root / "script.py").write_text(SCRIPT, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "DO_NOT"))}
    environment |= {"PREFECT_HOME": str(root / "home"), "HTTP_PROXY": "http://127.0.0.1:9", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "script.py", str(root / "out"), str(root / "artifacts"), *SETTINGS[3::2]]
    started: set[int] = set()
    with (root / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=root, env=environment, stdout=log, stderr=log)
        while process.poll() is None:
            with suppress(psutil.NoSuchProcess):
                started |= servers(process.pid)
            time.sleep(0.1)  # processes that come and go give no event
    assert process.returncode == 0, (root / "log").read_text()[-4000:]
    (root / "servers").write_text(str(len(started)), encoding="utf-8")
    return root


def test_called_from_a_script_a_run_has_one_server_and_no_troubles(undisturbed: Path) -> None:
    """It started three, tried to send telemetry, and printed 247 lines with a traceback."""
    assert (undisturbed / "servers").read_text() == "1"
    log = (undisturbed / "log").read_text()
    for trouble in ("Traceback", "ERROR", "WARNING", "temporary server", "database is locked", "telemetry"):
        assert trouble not in log, log


def killed_and_resumed(root: Path, undisturbed: Path, ready: list[Callable[[], bool]], server: str = "") -> None:
    artifacts = root / "artifacts"
    done: dict[str, str] = {}
    for when in ready:
        process = start(root, artifacts, server=server)
        kill_when(process, when)
        assert done.items() <= outputs(artifacts).items()
        done = outputs(artifacts)
    finish(start(root, artifacts, server=server))
    cached = {label for label, was in stages(root).items() if was}
    assert set(done) <= cached, "a finished step was repeated"
    assert (root / "out" / "submission.csv").read_bytes() == (undisturbed / "out" / "submission.csv").read_bytes()
    assert outputs(artifacts) == outputs(undisturbed / "artifacts")


def test_a_kill_between_the_trees(tmp_path: Path, undisturbed: Path, prefect_server: str) -> None:
    trained = [lambda: "gbdt lightgbm-0" in outputs(tmp_path / "artifacts")]
    killed_and_resumed(tmp_path, undisturbed, trained, prefect_server)


def test_killed_while_the_server_starts_nothing_stays(tmp_path: Path) -> None:
    process = start(tmp_path, tmp_path / "artifacts")

    def starting() -> bool:
        return bool(servers(process.pid))

    kill_when(process, starting)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_kills(tmp_path: Path, undisturbed: Path) -> None:
    draw = random.Random(0)

    def after(seconds: float) -> Callable[[], bool]:
        until = time.monotonic() + seconds
        return lambda: time.monotonic() > until

    for number in range(20):
        root = tmp_path / str(number)
        root.mkdir()
        moment = draw.uniform(6, 22)
        killed_and_resumed(root, undisturbed, [lambda moment=moment, made=[]: _later(made, after, moment)])


def _later(made: list[Callable[[], bool]], after: Callable[[float], Callable[[], bool]], moment: float) -> bool:
    if not made:
        made.append(after(moment))  # the clock starts with the run
    return made[0]()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_changed_code_runs_again_and_a_changed_comment_does_not(tmp_path: Path, undisturbed: Path) -> None:
    code, artifacts = tmp_path / "code", tmp_path / "artifacts"
    for room in ("pricing", "tasks", "flows"):
        shutil.copytree(ROOT / room, code / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(undisturbed / "artifacts", artifacts)
    module = code / "pricing" / "members" / "trees" / "objectives.py"
    source = module.read_text(encoding="utf-8")
    module.write_text(source.replace('"""', '"""Another word. ', 1) + "\n# a remark\n", encoding="utf-8")
    process = start(tmp_path, artifacts, code)
    finish(process)
    assert all(stages(tmp_path).values())
    module.write_text(source + "\nNEW_CONSTANT = 1\n", encoding="utf-8")
    finish(start(tmp_path, artifacts, code))
    made = {label.split()[0] for label, was in stages(tmp_path).items() if not was}
    assert made == {"gbdt"}  # what follows reads the same bytes as before, and so is not made again
