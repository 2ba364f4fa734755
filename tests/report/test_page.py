"""The report: self-contained, escaped, complete, and there even where a run left little behind."""

import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from pricing.config.ensemble import ReportConfig
from pricing.errors import ArtifactError
from pricing.report.compare import compare_runs
from pricing.report.markdown import markdown_table, models_table, run_markdown, stages_table
from pricing.report.page import build_page, build_report
from pricing.report.plot_style import save_figure
from pricing.report.plots import plot_calibration
from pricing.report.run_plots import draw_plots
from pricing.report.summary import print_losses, print_summary
from pricing.report.timeline import timeline
from tests.report.run_fixture import write_run

CONFIG = ReportConfig(dpi=60, worst=6)


class Page(HTMLParser):
    """Tags, references and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def inline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plots of the run's page, filled with the run."""
    return tmp_path_factory.mktemp("inline")


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory, inline: Path) -> Path:
    folder = write_run(tmp_path_factory.mktemp("report"))
    draw_plots(folder, CONFIG, inline)
    build_page(folder, CONFIG, inline)
    return folder


def test_nothing_points_outside(run_dir: Path) -> None:
    html = (run_dir / "report.html").read_text()
    page = Page(html)
    assert page.references
    assert all(reference.startswith(("data:image/", "#")) for reference in page.references)
    styles = "".join(re.findall(r"<style>(.*?)</style>", html, re.S))
    assert "url(" not in styles
    assert "@import" not in styles
    assert not {"link", "iframe", "object", "form", "base"} & set(page.tags)
    scripts = re.findall(r"<script>(.*?)</script>", html, re.S)
    assert page.tags.count("script") == len(scripts) == 1, "the audit's own"
    assert not re.search(r"fetch|import|http|eval|innerHTML|XMLHttp", scripts[0])
    for reference in page.references:
        if reference.startswith("#"):
            assert f'id="{reference[1:]}"' in html


def test_catalogue_text_is_escaped(run_dir: Path) -> None:
    """A product called <script> must be read, not run."""
    html = (run_dir / "report.html").read_text()
    assert "&lt;script&gt;alert" in html
    assert html.count("<script") == 1
    (own,) = re.findall(r"<script>(.*?)</script>", html, re.S)
    assert "alert" not in own
    assert "<img src=http" not in html
    assert any('Jam <script>alert("x")</script>' in text for text in Page(html).text)


def test_what_an_analyst_looks_for_is_there(run_dir: Path) -> None:
    text = " ".join(" ".join(Page((run_dir / "report.html").read_text()).text).split())
    metrics = json.loads((run_dir / "metrics.json").read_text())
    for value in ("smape", "smape_low", "smape_high"):
        assert f"{metrics['holdout'][value]:.2f}" in text
    for name, model in metrics["models"].items():
        assert name in text
        assert f"{model['holdout_smape']:.2f}" in text
    for words in (
        "constant price", "noise floor", "6.00", "with image", "without image", "price_neighbours_mean",
        "what price_neighbours_mean is",
        "200 of 300 images", "http_404", "grouped", "refit on", "2 of 13 steps came from the cache",
        "members.lightgbm.rounds", "2000", "4.7.0", "train.csv", "text of an earlier product", "25 % cost less",
        "38 of 40 rows to price are in submission.csv; 2 were left out (row is <short> 2)",
        "3 of 323 training rows were left out", "100 of 300 images failed (http_404 70, not_an_image 30)",
            "tea, green, <b>", "brand of 40 or more", "pack of 7 or more", "Other jam <", "% alike",
            "similar products cost", "say nothing of how much is in them",
    ):  # fmt: skip
        assert words in text, words
    holdout = pl.read_parquet(run_dir / "evaluation" / "holdout.parquet")
    ratio = pl.max_horizontal(pl.col("stack") / pl.col("price"), pl.col("price") / pl.col("stack"))
    worst = holdout.sort(ratio, descending=True).head(6)
    assert all(sample_id in text for sample_id in worst["sample_id"])


def test_the_price_audit_shows_what_is_outside_in_words(run_dir: Path, tmp_path: Path) -> None:
    html = (run_dir / "report.html").read_text()
    table = re.search(r'<table class="audit.*?</table>', html, re.S)
    assert table
    assert table[0].count("<tr>") == 1 + 160
    assert table[0].count('scope="col"') == 7
    assert "Of 240 products with a price, <b>160</b> are listed outside" in html
    for words in ("a misplaced decimal mark", "Jam &lt;i&gt;", "listed 5 times above it<", "0.74 per 100 g"):
        assert words in table[0]
    assert "decimal_slip" not in html
    copy = Path(shutil.copytree(run_dir, tmp_path / "run"))
    (copy / "evaluation" / "audit.parquet").unlink()
    build_page(copy, CONFIG, tmp_path / "none")
    without = (copy / "report.html").read_text()
    assert "Price audit" not in without
    assert "<script" not in without


