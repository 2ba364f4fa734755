"""The plots of a run: real images, of the resolution asked for, the same each time."""

import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from matplotlib.colors import to_hex, to_rgb
from PIL import Image

from pricing.config.ensemble import ReportConfig
from pricing.errors import ArtifactError
from pricing.report import run_plots
from pricing.report.compare import compare_runs
from pricing.report.page import build_page, build_report
from pricing.report.plot_style import BLUE, COUNTS, GREEN, GREY, ORANGE, PINK, RED, SKY, save_figure
from pricing.report.plots import plot_calibration
from pricing.report.product_plots import plot_worst
from pricing.report.run_folder import read_run_folder
from pricing.report.run_plots import draw_plots
from pricing.report.shown_products import worst_products
from tests.report.conftest import CONFIG


def test_plots_are_real_images(run_dir: Path) -> None:
    found = {path.stem: path for path in (run_dir / "plots").iterdir()}
    assert set(found) == {
        "predictions", "error_distribution", "error_by_price", "calibration", "weights", "importance",
        "training_curves", "error_by_category", "worst", "comparables",
    }  # fmt: skip
    for path in found.values():
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert image.width >= 60 * 5
            # neither blank nor one colour
            assert len(image.convert("L").getcolors(256) or []) > 20


def test_dpi_is_the_configured_one_and_the_same_run_gives_the_same_bytes(run_dir: Path, tmp_path: Path) -> None:
    """A folder with figures alone has one plot, which is drawn quickly."""
    shutil.copy(run_dir / "metrics.json", tmp_path)
    drawn, file = tmp_path / "plots" / "weights.png", run_dir / "plots" / "weights.png"
    draw_plots(tmp_path, CONFIG, tmp_path)
    assert drawn.read_bytes() == file.read_bytes()
    draw_plots(tmp_path, ReportConfig(dpi=120), tmp_path)
    with Image.open(drawn) as fine, Image.open(file) as coarse:
        assert fine.width == pytest.approx(2 * coarse.width, abs=2)


def test_the_same_run_gives_the_same_page(run_dir: Path, inline: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run_dir, tmp_path / "run"))
    build_page(copy, CONFIG, inline)
    assert (copy / "report.html").read_bytes() == (run_dir / "report.html").read_bytes()


@pytest.mark.parametrize(
    "missing",
    ["run.json", "evaluation/holdout.parquet", "evaluation/products.parquet", "evaluation/images", "evaluation"],
)
def test_what_is_missing_is_left_out(
    run_dir: Path, tmp_path: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(run_dir, tmp_path / "run"))
    target = copy / missing
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    made: list[str] = []
    # figures are made and not drawn
    monkeypatch.setattr(run_plots, "save_figure", lambda figure, file, dpi: made.append(file.stem))
    draw_plots(copy, ReportConfig(dpi=300, worst=6), tmp_path)
    assert "weights" in made
    assert ("predictions" in made) == (missing != "evaluation")
    build_page(copy, CONFIG, tmp_path / "none")
    assert "Smart Product Pricing" in (copy / "report.html").read_text()


def test_metrics_of_a_standalone_stack_are_enough(run_dir: Path, tmp_path: Path) -> None:
    metrics = json.loads((run_dir / "metrics.json").read_text())
    del metrics["holdout"]
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    build_report(tmp_path, CONFIG)
    assert "no hold-out" in (tmp_path / "report.html").read_text()


def test_damage_is_an_error(run_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no metrics\.json"):
        build_report(tmp_path, CONFIG)
    copy = tmp_path / "run"
    shutil.copytree(run_dir, copy)
    (copy / "evaluation" / "oof.parquet").write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(ArtifactError, match="cannot be read"):
        build_report(copy, CONFIG)
    with pytest.raises(ArtifactError, match=r"oof\.parquet: cannot be read"):
        compare_runs(run_dir, copy)


def test_broken_or_strange_images_do_not_stop_it(run_dir: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run_dir, copy)
    for path in (copy / "evaluation" / "images").iterdir():
        path.write_bytes(b"no image")
    table = pl.read_parquet(copy / "evaluation" / "holdout.parquet")
    table.with_columns(sample_id=pl.lit("../../secret")).write_parquet(copy / "evaluation" / "holdout.parquet")
    build_page(copy, CONFIG, tmp_path / "none")
    plot_worst(worst_products(read_run_folder(copy), table, 6))
    assert "no image" in (copy / "report.html").read_text()


@pytest.mark.parametrize("sign", ["$", "kr\xa0", "CHF\xa0", "₹"])
def test_an_axis_of_prices_names_their_currency(sign: str) -> None:
    price = np.exp(np.linspace(0, 3, 60))
    [axis] = plot_calibration(price, price, sign).axes
    assert axis.get_xlabel() == f"predicted price, {sign.strip()}".replace("$", r"\$")
    assert plot_calibration(price, price).axes[0].get_xlabel() == "predicted price"
    buffer = io.BytesIO()
    save_figure(axis.figure, buffer, 40)  # type: ignore[arg-type]


def test_every_colour_is_seen_on_white() -> None:
    """WCAG's contrast of 3:1, by its own formula; points are drawn with an opacity of 0.7."""
    colours = [(name, 1.0) for name in (BLUE, ORANGE, GREEN, PINK, SKY, RED, GREY)]
    colours += [(to_hex(COUNTS(0.0)), 1.0), (BLUE, 0.7)]
    for colour, opacity in colours:
        shares = [opacity * channel + 1 - opacity for channel in to_rgb(colour)]
        linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert 1.05 / (luminance + 0.05) >= 3, colour


def test_search_section_shows_what_was_tried_and_chosen(run_dir: Path, tmp_path: Path) -> None:
    assert "Search for settings" not in (run_dir / "report.html").read_text()
    folder = tmp_path / "run"
    (folder / "evaluation" / "search").mkdir(parents=True)
    shutil.copy(run_dir / "metrics.json", folder)
    trials = [
        {"number": 0, "state": "complete", "smape": 52.0, "settings": {"objective": "huber", "num_leaves": 63}},
        {"number": 1, "state": "pruned", "smape": 57.5, "settings": {"objective": "l1", "num_leaves": 8}},
        {"number": 2, "state": "complete", "smape": 51.25, "settings": {"objective": "<l1>", "num_leaves": 31}},
    ]
    record = {"member": "lightgbm", "smape": 51.25, "default_smape": 52.0, "rounds": 400, "trials": trials,
              "params": trials[2]["settings"], "importances": {"num_leaves": 0.75, "objective": 0.25}}  # fmt: skip
    path = folder / "evaluation" / "search" / "lightgbm.json"
    path.write_text(json.dumps(record))
    build_report(folder, CONFIG)
    html = (folder / "report.html").read_text()
    (row,) = re.findall(r'<tr><th scope="row">lightgbm</th><td>3</td>.*?</tr>', html)
    assert row.count("<td>1</td>") == 1
    assert "<td>52.00</td><td>51.25</td>" in row
    assert ">num leaves 31 (75 %), objective &lt;l1&gt; (25 %)</td>" in row
    assert (folder / "plots" / "search.png").stat().st_size > 1000
    path.write_text('{"member": "lightgbm"}')
    with pytest.raises(ArtifactError, match=r"lightgbm\.json.*tune again"):
        build_report(folder, CONFIG)
