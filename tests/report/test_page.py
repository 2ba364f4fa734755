"""The report: self-contained, escaped, complete, in an analyst's order and words."""

import json
import re
import shutil
from pathlib import Path

import polars as pl
import pytest
from matplotlib.figure import Figure

from pricing.config.ensemble import ReportConfig
from pricing.report import run_plots
from pricing.report.page import build_page
from pricing.report.run_plots import draw_plots
from pricing.report.summary import print_summary
from tests.report.conftest import CONFIG
from tests.report.page_reader import Page, read


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
    assert page.tags.count("script") == len(scripts) == 1, "that of the tables"
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
    assert 'Jam <script>alert("x")</script>' in Page(html).text


def test_what_an_analyst_looks_for_is_there(run_dir: Path) -> None:
    text = read(run_dir).text
    metrics = json.loads((run_dir / "metrics.json").read_text())
    for value in ("smape", "smape_low", "smape_high"):
        assert f"{metrics['holdout'][value]:.2f}" in text
    for name, model in metrics["models"].items():
        assert name.replace("_", " ") in text
        assert f"{model['holdout_smape']:.2f}" in text
    for words in (
        "constant price", "noise floor 6.00", "with image", "without image", "what price_neighbours_mean is",
        "200 of 300 images", "not found (404)", "grouped", "refit on", "2 of 13 steps came from the cache",
        "members.lightgbm.rounds", "2000", "4.7.0", "train.csv", "text of an earlier product", "25 % cost less than",
        "38 of 40 rows to price are in submission.csv; 2 were left out (row is <short> 2)",
        "3 of 323 training rows were left out", "100 of 300 images failed (not found (404) 70, not an image 30)",
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
    assert table[0].count("<tr") == 1 + 160
    assert table[0].count('scope="col"') == 7
    assert "Of 240 products with a price, <b>160</b> are listed outside" in html
    for words in ("a misplaced decimal mark", "Jam &lt;i&gt;", "5 times above it<", "0.74 per 100 g"):
        assert words in table[0]
    assert "decimal_slip" not in html
    copy = Path(shutil.copytree(run_dir, tmp_path / "run"))
    (copy / "evaluation" / "audit.parquet").unlink()
    build_page(copy, CONFIG, tmp_path / "none")
    assert "Price audit" not in (copy / "report.html").read_text()


def test_directions_are_of_the_product_and_bias_of_the_predictions(run_dir: Path, tmp_path: Path) -> None:
    """Listed above its prediction is listed above what it looks like; the predictions are then low on average."""
    text = read(run_dir).text
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
        page = read(copy).text
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


def test_rows_of_a_declared_group_are_no_near_duplicates(run_dir: Path, inline: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run_dir, tmp_path / "run"))
    said = "of near-duplicates of the same amount"
    for group, found in ((None, True), ("family", False)):
        run = json.loads((copy / "run.json").read_text())
        run["config"]["catalogue"] = {"columns": {"id": "sku", "group": group}}
        (copy / "run.json").write_text(json.dumps(run))
        build_page(copy, CONFIG, inline)
        assert (said in (copy / "report.html").read_text()) == found


def test_a_known_currency_stands_before_prices_and_what_was_read_as_what_is_said(
    run_dir: Path, inline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(run_dir, tmp_path / "run"))
    metrics, run = (json.loads((copy / name).read_text()) for name in ("metrics.json", "run.json"))
    price = {"mark": ",", "by": "'9,99 €' (row 1)", "currency": "EUR", "example": "1.299,00 € -> 1299"}
    unread = {"unread": 3, "commonest": {"unrated": 2, "soon": 1}}
    run["catalogue"]["train"]["read"] = {"price": price, "number:rating": unread}
    (copy / "metrics.json").write_text(json.dumps(metrics | {"currency": "EUR"}))
    (copy / "run.json").write_text(json.dumps(run))
    build_page(copy, CONFIG, inline)
    plain = read(run_dir).text
    text = read(copy).text
    assert "€" not in plain
    said = "Prices are in EUR and were read with a decimal comma, as '9,99 €' (row 1) shows: 1.299,00 € -> 1299."
    missing = "In train: 3 values of column rating are no numbers and count as missing: 'unrated' 2, 'soon' 1."
    assert f"In train: {said}" in text
    assert text.count(missing) == 1, "among what was lost alone"
    assert text.index(missing) < text.rindex("Data quality")
    assert re.search(r"listed €[\d.,]+ , looks like €[\d.,]+ ", text)
    assert not re.search(r"listed [\d.,]+ , looks like", text)
    figures: list[Figure] = []
    with monkeypatch.context() as patched:
        # labels are read, nothing is drawn
        patched.setattr(run_plots, "save_figure", lambda figure, file, dpi: figures.append(figure))
        draw_plots(copy, ReportConfig(dpi=300, worst=6), inline)
    axes = [axis for figure in figures for axis in figure.axes]
    prices = [
        label
        for axis in axes
        for label in (axis.get_xlabel(), axis.get_ylabel())
        if re.match(r"(listed |predicted )?price", label)
    ]
    assert len(prices) > 8
    assert all(label.endswith(", €") for label in prices), prices
    print_summary(copy)
    told = capsys.readouterr().out
    assert f"train: {said}\n" in told
    assert f"note: {missing}\n" in told
    assert re.search(r"prices from €[\d.,]+ to €[\d.,]+, median €", told)


