"""Images are fetched from hosts that the operator named, and from no others."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pricing.download.images import Images
from pricing.serve import served_model
from pricing.serve.serve_settings import ServeSettings
from pricing.serve.served_model import ServedModel

LINKS = ["http://pics.example/a.jpg", "http://evil.example/a.jpg", "http://pics.example.evil.example/a.jpg", "",
         "http://pics.example@evil.example/a.jpg", "http://pics.example/b.jpg http://evil.example/b.jpg",
         "https://PICS.example/c.jpg"]  # fmt: skip
PRODUCTS = [{"catalog_content": "Green Tea", "image_link": link} for link in LINKS]


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], Any]]:
    """Links that were to be fetched, with the downloader's settings."""
    asked: list[tuple[list[str], Any]] = []

    def fetch(frame: pl.DataFrame, config: Any, source: Any, folder: Path) -> Images:
        asked.append((frame["image_link"].drop_nulls().to_list(), config))
        schema = dict.fromkeys(("image_link", "file", "status"), pl.String)
        return Images(pl.DataFrame(schema=schema), folder)

    monkeypatch.setattr(served_model, "fetch_images", fetch)
    return asked


def test_without_a_named_host_none_is_fetched(model_folder: Path, fetched: list[tuple[list[str], Any]]) -> None:
    model = ServedModel.load(model_folder, ServeSettings())
    assert all(price["price"] > 0 for price in model.price(PRODUCTS)["prices"])
    assert fetched == []
    assert model.card["images"] == "not fetched"


def test_only_named_hosts_are_asked_and_redirects_lead_nowhere(
    model_folder: Path, fetched: list[tuple[list[str], Any]]
) -> None:
    model = ServedModel.load(model_folder, ServeSettings(allow_hosts=("pics.example",)))
    model.price(PRODUCTS)
    links, config = fetched[0]
    assert links == [LINKS[0], LINKS[6]]
    assert (config.max_redirects, config.allow_hosts) == (0, ("pics.example",))
    model.price([{"catalog_content": "Green Tea", "image_link": LINKS[1]}, {"catalog_content": "Oats"}])
    assert len(fetched) == 1, "no link is left to ask"
    assert model.card["images"] == "fetched from allowed hosts"
