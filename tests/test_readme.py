"""The README's commands and Python blocks are run as they stand there, on small sample catalogues."""

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
[members]
lightgbm = {rounds = 20}
xgboost = {enabled = false}
catboost = {enabled = false}
sparse_mlp = {enabled = false}
multimodal = {enabled = false}
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


def blocks(language: str, document: str = README) -> list[str]:
    """A document's blocks in a language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", document, flags=re.DOTALL)


def assert_shown(shown: str, printed: str) -> None:
    """The words of a shown output are those printed; the numbers are close, since another processor has others."""
    for told, found in zip(rows_of(shown), rows_of(printed), strict=True):
        close = [pytest.approx(word, rel=0.2) if isinstance(word, float) else word for word in told]
        assert found == close, f"{shown}\n{printed}"


def rows_of(output: str) -> list[list[str | float]]:
    """Words and numbers of each row, by the first of them: of two models that are close either may be the better."""
    rows = [re.findall(r"[\w.]+", line) for line in output.splitlines() if re.search(r"\w", line)]
    typed = [[float(word) if re.fullmatch(r"\d+\.\d+", word) else word for word in row] for row in rows]
    return sorted(typed, key=lambda row: str(row[0]))


@pytest.mark.parametrize("command", commands("make"))
def test_make_targets_exist(command: str) -> None:
    done = subprocess.run([*shlex.split(command), "-n"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# three whole runs and what reads them
@pytest.mark.timeout(600)
def test_the_pricing_commands_work(tmp_path: Path, prefect_server: str) -> None:
    sample = generate_sample(tmp_path / "sample", rows=100, test_rows=20)
    for source, name in ((sample.train, "train.csv"), (sample.test, "test.csv"), (sample.test, "new.csv")):
        shutil.copy(source, tmp_path / name)
    assert sample.images is not None
    shutil.copytree(sample.images, tmp_path / "images")
    shop = generate_sample(tmp_path / "shop", rows=100, test_rows=20, declared=True)
    shutil.copy(shop.train, tmp_path / "shop.csv")
    shutil.copy(shop.test, tmp_path / "new_feed.csv")
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
    (block,) = (found for found in blocks("python") if "price_catalogue" in found)
    (tmp_path / "script.py").write_text(block.replace('"cpu"', '"small.toml"'), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert (tmp_path / "output" / "mine" / "submission.csv").exists()


def test_the_pricer_learns_and_prices_as_shown(tmp_path: Path) -> None:
    """A notebook's cells, one after another; a script without a guard does the same."""
    cells = [block for block in blocks("python") if "price_catalogue" not in block]
    (tmp_path / "cells.py").write_text('\nprint("---")\n'.join(cells), encoding="utf-8")
    done = run_python(tmp_path, "cells.py")
    for shown, printed in zip(blocks("text"), done.split("---\n"), strict=True):
        assert_shown(shown, printed)


def test_features_alone_as_shown(tmp_path: Path) -> None:
    document = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    assert_shown(blocks("text", document)[0], run_python(tmp_path, "-c", blocks("python", document)[0]))


def run_python(folder: Path, *arguments: str) -> str:
    """Run Python in a folder, warnings as errors; what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments], cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
