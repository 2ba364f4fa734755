"""Pricing new products: which models are taken, which pictures are looked at."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

from pricing.config.catalogue import ImagesConfig
from pricing.configuration import load_config
from pricing.download.sources import ImageSource
from pricing.errors import ArtifactError, InputError
from pricing.run.scoring import describe_pictures, fetch_pictures, reads_pictures, score_catalogue
from pricing.sample.serving import serve_folder

FRAME = pl.DataFrame({"sample_id": ["a"], "catalog_content": ["tea"], "image_link": [None]})


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"format": 1, "members": {}, "threads": {}}, "format 1, this version reads 2"),
        ({"members": {}, "threads": {}}, "is not a model folder"),
        ([], "is not a model folder"),
    ],
)  # fmt: skip
def test_models_of_another_format_are_refused(tmp_path: Path, record: Any, words: str) -> None:
    """A model laid out otherwise must not be read as if it were not."""
    (tmp_path / "model.json").write_text(json.dumps(record))
    with pytest.raises(ArtifactError, match=words):
        score_catalogue(tmp_path, FRAME)


def test_a_table_of_pictures_without_their_folder_is_refused(tmp_path: Path) -> None:
    """Every picture would count as missing, and the prices would be others without a word."""
    with pytest.raises(InputError, match="images without pictures"):
        score_catalogue(tmp_path, FRAME, images=pl.DataFrame({"image_link": ["http://a/b.jpg"]}))


def test_pictures_named_by_sample_id_are_found_for_new_products(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (60, 40), (200, 30, 30)).save(folder / "u.png")
    links = ["https://shop.invalid/1/front.jpg", "https://shop.invalid/2/front.jpg"]
    frame = pl.DataFrame({"sample_id": ["u", "v"], "image_link": links})
    table = fetch_pictures(frame, ImagesConfig(), ImageSource.folder(folder), tmp_path / "work")
    assert table["status"].to_list() == ["ok", "missing"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, True), ({"images": {"enabled": False}}, False), ({"neural": {"members": ["sparse_mlp"]}}, False),
     ({"neural": {"image": {"enabled": False}}}, False)],
)  # fmt: skip
def test_pictures_are_fetched_for_models_that_read_them(changes: dict[str, Any], expected: bool) -> None:
    assert reads_pictures(load_config("demo", changes)) is expected


def test_pictures_that_fail_are_counted(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.new("RGB", (60, 40), (200, 30, 30)).save(pictures / "a.jpg")
    (pictures / "b.jpg").write_bytes(b"no picture")
    config = ImagesConfig(allow_hosts=("127.0.0.1",), retries=0)
    with serve_folder(pictures) as address:
        links = [f"{address}/{name}.jpg" for name in ("a", "b", "a", "b", "gone")]
        frame = pl.DataFrame({"sample_id": list("uvwxyz"), "image_link": [*links, None]})
        table = fetch_pictures(frame, config, ImageSource.web(), tmp_path / "work")
    assert len(table) == 3
    # two rows share a broken picture, one picture is not there; the row without a link misses nothing
    found = describe_pictures(table, config, ImageSource.web(), tmp_path / "work")
    assert (found["requested"], found["present"]) == (3, 1)
    assert found["failed"] == {"http_404": 1, "not_an_image": 1}
    assert found["hosts_lost"] == {}, "the host gave one"
