"""What the downloader refuses to ask."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

import pytest
from aiohttp.resolver import ThreadedResolver
from hypothesis import given
from hypothesis import strategies as st

from pricing.config.catalogue import ImagesConfig
from pricing.download.failures import ImageFailure
from pricing.download.hosts import HostRules, is_public
from pricing.download.shards import fetch_shard
from pricing.download.sources import ImageSource
from pricing.errors import ConfigError
from tests.download.fault_server import Fault, FaultServer

CONFIG = ImagesConfig(side=32, backoff_base=0.001, backoff_max=0.002, retries=1)

PRIVATE = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "fec0::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4, network="10.0.0.0/8") | st.ip_addresses(v=4, network="127.0.0.0/8"))
def test_private_addresses_stay_private_in_ipv6_clothes(address: ipaddress.IPv4Address) -> None:
    for form in (f"::ffff:{address}", str(ipaddress.IPv6Address((0x64FF9B << 96) + int(address)))):
        assert not is_public(form)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://example.com/a.jpg", "forbidden_scheme"),
        ("file:///etc/passwd", "forbidden_scheme"),
        ("data:image/png;base64,AAAA", "forbidden_scheme"),
        ("example.com/a.jpg", "forbidden_scheme"),
        ("", "forbidden_scheme"),
        ("http:///a.jpg", "bad_url"),
        ("http://user:secret@example.com/a.jpg", "bad_url"),
        ("http://example.com:99999/a.jpg", "bad_url"),
        ("http://[::1/a.jpg", "bad_url"),
        ("http://10.0.0.1/a.jpg", "forbidden_address"),
        ("http://[::1]/a.jpg", "forbidden_address"),
        ("http://[::ffff:169.254.169.254]/a.jpg", "forbidden_address"),
    ],
)
def test_urls_refused_without_asking_anybody(url: str, reason: str) -> None:
    with pytest.raises(ImageFailure) as caught:
        HostRules().check_url(url)
    assert caught.value.reason == reason
    assert not caught.value.transient


def test_an_allowed_host_is_allowed_by_its_own_name_only() -> None:
    rules = HostRules(["Images.Local", "[::1]"])
    rules.check_address("images.local.", "10.0.0.1")
    rules.check_url("http://[::1]:8000/a.jpg")
    with pytest.raises(ImageFailure, match="--allow-host other"):
        rules.check_address("other", "10.0.0.1")
    with pytest.raises(ImageFailure):
        rules.check_url("http://127.0.0.1/")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0"])
def test_names_and_odd_spellings_that_resolve_to_loopback_are_refused(host: str, tmp_path: Path) -> None:
    with FaultServer() as server:
        report = fetch_shard([f"http://{host}:{server.port}/a.jpg"], CONFIG, tmp_path, source=ImageSource.web())
        assert report.present == 0
        assert server.requests == []
        assert set(report.failed) <= {"forbidden_address", "bad_url", "dns"}
        if host in ("localhost", "127.0.0.1"):
            assert report.failed == {"forbidden_address": 1}


def test_a_name_allowed_is_asked(tmp_path: Path) -> None:
    with FaultServer() as server:
        config = CONFIG.model_copy(update={"allow_hosts": ("localhost",)})
        link = f"http://localhost:{server.port}/a.jpg"
        assert fetch_shard([link], config, tmp_path, source=ImageSource.web()).present == 1


def test_redirects_are_checked_like_links(tmp_path: Path) -> None:
    """The first host is allowed; it sends us to the same server by another name, by address, and to the metadata."""
    with FaultServer() as server:
        targets = [f"http://127.0.0.1:{server.port}/x.jpg", "http://169.254.169.254/latest/", "//10.0.0.1/a.jpg"]
        for index, target in enumerate(targets):
            server.always[f"/{index}.jpg"] = Fault("redirect", headers={"Location": target})
        config = CONFIG.model_copy(update={"allow_hosts": ("localhost",)})
        links = [f"http://localhost:{server.port}/{index}.jpg" for index in range(3)]
        report = fetch_shard(links, config, tmp_path, source=ImageSource.web())
        assert report.failed == {"forbidden_address": 3}
        assert sorted(server.counts()) == ["/0.jpg", "/1.jpg", "/2.jpg"]


def test_the_connection_goes_to_the_address_that_was_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that answers publicly once and privately ever after (DNS rebinding) reaches nothing private."""
    answers: list[str] = []

    async def rebinding(self: object, host: str, port: int = 0, family: int = 0) -> list[dict[str, object]]:
        address = "127.0.0.1" if answers else "203.0.113.7"
        answers.append(address)
        return [{"hostname": host, "host": address, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}]

    monkeypatch.setattr(ThreadedResolver, "resolve", rebinding)
    monkeypatch.setattr("pricing.download.hosts.is_public", lambda address: address == "203.0.113.7")
    with FaultServer() as server:
        config = CONFIG.model_copy(update={"connect_timeout": 0.2, "total_timeout": 1.0, "retries": 3})
        link = f"http://rebinding.example.com:{server.port}/a.jpg"
        report = fetch_shard([link], config, tmp_path, source=ImageSource.web())
        assert report.present == 0
        assert server.requests == []


@pytest.mark.parametrize("mirror", ["ftp://example.com", "example.com", "http://", "/folder"])
def test_a_mirror_that_is_none(mirror: str) -> None:
    with pytest.raises(ConfigError, match="image mirror"):
        ImageSource.mirror(mirror)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        ImageSource.folder(tmp_path / "nowhere")


def test_a_source_survives_json() -> None:
    for source in (ImageSource.web(), ImageSource.mirror("http://127.0.0.1:8000"), ImageSource.folder("/")):
        assert ImageSource.model_validate_json(source.model_dump_json()) == source
    with pytest.raises(ValueError, match="takes a location"):
        ImageSource(kind="mirror")
