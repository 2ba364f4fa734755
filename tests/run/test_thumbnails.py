"""Thumbnails of the labelled products in the model folder."""

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from pricing.catalogue.split import LABELLED
from pricing.errors import ArtifactError
from pricing.run.thumbnails import THUMBNAILS, Thumbnails, small_jpeg
from tests.run.small_run import SmallRun


def test_labelled_products_with_an_image_have_one(small_run: SmallRun, outputs: Path) -> None:
    found = Thumbnails.load(outputs / "model")
    labelled = pl.read_parquet(small_run.inputs["catalogue"] / LABELLED)["sample_id"].to_list()
    table = pl.read_parquet(small_run.inputs["images"] / "images.parquet").filter(pl.col("status") == "ok")
    there = {link.removeprefix("http://x/").removesuffix(".jpg") for link in table["image_link"]}
    assert set(found.places) == set(labelled) & there
    assert found.get(small_run.frame["sample_id"][1]) is None, "a product without a known price"
    image = found.get(min(found.places))
    assert image is not None
    with Image.open(io.BytesIO(image)) as opened:
        assert (opened.format, opened.size) == ("JPEG", (96, 48))
        shade = opened.convert("RGB").getpixel((48, 24))
    assert isinstance(shade, tuple)
    assert all(abs(one - other) < 8 for one, other in zip(shade, (90, 120, 30), strict=True))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_the_worst_image_fits_into_four_kilobytes(tmp_path: Path, mode: str) -> None:
    """Black or white pixels at random: of no image less is known beforehand."""
    bands = len(mode) if mode != "L" else 1
    noise = np.random.default_rng(0).integers(0, 2, (200, 300, bands), dtype=np.uint8) * 255
    picture = Image.frombytes(mode, (300, 200), noise.tobytes()).resize((96, 64), Image.Resampling.NEAREST)
    picture.save(tmp_path / "noise.tif")
    image = small_jpeg(tmp_path / "noise.tif")
    assert image is not None
    assert len(image) <= 4096


def test_what_is_no_image_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    assert small_jpeg(tmp_path / "page.jpg") is None
    assert small_jpeg(tmp_path / "none.jpg") is None


@pytest.mark.parametrize("damage", ["cut off", "other columns"])
def test_damaged_thumbnails_are_named(outputs: Path, tmp_path: Path, damage: str) -> None:
    path = tmp_path / THUMBNAILS
    if damage == "cut off":
        path.write_bytes((outputs / "model" / THUMBNAILS).read_bytes()[:-200])
    else:
        pl.DataFrame({"sample_id": ["a"], "image": [b"x"]}).write_ipc(path, compression="uncompressed")
    with pytest.raises(ArtifactError, match=r"thumbnails.arrow: is damaged"):
        Thumbnails.load(tmp_path)


def test_a_model_without_thumbnails_has_none(tmp_path: Path) -> None:
    assert Thumbnails.load(tmp_path).get("a") is None