def test_errors_are_shown_by_the_users_own_categories(run_dir: Path, inline: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run_dir, tmp_path / "run"))
    path = copy / "evaluation" / "products.parquet"
    makers = pl.Series([("acme <b>", "bell", None)[row % 3] for row in range(pl.read_parquet(path).height)])
    pl.read_parquet(path).with_columns(makers.alias("column maker")).write_parquet(path)
    build_page(copy, CONFIG, inline)
    html = (copy / "report.html").read_text()
    assert html.index("<h3>By maker</h3>") < html.index("<h3>By brand</h3>")
    assert {"acme &lt;b&gt;", "bell", "not given"} <= set(re.findall(r'<th scope="row">([^<]*)</th>', html))
    assert "<h3>By category</h3>" not in html, "clusters of texts are for catalogues without categories"
    assert "<h3>By category</h3>" in (run_dir / "report.html").read_text()


def test_an_analyst_reads_money_and_mistakes_first_and_how_it_was_made_last(run_dir: Path) -> None:
    page = read(run_dir)
    holdout = pl.read_parquet(run_dir / "evaluation" / "holdout.parquet")
    middle = (holdout["stack"] - holdout["price"]).abs().median()
    assert f"half of the prices are within {middle:.2f} of the true one" in page.text
    sections = [one["id"] for one in page.all("h2") if "id" in one]
    assert sections == ["audit", "why", "where", "data", "made", "appendix"]
    assert [one["href"] for one in page.all("a")] == [f"#{name}" for name in sections]
    html = (run_dir / "report.html").read_text()
    for name in ("How the models learnt", "How much of each model"):
        assert html.index(name) > html.index('id="appendix"')


def test_words_stand_where_names_of_the_code_did(run_dir: Path) -> None:
    """Settings keep the names that --set takes, and commands and files theirs."""
    html = (run_dir / "report.html").read_text()
    shown = Page(html[: html.index("Configuration and versions")])
    names = set(re.findall(r"[a-z0-9]+(?:[_.][a-z0-9]+)+", shown.text.split("Price audit", 1)[1]))
    named = {name for name in names if not re.fullmatch(r"[\d.]+|\w+\.(csv|json|html)", name)}
    given = {"price_neighbours_mean", "log_pack_quantity", "log_total_grams", "price_ridge", "svd_003"}
    assert named == given | {"example.org", "x.png"}, "what the fixture's words hold"


def test_who_cannot_see_or_point_reads_it_too(run_dir: Path) -> None:
    page = read(run_dir)
    assert all(head.get("scope") in ("col", "row") for head in page.all("th"))
    regions = [one for one in page.all("div") if one.get("class") == "scroll"]
    assert len(regions) == len({one["aria-label"] for one in regions}) > 8
    assert all((one["tabindex"], one["role"]) == ("0", "region") for one in regions)
    html = (run_dir / "report.html").read_text()
    plots = [Page(figure).all("img")[0]["alt"] for figure in re.findall(r"<figure>.*?</figure>", html)]
    assert len(plots) == 8
    assert all(re.search(r"\d", alt) for alt in plots)
    weights = json.loads((run_dir / "metrics.json").read_text())["models"]
    assert f"ridge {weights['ridge']['weight']:.2f}" in next(alt for alt in plots if "How much of each model" in alt)


