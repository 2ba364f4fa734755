"""What a run says in the terminal and in Prefect's artifact."""

import json
import shutil
from pathlib import Path

import pytest

from pricing.report.markdown import markdown_table, models_table, run_markdown, stages_table
from pricing.report.summary import print_losses, print_summary


def test_markdown(run_dir: Path) -> None:
    metrics, run = (json.loads((run_dir / name).read_text()) for name in ("metrics.json", "run.json"))
    table = models_table(metrics).splitlines()
    assert table[2].startswith("| constant price |")
    assert table[-1] == "| noise floor |  | 6.00 |"
    assert len({line.count("|") for line in table}) == 1
    assert "| catalogue | 2.0 | yes |" in stages_table(run)
    told = run_markdown(metrics, run)
    assert f"{metrics['holdout']['smape']:.2f} %" in told
    assert "- **warning**: 38 of 40 rows to price are in submission.csv; 2 were left out (row is \\<short\\> 2)" in told
    assert told.index("What was lost") < told.index("## Models")
    assert "What was lost" not in run_markdown(metrics, {"stages": []})
    shown = run_markdown(metrics, run, Path("/a b/report.html"), {"error_by_price": "data:image/webp;base64,AA=="})
    assert "[/a b/report.html](file:///a%20b/report.html)" in shown
    assert "![Error by price](data:image/webp;base64,AA==)" in shown
    assert markdown_table(("a",), [("x|y\nz",)]).splitlines()[-1] == "| x\\|y z |"


def test_a_hold_out_by_time_is_said_with_its_date(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(run_dir, tmp_path / "run"))
    metrics = json.loads((copy / "metrics.json").read_text())
    metrics["holdout"]["latest"] = {"share": 0.1496, "since": "2025-11-01", "rows_without_time": 0}
    (copy / "metrics.json").write_text(json.dumps(metrics))
    print_summary(copy)
    assert "hold-out: the latest 15 %, from 2025-11-01 on\n" in capsys.readouterr().out
    assert "Hold-out: the latest 15 %, from 2025-11-01 on." in run_markdown(metrics, {"stages": []})
    print_summary(run_dir)
    assert "the latest" not in capsys.readouterr().out


def test_the_terminal_ends_with_what_was_lost(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_summary(run_dir)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[-3:]] == ["warning", "warning", "note"]
    assert lines[-3] == (
        "warning: 38 of 40 rows to price are in submission.csv; 2 were left out (row is <short> 2). See rejected.csv, "
        "correct them and run again."
    )
    assert lines[-2].startswith("warning: 100 of 300 images failed (http_404 70, not_an_image 30).")
    assert lines[-1].startswith("note: 3 of 323 training rows were left out.")
    # figures end in one column each
    rows = [line.split("│")[1:-1] for line in lines if line.startswith("│")]
    assert len(rows) > 10
    assert all(cell.strip() == "" or cell[-2] != " " for row in rows for cell in row[1:])
    print_losses([])
    assert capsys.readouterr().out == ""
