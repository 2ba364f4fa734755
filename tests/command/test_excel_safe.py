"""`--excel-safe` of the commands that write files which people open."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from pricing import Pricer
from pricing.command import inspection, score_command
from pricing.errors import InputError
from pricing.run import model_folder, price_audit


@pytest.mark.parametrize("given", [[], ["--excel-safe"]])
def test_score_sets_it(given: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []

    def load(run: Path, settings: dict[str, Any], *more: Any) -> Pricer:
        asked.append(settings)
        raise InputError("far enough")

    monkeypatch.setattr(Pricer, "load", load)
    options = ["--run", "r", "--catalogue", "c.csv", "--output", str(tmp_path / "p.csv"), *given]
    with pytest.raises(InputError, match="far enough"):
        CliRunner().invoke(score_command.app, options, catch_exceptions=False)
    assert asked[0].get("submission.excel_safe", False) is bool(given)


@pytest.mark.parametrize("given", [[], ["--excel-safe"]])
def test_audit_hands_it_on(given: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[bool] = []

    class Audited:
        def audit(self) -> pl.DataFrame:
            return pl.DataFrame({"cause": ["other"]})

    monkeypatch.setattr(Pricer, "load", lambda _: Audited())
    monkeypatch.setattr(model_folder, "read_model_record", lambda _: model_folder.ModelRecord((), {}, 2))
    monkeypatch.setattr(price_audit, "write_audit", lambda *_, safe: asked.append(safe))
    done = CliRunner().invoke(inspection.app, ["audit", "--run", "r", "--output", str(tmp_path / "a.csv"), *given])
    assert done.exit_code == 0, done.output
    assert asked == [bool(given)]