def test_the_audit_is_sorted_and_searched_in_a_browser(run_dir: Path, tmp_path: Path) -> None:
    asked = """<script>
        const cell = place => document.querySelector("table.audit tbody tr").cells[place].dataset.sort;
        const listed = document.querySelectorAll("table.audit button")[1], found = [];
        listed.click(); found.push(cell(1)); listed.click(); found.push(cell(1));
        const search = document.getElementById("audit-search");
        search.value = "MISPLACED"; search.dispatchEvent(new Event("input"));
        found.push(document.querySelectorAll("table.audit tbody tr:not([hidden])").length);
        document.body.dataset.found = found.join(" ");
    </script>"""
    (tmp_path / "asked.html").write_text((run_dir / "report.html").read_text() + asked)
    shown = browse(tmp_path / "asked.html", tmp_path / "profile", "--dump-dom")
    (found,) = re.findall(r'data-found="([^"]*)"', shown)
    least, most, left = map(float, found.split())
    prices = pl.read_parquet(run_dir / "evaluation" / "audit.parquet").head(160)["price"]
    assert (least, most, left) == (prices.min(), prices.max(), 32)


def test_directions_are_of_the_product_and_bias_of_the_predictions(run_dir: Path, tmp_path: Path) -> None:
    """Listed above its prediction is listed above what it looks like; the predictions are then low on average."""
    text = " ".join(" ".join(Page((run_dir / "report.html").read_text()).text).split())
    holdout = pl.read_parquet(run_dir / "evaluation" / "holdout.parquet")
    cards = re.findall(r"listed ([\d.,]+) , looks like ([\d.,]+) listed ([\d.,]+ (?:%|times) )?(above|below|at) ", text)
    assert len(cards) == 6
    for listed, looks, _, word in cards:
        assert word == ("above" if float(listed) > float(looks) else "below"), (listed, looks)
    copy, none = Path(shutil.copytree(run_dir, tmp_path / "run")), tmp_path / "none"
    cases = ((2.0, "+100.0 % predictions high"), (0.5, "-50.0 % predictions low"), (1.0, "0.0 % predictions neither"))
    for factor, words in cases:
        moved = holdout.with_columns(stack=pl.col("price") * factor)
        moved.write_parquet(copy / "evaluation" / "holdout.parquet")
        build_page(copy, ReportConfig(worst=2), none)  # without plots
        page = " ".join(" ".join(Page((copy / "report.html").read_text()).text).split())
        assert f"bias {words}" in page
        assert page.count(f"{words.split(' %')[0]} %") > 5, "every segment's column has the same sign"
        expected = {2.0: "2.0 times below", 0.5: "2.0 times above", 1.0: "listed at"}[factor]
        assert page.count(f"{expected} what it looks like") == 2
        if factor == 2.0:  # a catalogue without decimals
            metrics = json.loads((copy / "metrics.json").read_text())
            metrics["rounding"] = {"decimals": 0, "rows": "holdout", "smape_change": 0.0125}
            (copy / "metrics.json").write_text(json.dumps(metrics))
        else:
            assert "The submission prices 38 products from 1.50 to 388, median 14.0." in page
            assert "rounded to 0 decimals and at least three digits, which changes SMAPE by +0.013. " in page
    assert "too dear" not in page + text
    assert "too cheap" not in page + text


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


def test_dpi_is_the_configured_one(run_dir: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run_dir, copy)
    build_report(copy, ReportConfig(dpi=120, worst=0))
    sizes = []
    for folder in (run_dir, copy):
        with Image.open(folder / "plots" / "weights.png") as image:
            sizes.append(image.width)
    assert sizes[1] == pytest.approx(2 * sizes[0], abs=2)


def test_same_run_same_bytes(run_dir: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run_dir, copy)
    build_report(copy, CONFIG)
    for name in ("report.html", "plots/predictions.png"):
        assert (copy / name).read_bytes() == (run_dir / name).read_bytes()


@pytest.mark.parametrize(
    "missing",
    ["run.json", "evaluation/holdout.parquet", "evaluation/products.parquet", "evaluation/images", "evaluation"],
)
def test_what_is_missing_is_left_out(run_dir: Path, tmp_path: Path, missing: str) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run_dir, copy)
    target = copy / missing
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    build_report(copy, CONFIG)
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
    build_report(copy, CONFIG)
    assert "no image" in (copy / "report.html").read_text()


