"""Reading report.html in tests: its tags, its text, and a real browser that shows it."""

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

Attributes = list[tuple[str, str | None]]


class Page(HTMLParser):
    """Tags with their attributes, references and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.references: list[str] = []
        self.pieces: list[str] = []
        self.feed(html)

    @property
    def tags(self) -> list[str]:
        return [tag for tag, _ in self.elements]

    @property
    def text(self) -> str:
        """What is read, blanks made one."""
        return " ".join(" ".join(self.pieces).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        """Attributes of each element of a tag."""
        return [attributes for name, attributes in self.elements if name == tag]

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        own = {name: value or "" for name, value in attrs}
        self.elements.append((tag, own))
        self.references += [own[name] for name in ("src", "href", "srcset", "data", "action") if name in own]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] not in (["style"], ["script"]):
            self.pieces.append(data)


def read(run_dir: Path) -> Page:
    """The page of a run's folder."""
    return Page((run_dir / "report.html").read_text())


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
