"""Pricing a file of new products: what is written, which images are looked at."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from pricing.config.catalogue import ImagesConfig
from pricing.configuration import PricingConfig, load_config
from pricing.download.images import Images
from pricing.download.sources import ImageSource
from pricing.errors import CatalogueError
from pricing.run import scoring
from pricing.run.model import ScoredPrices
from pricing.run.model_folder import ModelRecord
from pricing.run.scoring import describe_new_images, fetch_images, reads_images, score_file
from pricing.sample.serving import serve_folder

DRIFT = {
    "rows": 2, "unseen": {"brand": {"share": 0.5, "holdout": None}}, "unknown_words": {"share": 0.315, "holdout": 0.08},
    "nearest": {"mean": 0.62, "training": 0.71}, "features": None, "limits": {"rows": 50},
    "unlike": 0.0,
    "trust": {"high": {"share": 0.0, "training": 0.6}, "fair": {"share": 0.0, "training": 0.3},
              "low": {"share": 1.0, "training": 0.1}},
}  # fmt: skip


class FakeModel:
    """Prices rows by their number; remembers the images that it was given."""

    decimals = 1
    images: Images | None = None

    def predict(
        self, frame: pl.DataFrame, images: Images | None = None, comparables: int = 0, progress: object = None,
        drift: bool = False,
    ) -> ScoredPrices:  # fmt: skip
        self.images = images
        price = 10.04 + np.arange(len(frame))
        ends = {name: price * factor for name, factor in
                (("low_80", 0.9), ("high_80", 1.1), ("low_95", 0.8), ("high_95", 1.2))}  # fmt: skip
        table = pl.DataFrame({"sample_id": frame["sample_id"], "price": price}) if comparables else None
        trust = pl.DataFrame({"trust": "low", "reason": ["wide interval, no near comparable"] * len(frame)})
        return ScoredPrices(price, ends, self.decimals, trust, DRIFT if drift else None, table)


def settings(**changes: Any) -> PricingConfig:
    return load_config("demo", {"images.enabled": False, **changes})


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    path = tmp_path / "new.csv"
    path.write_text('sample_id,catalog_content,image_link\na,tea,\n,,\nb,"rye, flour",\n')
    return path


Score = Callable[..., scoring.ScoredFile]


@pytest.fixture
def score(catalogue: Path, tmp_path: Path) -> Score:
    def price(config: PricingConfig, **more: Any) -> scoring.ScoredFile:
        return score_file(FakeModel, catalogue, tmp_path / "p.csv", config, ImageSource.web(), **more)  # type: ignore[arg-type]

    return price


def test_prices_are_written_and_what_was_asked_for_beside_them(score: Score, tmp_path: Path) -> None:
    scored = score(settings())
    assert (tmp_path / "p.csv").read_text() == "sample_id,predicted_price\na,10.0\nb,11.0\n"
    assert (scored.rows, scored.noted, scored.median, scored.decimals) == (2, "1 empty row skipped", 10.5, 1)
    assert (scored.intervals, scored.comparables, scored.losses) == (None, None, [])
    asked = settings(**{"submission.intervals": True, "submission.price_column": "price"})
    scored = score(asked, comparables=1)
    assert scored.intervals == tmp_path / "p_intervals.csv"
    assert scored.comparables == tmp_path / "p_comparables.csv"
    assert (tmp_path / "p_intervals.csv").read_text().splitlines()[1] == "a,10.0,9.03,11.1,8.03,12.1"
    assert (tmp_path / "p.csv").read_text().startswith("sample_id,price\n")
    assert (tmp_path / "p_comparables.csv").read_text() == "sample_id,price\na,10.0\nb,11.0\n"


def test_numbers_are_read_by_the_models_marks_and_the_prices_have_its_currency(catalogue: Path, tmp_path: Path) -> None:
    catalogue.write_text("sku,name,rating\n007,tea,1.250\n008,jam,good\n")
    roles = {"id": "sku", "title": "name", "number": ["rating"]}
    seen: list[pl.DataFrame] = []

    class Asked(FakeModel):
        def predict(self, frame: pl.DataFrame, *more: Any, **asked: Any) -> ScoredPrices:
            seen.append(frame)
            return super().predict(frame, *more, **asked)

    model = ModelRecord((), {}, 1, "EUR", {"number:rating": ","})
    config = settings(**{"catalogue.columns": roles})
    scored = score_file(Asked, catalogue, tmp_path / "p.csv", config, ImageSource.web(), model=model)  # type: ignore[arg-type]
    assert seen[0]["number:rating"].to_list() == [1250.0, None]
    assert seen[0]["sample_id"].to_list() == ["007", "008"]
    assert scored.currency == "EUR"
    assert scored.readings == ["Values of column rating were read with a decimal comma: 1.250 -> 1250."]
    assert [loss.what for loss in scored.losses] == [
        "In test: 1 value of column rating is no number and counts as missing: 'good' 1."
    ]  # fmt: skip
    assert (tmp_path / "p.csv").read_text().splitlines()[1] == "007,10.0", "prices are plain numbers"


def test_drift_and_doubt_are_written_beside_the_prices_and_said(score: Score, tmp_path: Path) -> None:
    scored = score(settings())
    assert (scored.trust, scored.drift) == (tmp_path / "p_trust.csv", tmp_path / "p_drift.json")
    reason = '"wide interval, no near comparable"'
    assert scored.trust.read_text() == f"sample_id,trust,reason\na,low,{reason}\nb,low,{reason}\n"
    assert json.loads(scored.drift.read_text()) == DRIFT
    assert scored.doubt == [
        "Drift: 50 % with unknown brand; 32 % of words unknown (8 % of the hold-out's); nearest comparables 0.62 alike "
        "(0.71 in training)",
        "Drift: 2 rows are too few to compare distributions; 50 are needed",
        "Trust: 0 % high, 0 % fair, 100 % low (of the training rows out of fold 60 %, 30 %, 10 %)",
    ]


def test_bad_rows_are_refused_or_written_beside(score: Score, catalogue: Path, tmp_path: Path) -> None:
    catalogue.write_text(catalogue.read_text() + "a,again,\n")
    with pytest.raises(CatalogueError):
        score(settings())
    assert not (tmp_path / "p.csv").exists()
    scored = score(settings(**{"catalogue.on_bad_rows": "quarantine"}))
    assert scored.rows + len((tmp_path / "p_rejected.csv").read_text().splitlines()) - 1 == 3
    assert "See " in scored.losses[0].what
    assert "p_rejected.csv" in scored.losses[0].what


def test_images_are_fetched_into_the_work_folder(catalogue: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (60, 40), (200, 30, 30)).save(tmp_path / "images" / "a.png")
    catalogue.write_text("sample_id,catalog_content,image_link\na,tea,http://x/1.jpg\nb,flour,http://x/2.jpg\n")
    config = settings(**{"images.enabled": True, "paths": {"artifacts": str(tmp_path / "artifacts")}})
    model = FakeModel()
    source = ImageSource.folder(tmp_path / "images")
    scored = score_file(lambda: model, catalogue, tmp_path / "p.csv", config, source)  # type: ignore[arg-type]
    assert model.images is not None
    assert list(model.images.files()) == ["http://x/1.jpg"]
    assert all(
        path.is_relative_to(tmp_path / "artifacts" / "work" / "images") for path in model.images.files().values()
    )
    assert scored.losses[0].what.startswith("1 of 2 images failed")
    assert "missing_images.csv" not in scored.losses[0].what


def test_images_named_by_sample_id_are_found_for_new_products(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    Image.new("RGB", (60, 40), (200, 30, 30)).save(folder / "u.png")
    links = ["https://shop.invalid/1/front.jpg", "https://shop.invalid/2/front.jpg"]
    frame = pl.DataFrame({"sample_id": ["u", "v"], "image_link": links})
    images = fetch_images(frame, ImagesConfig(), ImageSource.folder(folder), tmp_path / "work")
    assert images.table["status"].to_list() == ["ok", "missing"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, True), ({"images.enabled": False}, False), ({"members.multimodal.enabled": False}, False),
     ({"members.multimodal.image.enabled": False}, False)],
)  # fmt: skip
def test_images_are_fetched_for_models_that_read_them(changes: dict[str, Any], expected: bool) -> None:
    assert reads_images(load_config("demo", changes)) is expected


def test_images_that_fail_are_counted(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    Image.new("RGB", (60, 40), (200, 30, 30)).save(folder / "a.jpg")
    (folder / "b.jpg").write_bytes(b"no image")
    config = ImagesConfig(allow_hosts=("127.0.0.1",), retries=0)
    with serve_folder(folder) as address:
        links = [f"{address}/{name}.jpg" for name in ("a", "b", "a", "b", "gone")]
        frame = pl.DataFrame({"sample_id": list("uvwxyz"), "image_link": [*links, None]})
        images = fetch_images(frame, config, ImageSource.web(), tmp_path / "work")
    assert len(images.table) == 3
    # two rows share a broken image, one image is not there; the row without a link misses nothing
    found = describe_new_images(images, config, ImageSource.web())
    assert (found["requested"], found["present"]) == (3, 1)
    assert found["failed"] == {"http_404": 1, "not_an_image": 1}
    assert found["hosts_lost"] == {}, "the host gave one"
