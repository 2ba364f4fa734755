"""report.html in a real browser: it is drawn, fits a phone, and its tables are sorted and searched."""

import json
import re
import shutil
from pathlib import Path

import polars as pl
from PIL import Image

from pricing.report.group_errors import errors_by_price
from pricing.report.page import build_page
from tests.report.conftest import CONFIG
from tests.report.page_reader import browse


def test_tables_are_sorted_and_searched(run_dir: Path, tmp_path: Path) -> None:
    """The audit's first rows are shown until more are asked for; what is not known stands last both ways."""
    asked = """<script>
        const body = document.querySelector("table.audit tbody");
        const heads = document.querySelectorAll("table.audit button");
        const cell = place => body.rows[0].cells[place].dataset.sort, found = [];
        const shown = () => found.push(body.querySelectorAll("tr:not([hidden])").length);
        shown();
        heads[1].click(); found.push(cell(1)); heads[1].click(); found.push(cell(1));
        heads[6].click(); found.push(cell(6)); heads[6].click(); found.push(cell(6));
        const search = document.querySelector("input[type=search]");
        search.value = "MISPLACED"; search.dispatchEvent(new Event("input")); shown();
        search.value = ""; search.dispatchEvent(new Event("input")); shown();
        document.querySelector(".scroll + button").click(); shown();
        const errors = document.querySelector("table.errors"), smape = errors.tHead.rows[0].cells[2];
        smape.querySelector("button").click();
        found.push(errors.tBodies[0].rows[0].cells[2].textContent, smape.getAttribute("aria-sort"));
        document.body.dataset.found = found.join(" ");
    </script>"""
    (tmp_path / "asked.html").write_text((run_dir / "report.html").read_text() + asked)
    shown = browse(tmp_path / "asked.html", tmp_path / "profile", "--dump-dom")
    (found,) = re.findall(r'data-found="([^"]*)"', shown)
    *figures, direction = found.split()
    audit = pl.read_parquet(run_dir / "evaluation" / "audit.parquet").head(160)
    prices, costs = audit["price"], audit["comparable_price"].drop_nulls()
    errors = [
        one.smape for one in errors_by_price(pl.read_parquet(run_dir / "evaluation" / "holdout.parquet"), "price")
    ]
    assert list(map(float, figures)) == [
        20, prices.min(), prices.max(), costs.min(), costs.max(), 32, 20, 160, round(min(errors), 1)
    ]  # fmt: skip
    assert direction == "ascending"


def test_a_browser_shows_it(run_dir: Path, tmp_path: Path) -> None:
    shot = tmp_path / "shot.png"
    browse(run_dir / "report.html", tmp_path / "profile", "--window-size=1200,2400", f"--screenshot={shot}")
    with Image.open(shot) as image:
        colours = image.convert("RGB").getcolors(1 << 24) or []
    assert len(colours) > 200
    # the headline's dark card and the links are drawn: styles were taken
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
    wide = "[...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth).length"
    size = f"document.documentElement.scrollWidth + ' ' + document.documentElement.clientWidth + ' ' + {wide}"
    measured = f"<script>onload = () => parent.postMessage({size}, '*')</script>"
    (tmp_path / "phone.html").write_text((folder / "report.html").read_text() + measured)
    (tmp_path / "frame.html").write_text(
        "<body><script>onmessage = event => document.body.dataset.found = event.data</script>"
        '<iframe src="phone.html" style="width: 390px; height: 800px; border: 0"></iframe>'
    )
    options = ("--hide-scrollbars", "--virtual-time-budget=5000", "--dump-dom")
    shown = browse(tmp_path / "frame.html", tmp_path / "profile", *options)
    (found,) = re.findall(r'data-found="(\d+) (\d+) (\d+)"', shown)
    needed, there, cut = map(int, found)
    assert there == 390
    assert needed <= there
    assert cut == 0, "no table needs to be moved to be read"