def browse(page: Path, profile: Path, *options: str) -> str:
    """Show a page in headless Chromium; the test is skipped where there is none."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium")
    always = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
    done = subprocess.run(
        [browser, *always, *options, page.as_uri()], check=True, capture_output=True, text=True, timeout=120
    )
    return done.stdout


@pytest.mark.parametrize("width", [1200, 500])
def test_a_browser_shows_it(run_dir: Path, tmp_path: Path, width: int) -> None:
    shot = tmp_path / "shot.png"
    browse(run_dir / "report.html", tmp_path / "profile", f"--window-size={width},2400", f"--screenshot={shot}")
    with Image.open(shot) as image:
        colours = image.convert("RGB").getcolors(1 << 24) or []
    assert len(colours) > 200
    # the headline's dark card and the bars of the table are drawn: styles were taken
    shades = {colour for _, colour in colours}
    assert (17, 24, 39) in shades
    assert (0, 114, 178) in shades


def test_nothing_is_wider_than_a_phone(run_dir: Path, inline: Path, tmp_path: Path) -> None:
    """390 px, in a frame, as a browser's own window is at least 500 wide; the data's path has nowhere to break."""
    folder = Path(shutil.copytree(run_dir, tmp_path / "run"))
    run = json.loads((folder / "run.json").read_text())
    run["inputs"]["train"] = f"/data/{'catalogue' * 15}.csv"
    (folder / "run.json").write_text(json.dumps(run))
    build_page(folder, CONFIG, inline)
    size = "document.documentElement.scrollWidth + ' ' + document.documentElement.clientWidth"
    measured = f"<script>onload = () => parent.postMessage({size}, '*')</script>"
    (tmp_path / "phone.html").write_text((folder / "report.html").read_text() + measured)
    (tmp_path / "frame.html").write_text(
        "<body><script>onmessage = event => document.body.dataset.found = event.data</script>"
        '<iframe src="phone.html" style="width: 390px; height: 800px; border: 0"></iframe>'
    )
    options = ("--hide-scrollbars", "--virtual-time-budget=5000", "--dump-dom")
    shown = browse(tmp_path / "frame.html", tmp_path / "profile", *options)
    (found,) = re.findall(r'data-found="(\d+) (\d+)"', shown)
    needed, there = map(int, found)
    assert there == 390
    assert needed <= there


def test_timeline_measures_the_overlap() -> None:
    stages = [
        {"name": "lightgbm", "stage": "gbdt", "seconds": 10, "started": 0.0, "ended": 10.0, "cached": False},
        {"name": "lightgbm", "stage": "gbdt", "seconds": 6, "started": 4.0, "ended": 12.0, "cached": False},
        {"name": "multimodal", "stage": "neural", "seconds": 15, "started": 5.0, "ended": 20.0, "cached": False},
        {"name": "encode", "stage": "neural", "seconds": 3, "started": -86400.0, "ended": -86397.0, "cached": True},
        {"name": "report", "seconds": 1},
    ]
    found = timeline(stages)
    assert found["seconds"] == 20
    assert found["overlap"] == 7
    lanes = {lane["name"]: lane for lane in found["lanes"]}
    assert lanes["lightgbm"]["runs"] == 2
    assert lanes["multimodal"]["bars"][0]["left"] == 25
    assert lanes["multimodal"]["bars"][0]["width"] == 75
    assert lanes["report"]["bars"] == []
    assert lanes["encode"] == {
        "name": "encode", "branch": "neural", "seconds": 3, "runs": 1, "cached": 1, "bars": [],
    }, "a step of yesterday's run has no place among today's"  # fmt: skip
    assert timeline([])["lanes"] == []


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


def test_rows_of_a_declared_group_are_no_near_duplicates(run_dir: Path, inline: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run_dir, tmp_path / "run"))
    said = "of near-duplicates of the same amount"
    for group, found in ((None, True), ("family", False)):
        run = json.loads((copy / "run.json").read_text())
        run["config"]["catalogue"] = {"columns": {"id": "sku", "group": group}}
        (copy / "run.json").write_text(json.dumps(run))
        build_page(copy, CONFIG, inline)
        assert (said in (copy / "report.html").read_text()) == found


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


def test_a_known_currency_stands_before_prices_and_what_was_read_as_what_is_said(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(run_dir, tmp_path / "run"))
    metrics, run = (json.loads((copy / name).read_text()) for name in ("metrics.json", "run.json"))
    price = {"mark": ",", "by": "'9,99 €' (row 1)", "currency": "EUR", "example": "1.299,00 € -> 1299"}
    unread = {"unread": 3, "commonest": {"unrated": 2, "soon": 1}}
    run["catalogue"]["train"]["read"] = {"price": price, "number:rating": unread}
    (copy / "metrics.json").write_text(json.dumps(metrics | {"currency": "EUR"}))
    (copy / "run.json").write_text(json.dumps(run))
    build_report(copy, CONFIG)
    plain = " ".join(" ".join(Page((run_dir / "report.html").read_text()).text).split())
    text = " ".join(" ".join(Page((copy / "report.html").read_text()).text).split())
    assert "€" not in plain
    read = "Prices are in EUR and were read with a decimal comma, as '9,99 €' (row 1) shows: 1.299,00 € -> 1299."
    missing = "In train: 3 values of column rating are no numbers and count as missing: 'unrated' 2, 'soon' 1."
    assert f"In train: {read}" in text
    assert text.count(missing) == 1, "among what was lost alone"
    assert text.index(missing) < text.rindex("Data quality")
    assert re.search(r"listed €[\d.,]+ , looks like €[\d.,]+ ", text)
    assert not re.search(r"listed [\d.,]+ , looks like", text)
    axes = ("predictions", "error_by_price", "calibration", "comparables", "worst")
    for name in axes:
        assert (copy / "plots" / f"{name}.png").read_bytes() != (run_dir / "plots" / f"{name}.png").read_bytes()
    print_summary(copy)
    told = capsys.readouterr().out
    assert f"train: {read}\n" in told
    assert f"note: {missing}\n" in told
    assert re.search(r"prices from €[\d.,]+ to €[\d.,]+, median €", told)


@pytest.mark.parametrize("sign", ["$", "kr\xa0", "CHF\xa0", "₹"])
def test_an_axis_of_prices_names_their_currency(sign: str) -> None:
    price = np.exp(np.linspace(0, 3, 60))
    [axis] = plot_calibration(price, price, sign).axes
    assert axis.get_xlabel() == f"predicted price, {sign.strip()}".replace("$", r"\$")
    assert plot_calibration(price, price).axes[0].get_xlabel() == "predicted price"
    buffer = io.BytesIO()
    save_figure(axis.figure, buffer, 40)  # type: ignore[arg-type]


def test_errors_are_shown_by_declared_category_before_those_found_in_titles(run_dir: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run_dir, tmp_path / "run"))
    path = copy / "evaluation" / "products.parquet"
    makers = pl.Series([("acme <b>", "bell", None)[row % 3] for row in range(pl.read_parquet(path).height)])
    pl.read_parquet(path).with_columns(makers.alias("column maker")).write_parquet(path)
    build_page(copy, CONFIG, tmp_path)
    html = (copy / "report.html").read_text()
    assert html.index("<h3>By column maker</h3>") < html.index("<h3>By category</h3>")
    assert {"acme &lt;b&gt;", "bell", "unknown"} <= set(re.findall(r'<td class="wrap">([^<]*)</td>', html))


def test_comparison_of_runs(run_dir: Path, tmp_path: Path) -> None:
    same = compare_runs(run_dir, run_dir)
    assert same.config == {}
    assert same.holdout is not None
    assert not same.holdout.beyond_noise
    assert "within noise" in same.verdict
    better = tmp_path / "better"
    shutil.copytree(run_dir, better)
    table = pl.read_parquet(better / "evaluation" / "holdout.parquet")
    halfway = (pl.col("stack") * pl.col("price")).sqrt()
    table.with_columns(stack=halfway)[5:].write_parquet(better / "evaluation" / "holdout.parquet")
    run = json.loads((better / "run.json").read_text())
    run["config"]["members"]["lightgbm"]["rounds"] = 500
    run["folds"]["kind"] = "random"
    (better / "run.json").write_text(json.dumps(run))
    found = compare_runs(run_dir, better)
    assert found.config == {"members.lightgbm.rounds": (2000, 500)}
    assert found.holdout is not None
    assert found.holdout.rows == len(table) - 5
    # halfway to the truth B's SMAPE is lower, and the other way round A's
    gain = abs(found.holdout.difference.mean)
    assert found.verdict.startswith(
        f"B is better: its SMAPE is {gain:.2f} lower, beyond noise (95 % interval of B - A -"
    )
    assert compare_runs(better, run_dir).verdict.startswith(f"A is better: its SMAPE is {gain:.2f} lower, beyond noise")
    assert any("Folds differ" in note for note in found.notes)
    assert any(f"{len(table) - 5} products are in both" in note for note in found.notes)
    assert "| members.lightgbm.rounds | 2000 | 500 |" in found.to_markdown()
    assert found.record == {}
    assert "equal" not in found.to_markdown()
    (better / "evaluation" / "holdout.parquet").unlink()
    unpaired = compare_runs(run_dir, better)
    assert unpaired.holdout is None
    assert unpaired.verdict == "The runs cannot be compared row by row."
    assert "better has no table of its hold-out" in unpaired.to_markdown()
    assert "share no rows" not in unpaired.to_markdown()
    with pytest.raises(ArtifactError, match="finished run"):
        compare_runs(run_dir, tmp_path)
    (better / "evaluation" / "products.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(ArtifactError, match=r"products\.parquet: cannot be read"):
        compare_runs(run_dir, better)


def test_the_networks_precision_and_size_are_shown(run_dir: Path) -> None:
    page = (run_dir / "report.html").read_text()
    assert "<dt>multimodal.precision</dt><dd>bf16</dd>" in page
    assert "<dt>multimodal.parameters</dt><dd>22000000</dd>" in page


def test_comparison_says_what_else_differs(run_dir: Path, tmp_path: Path) -> None:
    """Equal settings over another catalogue, library or refit are no equal runs."""
    assert "The configurations, versions and inputs are equal." in compare_runs(run_dir, run_dir).to_markdown()
    other = Path(shutil.copytree(run_dir, tmp_path / "other"))
    run = json.loads((other / "run.json").read_text())
    old = run | {"hashes": {"catalogue": "c0ffee", "ensemble": "e1"}}
    run |= {"hashes": {"catalogue": "decaf", "ensemble": "e1"}, "refit": False}
    run["versions"] = run["versions"] | {"lightgbm": "4.8.0"}
    run["inputs"] = run["inputs"] | {"train": "train2.csv"}
    first = Path(shutil.copytree(run_dir, tmp_path / "first"))
    for folder, record in ((first, old), (other, run)):
        (folder / "run.json").write_text(json.dumps(record))
    found = compare_runs(first, other)
    assert found.config == {}
    assert found.record == {
        "refit": (True, False), "inputs.train": ("train.csv", "train2.csv"), "hashes.catalogue": ("c0ffee", "decaf"),
        "versions.lightgbm": ("4.7.0", "4.8.0"),
    }  # fmt: skip
    told = found.to_markdown()
    assert "The configurations are equal." in told
    assert "The catalogues differ" in told
    assert "| versions.lightgbm | 4.7.0 | 4.8.0 |" in told
    (other / "run.json").unlink()
    unknown = compare_runs(first, other).to_markdown()
    assert "no run.json in B" in unknown
    assert "equal" not in unknown
    assert "differ (" not in unknown


@pytest.mark.parametrize(("other", "named"), [("USD", "B's in USD"), (None, "B's in an unknown currency")])
def test_comparison_of_two_currencies_says_which_figures_compare(
    run_dir: Path, tmp_path: Path, other: str | None, named: str
) -> None:
    metrics = json.loads((run_dir / "metrics.json").read_text())
    runs = []
    for place, currency in enumerate(("EUR", other)):
        runs.append(Path(shutil.copytree(run_dir, tmp_path / str(place))))
        told = {"currency": currency} if currency else {}
        (runs[-1] / "metrics.json").write_text(json.dumps(metrics | told))
    said = f"A's prices are in EUR, {named}: SMAPE is relative and can be compared, prices and absolute errors cannot."
    assert said in compare_runs(*runs).to_markdown()
    for one in (runs[0], run_dir):
        assert "currency" not in compare_runs(one, one).to_markdown()


def test_search_section_shows_what_was_tried_and_chosen(run_dir: Path, tmp_path: Path) -> None:
    assert "Search for settings" not in (run_dir / "report.html").read_text()
    folder = Path(shutil.copytree(run_dir, tmp_path / "run"))
    (folder / "evaluation" / "search").mkdir()
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
    (row,) = re.findall(r"<tr><td>lightgbm</td><td>3</td>.*?</tr>", html)
    assert row.count("<td>1</td>") == 1
    assert "<td>52.00</td><td>51.25</td><td>num_leaves 31 (75 %), objective &lt;l1&gt; (25 %)</td>" in row
    assert (folder / "plots" / "search.png").stat().st_size > 1000
    path.write_text('{"member": "lightgbm"}')
    with pytest.raises(ArtifactError, match=r"lightgbm\.json.*tune again"):
        build_report(folder, CONFIG)
