"""A member of a few lines, for runs in miniature: the ridge's log price, shifted by what the fold's rows say."""

import json
from pathlib import Path
from typing import Any, Self

import numpy as np

from pricing.members.contract import Member, MemberSettings, Reads
from pricing.members.fold_rows import FoldRows, Rows


class ShiftedSettings(MemberSettings):
    """No settings of its own."""


class Shifted(Member[ShiftedSettings]):
    """Predicts the ridge plus the mean error of the training rows' comparables; encodes rows once for all folds."""

    name = "shifted"
    Settings = ShiftedSettings
    reads = frozenset({Reads.PRICE_FEATURES, Reads.IMAGES})
    encoded = 0
    shift = 0.0

    def fit(self, rows: FoldRows, *, rounds: int | None = None, resume: Path | None = None) -> Self:
        self.shift = float(np.mean(rows.train.log_price)) / 100
        return self

    def predict(self, rows: Rows) -> np.ndarray:
        there = len(rows.images.files()) if rows.images is not None else 0
        return rows.ridge * 0.9 + self.shift + 0.01 * there

    def save(self, folder: Path) -> None:
        (folder / "shift.json").write_text(json.dumps(self.shift))

    @classmethod
    def load(cls, folder: Path, *, encoders: Path | None = None, threads: int = 1) -> Self:
        made = cls(ShiftedSettings(), threads=threads)
        made.shift = json.loads((folder / "shift.json").read_text())
        return made

    def encode(self, rows: Rows) -> Any:
        type(self).encoded += 1
        return len(rows)
