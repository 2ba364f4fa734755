"""A member is one file and one line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl

from pricing.sample.generate import SampleInfo
from tests.conftest import ROOT

MEMBER = '''
"""The member `comparables_median`: the median price of similar products."""

from pathlib import Path
from typing import Self

import numpy as np

from pricing.members.contract import Member, MemberSettings
from pricing.store.artifacts import write_json


class ComparablesMedianSettings(MemberSettings):
    """Median of the comparables' log prices, moved by what the training rows say."""


class ComparablesMedian(Member[ComparablesMedianSettings]):
    name = "comparables_median"
    Settings = ComparablesMedianSettings
    moved_by = 0.0

    def fit(self, rows, *, rounds=None, resume=None) -> Self:
        self.moved_by = float(np.median(rows.train.log_price - self._median(rows.train)))
        return self

    def predict(self, rows) -> np.ndarray:
        return self._median(rows) + self.moved_by

    def save(self, folder: Path) -> None:
        write_json(folder / "median.json", {"moved_by": self.moved_by})

    @classmethod
    def load(cls, folder: Path, *, encoders=None, threads=1) -> Self:
        import json

        member = cls(ComparablesMedianSettings())
        member.moved_by = json.loads((folder / "median.json").read_text(encoding="utf-8"))["moved_by"]
        return member

    def _median(self, rows) -> np.ndarray:
        return np.nan_to_num(rows.price["price_words_median"].to_numpy().astype(np.float64))
'''


def test_it_is_in_metrics_report_and_score(sample: SampleInfo, tmp_path: Path) -> None:
    code = tmp_path / "code"
    for room in ("pricing", "tasks", "flows"):
        shutil.copytree(ROOT / room, code / room, ignore=shutil.ignore_patterns("__pycache__"))
    members = code / "pricing" / "members"
    (members / "comparables_median.py").write_text(MEMBER, encoding="utf-8")
    registry = (members / "registry.py").read_text(encoding="utf-8")
    line = '    "pricing.members.comparables_median:ComparablesMedian",\n'
    (members / "registry.py").write_text(registry.replace("MEMBERS = (\n", f"MEMBERS = (\n{line}"), encoding="utf-8")

    def pricing(*arguments: str) -> None:
        environment = os.environ | {"PYTHONPATH": str(code)}
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", *arguments], cwd=tmp_path, env=environment, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    off = [f"members.{name}.enabled=false" for name in ("ridge", "xgboost", "catboost", "sparse_mlp", "multimodal")]
    settings = ["resources.runner=local", "images.enabled=false", "folds.n_splits=2", "members.lightgbm.rounds=20",
                "ensemble.bootstrap=50", "ensemble.meta_learners=['smape_linear']",
                "report={dpi = 50, driver_rows = 0}", *off]  # fmt: skip
    sets = [part for setting in settings for part in ("--set", setting)]
    pricing(
        "run", "--train", str(sample.train), "--test", str(sample.test), "--output", "out", "--preset", "demo", *sets
    )
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert set(metrics["models"]) == {"comparables_median", "lightgbm"}, "the ridge can be left out"
    assert "comparables_median" in pl.read_parquet(tmp_path / "out" / "evaluation" / "oof.parquet").columns
    assert "comparables_median" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")

    pricing("score", "--run", "out", "--catalogue", str(sample.test), "--output", "prices.csv")
    scored, submitted = (pl.read_csv(tmp_path / name) for name in ("prices.csv", "out/submission.csv"))
    assert scored.equals(submitted)