def test_groups_of_few_products_are_counted_and_not_judged(run_dir: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run_dir, tmp_path / "run"))
    path = copy / "evaluation" / "holdout.parquet"
    for rows, within in ((80, r"within 25 % \d+ % of products"), (19, r"within 25 % \d+ of 19 of products")):
        pl.read_parquet(path).head(rows).write_parquet(path)
        build_page(copy, ReportConfig(worst=0), tmp_path / "none")
        text = read(copy).text
        assert re.search(within, text)
        assert ("Too few products were held out to say." in text) == (rows == 19)
        assert ("Left out:" in text) == (rows == 80)
    assert " bias " not in text


def test_regression_to_the_mean_is_explained_where_it_shows(run_dir: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run_dir, tmp_path / "run"))
    path = copy / "evaluation" / "holdout.parquet"
    table, price = pl.read_parquet(path), pl.col("price")
    middle = price.log().mean()
    cases = ((0.5, True), (1.0, False), (1.5, False))
    for slope, told in cases:
        table.with_columns(stack=(middle + slope * (price.log() - middle)).exp()).write_parquet(path)
        build_page(copy, ReportConfig(worst=0), tmp_path / "none")
        assert ("regression to the mean" in read(copy).text) == told, slope


def test_what_drives_prices_and_what_a_price_is_made_of(run_dir: Path, inline: Path, tmp_path: Path) -> None:
    plain = read(run_dir).text
    assert "What drives prices" not in plain
    assert plain.index("What the trees use") > plain.index("Appendix")
    copy = Path(shutil.copytree(run_dir, tmp_path / "run"))
    schema = ["kind", "name", "increase", "low", "high"]
    rows = [("family", "brand", 3.25, 2.5, 4.0), ("family", "words of the <title>", 6.5, 6.0, 7.0),
            ("column", "maker", -0.04, -0.2, 0.1)]  # fmt: skip
    pl.DataFrame(rows, schema, orient="row").write_parquet(copy / "evaluation" / "drivers.parquet")
    holdout = pl.read_parquet(copy / "evaluation" / "holdout.parquet")
    ratio = (pl.col("stack") / pl.col("price")).log().abs()
    worst = holdout.sort(ratio, descending=True).row(0, named=True)
    base, added = 100.0, {f"item {size}": size for size in (0.5, -1.0, 2.0, -4.0, 8.0, -16.0)}
    price = base + sum(added.values())
    said = {"item -16.0": ("", [{"word": "<jam>", "money": -12.5}, {"word": "other words", "money": -3.5},
                            {"word": "of", "money": 0.001}]),
            "item 8.0": ("glass & co", [])}  # fmt: skip
    explained = [
        (worst["sample_id"], name, 10 * money, money, price, base, *said.get(name, ("", [])))
        for name, money in added.items()
    ]
    schema = ["sample_id", "item", "percent", "money", "price", "base", "value", "words"]
    pl.DataFrame(explained, schema, orient="row").write_parquet(copy / "evaluation" / "explained.parquet")
    build_page(copy, CONFIG, inline)
    html, text = (copy / "report.html").read_text(), read(copy).text
    assert "words of the <title> 6.5 6.0 to 7.0 brand 3.2 2.5 to 4.0" in text.replace("3.3", "3.2")
    assert "maker 0.0 -0.2 to 0.1, within noise" in text
    assert 'style="width:50.0%"' in html, "a bar of half the longest"
    assert "What the trees use" not in text
    assert (
        "What 89.50 is made of a typical product 100.00 item -16.0 <jam> −12.50, other words −3.50 −16.00 −160 % "
        "item 8.0: glass & co +8.00 +80 % item -4.0 −4.00 −40 % item 2.0 +2.00 +20 % item -1.0 −1.00 −10 % "
        "1 other +0.50 price of the models that learnt from it too 89.50"
    ) in text


def test_the_networks_precision_and_size_are_shown(run_dir: Path) -> None:
    page = (run_dir / "report.html").read_text()
    assert "<dt>multimodal.precision</dt><dd>bf16</dd>" in page
    assert "<dt>multimodal.parameters</dt><dd>22000000</dd>" in page
