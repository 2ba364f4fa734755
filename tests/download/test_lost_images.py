"""What the end of a run says about the images that it could not have."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from pydantic import ValidationError

from pricing.config.catalogue import ImagesConfig
from pricing.download.fetch import collect_images
from pricing.download.lost_images import describe_download
from pricing.download.shards import fetch_shard
from pricing.download.sources import ImageSource
from tests.download.fault_server import Fault, FaultServer
from tests.download.test_fetch import catalogue

WEB = ImageSource.web()
CONFIG = ImagesConfig(side=32, retries=0, breaker_seconds=0.02)
ALLOWED = CONFIG.model_copy(update={"allow_hosts": ("127.0.0.1",)})


def described(
    links: list[str | None], config: ImagesConfig, folder: Path, environment: dict[str, str] | None = None,
    *, scoring: bool = False,
) -> dict:  # fmt: skip
    """Fetches the links and describes the outcome."""
    tables = catalogue(folder / "tables", links, [])
    fetch_shard([link for link in links if link], config, folder / "work", source=WEB)
    (folder / "out").mkdir()
    collect_images(tables, config, WEB.origin, None, folder / "work", WEB, folder / "out")
    return describe_download(
        pl.read_parquet(folder / "out" / "images.parquet"), config, WEB.origin, folder / "work", environment or {},
        scoring=scoring,
    )  # fmt: skip


def test_a_host_that_gave_nothing_is_named_and_one_that_gave_something_is_not(tmp_path: Path) -> None:
    with FaultServer() as server:
        server.always["/gone.jpg"] = Fault("status", 404)
        links = [server.url("/a.jpg"), server.url("/gone.jpg"), None, "http://10.0.0.1/a.jpg", "//10.0.0.1/b.jpg"]
        found = described([*links, "['10.0.0.1/c.jpg']"], ALLOWED, tmp_path)
    assert found["hosts_lost"] == {"10.0.0.1": {"forbidden_address": 3}}
    assert "--allow-host 10.0.0.1" in found["hint"]


def test_a_private_host_is_advised_to_be_allowed(tmp_path: Path) -> None:
    with FaultServer() as server:
        found = described([server.url("/a.jpg"), server.url("/b.jpg")], CONFIG, tmp_path)
        assert server.requests == []
    assert found["hosts_lost"] == {"127.0.0.1": {"forbidden_address": 2}}
    assert "--allow-host 127.0.0.1" in found["hint"]
    assert found["fetched"] is None


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "set images.proxy if this machine needs a proxy"),
        ({"PATH": "/bin", "HTTPS_PROXY": ""}, "set images.proxy if this machine needs a proxy"),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "HTTPS_PROXY is set but not used for images: set images.proxy"),
        ({"http_proxy": "http://proxy:3128"}, "http_proxy is set but not used for images: set images.proxy"),
    ],
)
def test_a_host_out_of_reach_brings_the_proxy_to_mind(environment: dict[str, str], said: str, tmp_path: Path) -> None:
    found = described(["http://nowhere.invalid/a.jpg"], CONFIG, tmp_path, environment)
    assert found["hosts_lost"] == {"nowhere.invalid": {"dns": 1}}
    assert said in found["hint"]
    assert "nowhere.invalid" in found["hint"]


def test_a_host_that_refuses_programs_brings_the_headers_to_mind(tmp_path: Path) -> None:
    with FaultServer(gate=lambda path: Fault("status", 403)) as server:
        found = described([server.url("/a.jpg")], ALLOWED, tmp_path)
    assert "images.user_agent or images.referer" in found["hint"]


def test_advice_to_who_scores_names_options_of_that_command(tmp_path: Path) -> None:
    """It said "set images.proxy", which `pricing score` has no way to do."""
    proxy = {"HTTPS_PROXY": "http://proxy:3128"}
    for name in ("away", "refused"):
        (tmp_path / name).mkdir()
    away = described(["http://nowhere.invalid/a.jpg"], CONFIG, tmp_path / "away", proxy, scoring=True)
    with FaultServer(gate=lambda path: Fault("status", 403)) as server:
        refused = described([server.url("/a.jpg")], ALLOWED, tmp_path / "refused", scoring=True)
    assert "set --image-proxy to that address" in away["hint"]
    assert "give the images with --images" in refused["hint"]


def test_dead_links_have_no_advice_and_without_links_there_is_nothing_to_say(tmp_path: Path) -> None:
    with FaultServer(gate=lambda path: Fault("status", 404)) as server:
        found = described([server.url("/a.jpg")], ALLOWED, tmp_path)
    assert (found["hint"], found["hosts_lost"]) == (None, {"127.0.0.1": {"http_404": 1}})
    (tmp_path / "empty").mkdir()
    assert described([None], CONFIG, tmp_path / "empty") == {"hosts_lost": {}, "hint": None, "fetched": None}


def test_the_age_of_images_is_that_of_their_fetching_also_where_an_earlier_version_noted_none(
    tmp_path: Path,
) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    with FaultServer() as server:
        links = [server.url(f"/{index}.jpg") for index in range(3)]
        fetched = described([*links], ALLOWED, tmp_path)["fetched"]
    oldest, newest = (datetime.fromisoformat(fetched[name]) for name in ("oldest", "newest"))
    assert before <= oldest <= newest <= datetime.now(UTC)
    with contextlib.closing(sqlite3.connect(next(tmp_path.rglob("manifest.sqlite")))) as manifest:
        old = (before - timedelta(days=40)).timestamp()
        manifest.execute("UPDATE pictures SET fetched = ? WHERE link = ?", [old, links[0]])
        manifest.execute("UPDATE pictures SET fetched = NULL WHERE link = ?", [links[1]])
        manifest.commit()
    again = describe_download(
        pl.read_parquet(tmp_path / "out" / "images.parquet"), ALLOWED, "web", tmp_path / "work", {}
    )["fetched"]
    assert datetime.fromisoformat(again["oldest"]) == before - timedelta(days=40)
    assert datetime.fromisoformat(again["newest"]) >= before


@pytest.mark.parametrize("proxy", ["proxy.example.com:3128", "socks5://proxy:1080", "http://", "http://me:secret@p:1"])
def test_a_proxy_that_cannot_be_used_or_would_be_written_down_with_its_password(proxy: str) -> None:
    with pytest.raises(ValidationError, match=r"images\.proxy|proxy") as caught:
        ImagesConfig(proxy=proxy)
    assert "secret" not in str(caught.value.errors()[0]["msg"])


@pytest.mark.parametrize("value", ["", "a\r\nX-Other: b", "a\n", "ü"])
def test_headers_are_one_line_of_ascii(value: str) -> None:
    for name in ("user_agent", "referer"):
        with pytest.raises(ValidationError):
            ImagesConfig(**{name: value})
    assert ImagesConfig(user_agent="Mozilla/5.0 (X11; Linux x86_64)", referer="https://shop.example/").referer
