"""The rule of trust is fitted on the widths of out-of-fold rows, whatever rows the shipped spread is matched to."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pricing.ensemble.fit_ensemble import fit_ensemble
from pricing.ensemble.stack import Ensemble
from pricing.run.doubt import _around
from tests.ensemble.synthetic import QUICK, write_stages


def test_widths_are_those_of_rows_predicted_by_one_model(tmp_path: Path) -> None:
    """What ships is matched to the test rows, and wider for it: compared with its limits, no row would be high."""
    catalogue, folds, members, refits = write_stages(tmp_path / "stages", train=240, holdout=40)
    (tmp_path / "out").mkdir()
    fit_ensemble(catalogue, folds, members, refits, QUICK, 0, tmp_path / "out")
    oof = pl.read_parquet(tmp_path / "out" / "oof.parquet")
    low80, high80 = _around(tmp_path / "out", oof)[80]
    widths = high80 - low80
    shipped = Ensemble.load(tmp_path / "out" / "ensemble")
    assert shipped.intervals is not None
    spread, (low, high) = shipped.intervals.spread, shipped.intervals.quantiles[80]
    # their mean log spread is that of the fit
    assert np.log(widths / (max(high, 0) - min(low, 0))).mean() == pytest.approx(spread.mean_log)
    moved = spread.coefficients.copy()
    moved[0] += 0.5
    wider = replace(shipped.intervals, spread=replace(spread, coefficients=moved))
    replace(shipped, intervals=wider).save(tmp_path / "out" / "ensemble")
    low80, high80 = _around(tmp_path / "out", oof)[80]
    assert high80 - low80 == pytest.approx(widths)
