"""The page in a real browser, over the small run's model: by keyboard, on a phone, with a key, with files."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pricing.serve.serve_settings import ServeSettings
from pricing.serve.static_page import STATIC
from tests.run.small_run import SmallRun
from tests.serve.chromium import Tab, browsing
from tests.serve.conftest import Served
from tests.serve.test_service import ServeWith, ask

SCRIPT = "Item Name: Green Tea <script>document.title = 'run'</script><img src=x onerror=\"document.title = 'run'\">"
ANSWERED = "document.querySelector('#shown > *') || !document.getElementById('failure').hidden"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browsing(tmp_path_factory.mktemp("profile")) as found:
        yield found


def address(served: Served) -> str:
    return str(served.client.base_url)


def opened(tab: Tab, served: Served, **size: int) -> Tab:
    tab.open(address(served), **size)
    tab.until("!document.getElementById('asking').hidden")
    return tab


def focused(tab: Tab) -> str:
    return str(tab.ask("document.activeElement.id || document.activeElement.tagName"))


def tab_to(tab: Tab, wanted: str) -> None:
    """Move the focus by keyboard; it is seen where it stands."""
    for _ in range(15):
        tab.press("Tab")
        if focused(tab) == wanted:
            assert tab.ask("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            return
    raise AssertionError(f"{wanted} is not reached by keyboard")


def shown_price(price: float, rounding: str = "") -> str:
    """As a run's files are rounded to cents: the ends of intervals outward."""
    cents = {"down": price * 100 // 1, "up": -(-price * 100 // 1)}.get(rounding, round(price * 100))
    return f"{cents / 100:,.2f}"


def test_a_product_is_priced_by_keyboard_alone_and_its_text_stays_text(tab: Tab, served: Served) -> None:
    opened(tab, served)
    assert "learnt from" in tab.text("#card")
    tab_to(tab, "column-text-catalog_content")
    tab.type(SCRIPT)
    tab.press("Enter", control=True)
    tab.until(ANSWERED)
    price = ask(served, [{"catalog_content": SCRIPT}], comparables=6, explain=True)["prices"][0]
    assert tab.text(".price b") == shown_price(price["price"])
    said = tab.text(".price")
    for level in (80, 95):
        low, high = (price[f"{end}_{level}"] for end in ("low", "high"))
        assert f"{shown_price(low, 'down')} to {shown_price(high, 'up')}" in said
    assert tab.text("#status").startswith(f"Price {shown_price(price['price'])}.")
    assert f"Trust {price['trust']}" in tab.text(".trust")
    assert price["reason"] in tab.text(".trust")
    tab.until("document.querySelector('.why')")
    assert tab.text(".why tbody tr:first-child td:last-child") == shown_price(price["base"])
    largest = price["why"][0]
    line = tab.text(".why tbody tr:nth-child(2)")
    assert largest["item"].lower() in line.lower()
    assert f"{abs(largest['percent']):.1f}" in line or f"{abs(largest['percent']):,.0f}" in line
    # nothing of it was run, refused or fetched from elsewhere
    assert tab.ask("document.title") == "What does it cost?"
    assert tab.ask("document.querySelectorAll('#shown script').length") == 0
    assert tab.complaints == []
    assert all(one.startswith((address(served), "data:")) for one in tab.addresses)


def test_what_a_product_is_compared_with_has_pictures(tab: Tab, served: Served, small_run: SmallRun) -> None:
    """Whatever a labelled product is called: here its title is a script."""
    opened(tab, served)
    hostile = {"title": SCRIPT, "price": 3.5, "similarity": 0.5}
    found = ask(served, [{"catalog_content": "Item Name: Green Tea"}], comparables=1)["prices"][0]
    pictured = min(served.holder.current.thumbnails.places)
    answer = {"model": served.holder.current.name, "prices": [{**found, "comparables": [
        {"id": pictured, **hostile}, {"id": "none/of these?", **hostile},
    ]}]}  # fmt: skip
    body = json.dumps(json.dumps(answer))
    tab.ask(
        f"{{ const real = fetch, made = async () => new Response({body});"
        " fetch = (path, ...more) => path === 'price' ? made() : real(path, ...more); }"
    )
    tab.ask("document.querySelector('textarea').value = 'tea'; document.getElementById('ask').click()")
    tab.until("document.querySelector('.similar img')?.complete && document.querySelectorAll('.picture')[1].innerText")
    assert tab.ask("document.querySelector('.similar img').naturalWidth") == 96
    assert tab.text(".similar li:nth-child(2) .picture") == "no image"
    assert tab.text(".similar .name") == SCRIPT
    assert "50 % alike" in tab.text(".similar .costs")
    assert tab.ask("document.title") == "What does it cost?"


def test_a_pasted_row_of_a_spreadsheet_fills_the_form(tab: Tab, served: Served) -> None:
    opened(tab, served)
    for pasted, value in (("sample_id\tcatalog_content\nA1\tGreen Tea\n", "Green Tea"),
                          ('{"catalog_content": "Oats"}', "Oats")):  # fmt: skip
        tab.ask(
            f"{{ const clipboardData = new DataTransfer(); clipboardData.setData('text/plain', {json.dumps(pasted)});"
            " const paste = new ClipboardEvent('paste', {clipboardData, bubbles: true, cancelable: true});"
            " document.querySelector('textarea').dispatchEvent(paste); }"
        )
        assert tab.ask("document.querySelector('textarea').value") == value


def test_a_file_is_priced_and_offered_and_its_first_rows_are_shown(
    tab: Tab, served: Served, small_run: SmallRun, tmp_path: Path
) -> None:
    rows = small_run.frame.head(24).select("sample_id", "catalog_content")
    bad = pl.DataFrame({"sample_id": ["<b>total</b>"], "catalog_content": ["x" * 6000]})
    rows = pl.concat([bad, rows])
    rows.write_csv(tmp_path / "new.csv")
    rows.write_parquet(tmp_path / "new.parquet")
    expected = served.client.post("/price/file", content=(tmp_path / "new.csv").read_bytes()).content
    first = next(row for row in csv.DictReader(expected.decode().splitlines()) if not row["error"])
    dropped = (
        f"{{ const dataTransfer = new DataTransfer(), text = {json.dumps((tmp_path / 'new.csv').read_text())};"
        " dataTransfer.items.add(new File([text], 'new.csv'));"
        " document.querySelector('h1').dispatchEvent(new DragEvent('drop', {dataTransfer, bubbles: true})); }"
    )
    opened(tab, served)
    for name in ("new.csv", "new.parquet"):
        if name == "new.csv":
            tab.ask(dropped)
        else:
            tab.choose("#file", tmp_path / name)
        tab.until(f"document.getElementById('status').innerText === '{name}: 25 products: 24 priced, 1 not.'")
        assert tab.ask("document.querySelectorAll('#shown tbody tr').length") == 20
        assert tab.text("#shown tbody th") == "<b>total</b>"
        assert "at most 5000" in tab.text("#shown tbody td")
        assert shown_price(float(first["price"])) in tab.text("#shown tbody tr:nth-child(2)")
        saved = tmp_path / f"from {name}"
        saved.mkdir()
        assert tab.download("a[download]", saved, "new_prices.csv") == expected


def test_a_refusal_is_said_aloud_and_the_next_answer_takes_its_place(tab: Tab, served: Served) -> None:
    opened(tab, served)
    tab.ask("document.getElementById('ask').click()")
    assert "Write something" in tab.text("[role=alert]")
    assert focused(tab) == "column-text-catalog_content"
    tab.type("x" * 6000)
    tab.press("Enter", control=True)
    tab.until("document.getElementById('failure').innerText.includes('at most 5,000')")
    tab.ask("document.querySelector('textarea').value = 'tea'; document.getElementById('ask').click()")
    tab.until("document.querySelector('.price')")
    assert tab.ask("document.getElementById('failure').hidden")


def test_a_key_is_asked_for_and_kept_nowhere(tab: Tab, serve_with: ServeWith) -> None:
    with serve_with(ServeSettings(key="open sesame", workers=1)) as served:
        tab.open(address(served))
        tab.until("!document.getElementById('key').hidden")
        assert focused(tab) == "key-value"
        for key, wait in (("open", "!document.getElementById('failure').hidden"),
                          ("open sesame", "!document.getElementById('asking').hidden")):  # fmt: skip
            tab.ask("document.getElementById('key-value').value = ''")
            tab.type(key)
            tab.press("Enter")
            tab.until(wait)
        assert tab.ask("document.getElementById('failure').hidden && document.getElementById('key').hidden")
        assert tab.ask("[localStorage.length, sessionStorage.length, document.cookie, location.search]") == [
            0,
            0,
            "",
            "",
        ]
        assert tab.ask("document.getElementById('key-value').value") == ""


def test_nothing_is_wider_than_a_phone_and_all_is_large_enough_for_a_finger(
    tab: Tab, served: Served, small_run: SmallRun, tmp_path: Path
) -> None:
    small_run.frame.head(3).write_csv(tmp_path / f"{'new' * 30}.csv")
    opened(tab, served, width=390, height=844)
    widths = "[document.documentElement.scrollWidth, innerWidth]"
    assert tab.ask(widths) == [390, 390]
    tab.ask(f"document.querySelector('textarea').value = {json.dumps('tea' * 100)};"
            "document.getElementById('ask').click()")  # fmt: skip
    tab.until("document.querySelector('.price')")
    assert tab.ask(widths) == [390, 390]
    assert tab.ask("document.getElementById('answer').getBoundingClientRect().top < innerHeight"), "it comes into view"
    tab.choose("#file", tmp_path / f"{'new' * 30}.csv")
    tab.until("document.querySelector('a[download]')")
    assert tab.ask(widths) == [390, 390]
    assert tab.ask("document.querySelector('.scroll').scrollWidth <= document.querySelector('.scroll').clientWidth")
    small = (
        "[...document.querySelectorAll('button, .button')].filter(b => b.offsetHeight && b.offsetHeight < 44).length"
    )
    assert tab.ask(small) == 0


def test_texts_and_controls_stand_out() -> None:
    """WCAG 2.2: 4.5 to 1 for text, 3 to 1 for the edges of controls."""
    style = (STATIC / "page.css").read_text()
    colours = dict(re.findall(r"--(\w+): #([0-9a-f]{6})", style))

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (0, 2, 4)]
        lit = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), lit, strict=True))

    def contrast(one: str, other: str) -> float:
        low, high = sorted((luminance(one), luminance(other)))
        return (high + 0.05) / (low + 0.05)

    for name, least in {"ink": 4.5, "soft": 4.5, "green": 4.5, "blue": 4.5, "red": 3, "edge": 3}.items():
        assert contrast(colours[name], colours["panel"]) >= least, name
    for colour in re.findall(
        r"[{;] *color: #([0-9a-f]{6})", re.sub(r"\.price[^}]*}|[^}]*button.main[^}]*}", "", style)
    ):
        assert contrast(colour, colours["panel"]) >= 4.5, colour


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", "text/html"), ("/static/page.css", "text/css"), ("/static/page.js", "text/javascript"), ("/health", "app"),
     ("/nowhere", "app"), ("/static/..%2Fservice.py", "app")],
)  # fmt: skip
def test_every_answer_says_what_a_browser_may_do_with_it(served: Served, path: str, kind: str) -> None:
    headers: Any = served.client.get(path).headers
    assert headers["content-type"].startswith(kind)
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self' data:",
        "connect-src": "'self'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
    }  # fmt: skip
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")


def test_a_thumbnail_is_a_picture_and_an_unknown_one_is_not_there(served: Served) -> None:
    known = min(served.holder.current.thumbnails.places)
    image = served.client.get("/thumbnail", params={"id": known})
    assert (image.headers["content-type"], image.content[:3]) == ("image/jpeg", b"\xff\xd8\xff")
    assert len(image.content) <= 4096
    assert served.client.get("/thumbnail", params={"id": "../x"}).status_code == 404
