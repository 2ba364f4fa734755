"""The README's commands are run as they stand there, on a small sample catalogue."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pricing.sample.generate import generate_sample
from tests.conftest import ROOT
from tests.ensemble.synthetic import make_members

README = (ROOT / "README.md").read_text(encoding="utf-8")
# what makes the presets small enough for a test; laid over whatever the README asks for
SMALL = """
[folds]
n_splits = 2
[gbdt]
members = ["lightgbm"]
lightgbm = {rounds = 20}
[neural]
members = ["sparse_mlp", "gaussian_process"]
[ensemble]
bootstrap = 50
[report]
dpi = 50
"""


def commands(program: str) -> list[str]:
    """Commands of a program in the README's console blocks, comments aside."""
    blocks = re.findall(r"```console\n(.*?)```", README, flags=re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split("#")[0].strip() for line in lines if line.startswith(f"{program} ")]


def python_blocks() -> list[str]:
    """The README's Python blocks, in order."""
    return re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("command", commands("make"))
def test_make_targets_exist(command: str) -> None:
    done = subprocess.run([*shlex.split(command), "-n"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_pricing_commands_work(tmp_path: Path, prefect_server: str) -> None:
    sample = generate_sample(tmp_path / "sample", rows=100, test_rows=20)
    for source, name in ((sample.train, "train.csv"), (sample.test, "test.csv"), (sample.test, "new.csv")):
        shutil.copy(source, tmp_path / name)
    assert sample.images is not None
    shutil.copytree(sample.images, tmp_path / "pictures")
    members, log_price = make_members(150, 2)
    predictions = pl.DataFrame({"sample_id": range(150), "a": np.exp(members[:, 0]), "b": np.exp(members[:, 1])})
    predictions[:120].with_columns(price=pl.Series(np.exp(log_price[:120]))).write_csv(tmp_path / "oof.csv")
    predictions[120:].write_csv(tmp_path / "new_predictions.csv")
    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    environment = os.environ | {"PREFECT_API_URL": prefect_server, "PYTHONPATH": str(ROOT)}
    found = commands("pricing")
    assert any(command.startswith("pricing run") for command in found)
    for command in found:
        words = [re.sub(r"^(cpu|best|full)$", "small.toml", word) for word in shlex.split(command)[1:]]
        if words[0] == "run" and "--preset" not in words:
            words += ["--preset", "small.toml"]
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", *words], cwd=tmp_path, env=environment, capture_output=True, text=True,
            timeout=200, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert (tmp_path / "prices.csv").exists()
    # the flow from Python, over the same store
    block = python_blocks()[1]
    assert "price_catalogue" in block
    (tmp_path / "script.py").write_text(block.replace('"cpu"', '"small.toml"'), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert (tmp_path / "output" / "mine" / "submission.csv").exists()


def test_the_python_block_runs() -> None:
    block = python_blocks()[0]
    done = subprocess.run([sys.executable, "-W", "error", "-c", block], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1].startswith("10.")  # (1/10.5 + 2/19) / 2
