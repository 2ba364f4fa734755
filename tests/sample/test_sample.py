"""The generated sample catalogue: its bytes, its formula, its floor, its images."""

import csv
import hashlib
import io
import json
import re
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from scipy.optimize import minimize_scalar

from pricing.catalogue.duplicates import duplicate_groups
from pricing.catalogue.reading import read_catalogue_file
from pricing.config.catalogue import ImagesConfig
from pricing.download.fetch import catalogue_links, collect_images
from pricing.download.shards import fetch_shard
from pricing.download.sources import ImageSource
from pricing.errors import CatalogueError
from pricing.sample import formula
from pricing.sample.generate import SampleInfo, generate_sample
from pricing.sample.serving import serve_folder


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleInfo:
    return generate_sample(tmp_path_factory.mktemp("sample") / "default")


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_same_seed_same_bytes_and_another_seed_other_ones(tmp_path: Path) -> None:
    one, two, three = (
        generate_sample(tmp_path / name, rows=60, test_rows=20, seed=seed)
        for name, seed in [("a", 3), ("b", 3), ("c", 4)]
    )
    assert digests(one.folder) == digests(two.folder)
    assert one.train.read_bytes() != three.train.read_bytes()


def test_a_longer_catalogue_begins_with_the_shorter_one(tmp_path: Path) -> None:
    short = generate_sample(tmp_path / "short", rows=30, test_rows=0, images=False)
    long = generate_sample(tmp_path / "long", rows=1200, test_rows=5, images=False)
    assert long.train.read_bytes().startswith(short.train.read_bytes())
    assert read_catalogue_file(long.train, labelled=True).frame.height == 1200


def test_a_link_has_one_image_whichever_samples_share_a_store(tmp_path: Path) -> None:
    """Demos of seeds 0, 7 and 0 again, and of another size, in one store: the third gets what the first got."""
    config = ImagesConfig(side=32, allow_hosts=("127.0.0.1",), retries=0)
    outcomes, images = [], []
    for name, seed, rows in [("a", 0, 150), ("b", 7, 150), ("c", 0, 150), ("d", 0, 220)]:
        made = generate_sample(tmp_path / name, rows=rows, test_rows=30, seed=seed)
        assert made.images is not None
        tables, out = tmp_path / f"{name}-tables", tmp_path / f"{name}-out"
        tables.mkdir()
        out.mkdir()
        read_catalogue_file(made.train, labelled=True).frame.write_parquet(tables / "labelled.parquet")
        read_catalogue_file(made.test, labelled=False).frame.write_parquet(tables / "unlabelled.parquet")
        with serve_folder(made.images) as address:
            source = ImageSource.mirror(address)
            report = fetch_shard(catalogue_links(tables), config, tmp_path / "work", source=source)
            collect_images(tables, config, source.origin, None, tmp_path / "work", source, out)
        outcomes.append((report.requested, report.present, report.failed, report.state))
        images.append((out / "images.parquet").read_bytes())
        drawn = {path.name: path.read_bytes() for path in made.images.iterdir()}
        if name == "a":
            first = drawn
        shared = first.keys() & drawn.keys()
        assert all(drawn[file] == first[file] for file in shared)
        assert len(shared) == (0 if seed else len(first))
    assert outcomes[2] == outcomes[0]
    assert images[2] == images[0]
    assert outcomes[1] != outcomes[0]


def test_floor_is_six_and_a_monte_carlo_run_agrees(sample: SampleInfo) -> None:
    """Draws noise and grades, and lets scipy find the best single guess where the grade is unknown."""
    record = json.loads(sample.floor_file.read_text())
    assert record["smape"] == sample.floor == pytest.approx(6.0, abs=0.3)
    rng = np.random.default_rng(7)
    noise = record["noise"] * rng.standard_normal(400_000)

    def score(actual_log: np.ndarray, guess_log: float) -> float:
        actual, guess = np.exp(actual_log), np.exp(guess_log)
        return float(200 * np.mean(np.abs(actual - guess) / (actual + guess)))

    blind = rng.choice(formula.GRADES, size=noise.size) + noise
    blind_score = minimize_scalar(lambda guess: score(blind, guess), bounds=(-0.3, 0.3), method="bounded").fun
    readable = record["readable"]
    assert 0.96 < readable < 0.995
    assert record["smape"] == pytest.approx(readable * score(noise, 0.0) + (1 - readable) * blind_score, abs=0.05)
    assert record["smape_without_images"] == pytest.approx(blind_score, abs=0.05)
    assert record["smape_of_the_drawn_noise"] == pytest.approx(6.0, abs=0.3)
    assert record["smape_without_images"] - record["smape"] > 4


def test_without_images_the_floor_is_that_of_texts(tmp_path: Path) -> None:
    info = generate_sample(tmp_path / "s", rows=20, test_rows=0, images=False)
    assert info.images is None
    assert not (info.folder / "images").exists()
    assert info.floor == pytest.approx(formula.bayes_floor(0.0))


POUND, KILO, MILLILITRE = 16.0, 1000 / 28.3495, 1 / 29.5735


def quantity_in_name(name: str) -> float | None:
    """An own reading of the spellings, in ounces, fluid ounces or pieces."""
    item = re.search(r"([\d.]+)[ -]?(fl\.? oz|fluid ounce|ounce|oz|kg|g|lb|ml|l|count|ct)\b", name, re.IGNORECASE)
    if item is None:
        return None
    scale = {"kg": KILO, "g": KILO / 1000, "lb": POUND, "ml": MILLILITRE, "l": 1000 * MILLILITRE}
    pack = re.search(r"(?:pack|case) of (\d+)|(\d+)[ -]pack|(\d+) x ", name, re.IGNORECASE)
    count = next((int(group) for group in pack.groups() if group), 1) if pack else 1
    return float(item[1]) * scale.get(item[2].lower(), 1.0) * count


def test_every_text_gives_the_quantity_and_both_places_agree(sample: SampleInfo) -> None:
    frame = read_catalogue_file(sample.train, labelled=True).frame
    named = valued = both = 0
    for content in frame["catalog_content"]:
        name = content.split("\n")[0]
        value = re.search(r"^Value: ([\d.]+)$", content, re.MULTILINE)
        quantity = quantity_in_name(name.removeprefix("Item Name: "))
        assert value or quantity, content
        named, valued = named + (quantity is not None), valued + (value is not None)
        if value and quantity:
            both += 1
            assert quantity == pytest.approx(float(value[1]), rel=0.012), content
    assert 0.88 < named / 1500 < 0.96
    assert 0.93 < valued / 1500 < 0.99
    assert both > 1200


def test_prices_follow_the_stated_formula(sample: SampleInfo) -> None:
    """Least squares on the text alone finds the stated word effects; what is left is grade and noise."""
    frame = read_catalogue_file(sample.train, labelled=True).frame.filter(
        pl.col("catalog_content").str.contains("(?m)^Value: ")
    )
    text = frame["catalog_content"]
    log_quantity = np.log(text.str.extract(r"(?m)^Value: (.*)$", 1).cast(pl.Float64).to_numpy())
    words = [text.str.contains(f"(?i){word}").to_numpy() for word in formula.WORDS]
    brands = [text.str.contains(f"(?m)^Item Name: {brand}").to_numpy() for brand in formula.BRANDS]
    kinds = [text.str.contains(f"(?m)^Item Name: .*{kind}").to_numpy()
             for kind in ("Coffee|Espresso", "Tea Bags", "Chocolate|Cocoa|Pralines", "Oil", "Sauce",
                          "Almonds|Cashews|Nuts|Pistachios|Pecan")]  # fmt: skip
    matrix = np.column_stack([*words, *brands[1:], *kinds, *[log_quantity * kind for kind in kinds]]).astype(float)
    target = np.log(frame["price"].to_numpy())
    found, *_ = np.linalg.lstsq(matrix, target, rcond=None)
    assert found[: len(words)] == pytest.approx(list(formula.WORDS.values()), abs=0.04)
    assert found[-6:] == pytest.approx([kind.elasticity for kind in formula.CATEGORIES], abs=0.05)
    spread = np.sqrt(formula.NOISE**2 + np.var(formula.GRADES))
    assert np.std(target - matrix @ found) == pytest.approx(spread, rel=0.06)


def test_images_some_of_them_broken_and_shared(sample: SampleInfo) -> None:
    assert sample.images is not None
    frame = read_catalogue_file(sample.train, labelled=True).frame
    good = absent = cut = page = 0
    for link in frame["image_link"].drop_nulls().unique().sort():
        assert link.startswith("http://images.sample.invalid/")
        path = sample.images / link.rsplit("/", 1)[1]
        if not path.exists():
            absent += 1
        elif path.read_bytes().startswith(b"<!DOCTYPE"):
            page += 1
        else:
            try:
                with Image.open(io.BytesIO(path.read_bytes())) as image:
                    image.load()
                    assert image.size == (112, 112)
                good += 1
            except OSError:
                cut += 1
    assert min(absent, cut, page) > 0
    assert good / (good + absent + cut + page) > 0.97
    assert frame["image_link"].null_count() > 0
    groups = duplicate_groups(frame)
    sizes = groups.value_counts()["count"]
    assert sizes.filter(sizes > 1).sum() > 100  # near-duplicates there are,
    assert sizes.max() <= 8  # and they do not run together
    assert frame["image_link"].drop_nulls().n_unique() < frame.height - frame["image_link"].null_count()


def test_ids_are_unique_over_both_files_and_truth_has_the_test_order(sample: SampleInfo) -> None:
    train = read_catalogue_file(sample.train, labelled=True).frame["sample_id"]
    test = read_catalogue_file(sample.test, labelled=False).frame["sample_id"]
    assert len(set(train) | set(test)) == 2000
    with sample.truth.open(encoding="utf-8") as stream:
        truth = list(csv.DictReader(stream))
    assert [row["sample_id"] for row in truth] == test.to_list()
    assert min(float(row["price"]) for row in truth) > 0.5


def test_a_sample_is_reused_only_if_whole_and_made_the_same_way(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    info = generate_sample(folder, rows=20, test_rows=5)
    before = digests(folder)
    inode = info.train.stat().st_ino
    assert generate_sample(folder, rows=20, test_rows=5).train.stat().st_ino == inode
    info.train.write_bytes(info.train.read_bytes()[:-40])
    generate_sample(folder, rows=20, test_rows=5)
    assert digests(folder) == before
    assert generate_sample(folder, rows=21, test_rows=5).rows == 21
    assert read_catalogue_file(folder / "train.csv", labelled=True).frame.height == 21
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(CatalogueError, match="other files"):
        generate_sample(tmp_path, rows=5, test_rows=0)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_the_server_serves_images_and_nothing_above_them(sample: SampleInfo) -> None:
    assert sample.images is not None
    name = next(path.name for path in sorted(sample.images.iterdir()))
    with serve_folder(sample.images) as address:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
        with urllib.request.urlopen(f"{address}/{name}") as answer:
            assert answer.read() == (sample.images / name).read_bytes()
            assert answer.headers["Content-Type"] == "image/jpeg"
        for missing in ("none.jpg", "", "../train.csv", "%2e%2e/train.csv"):
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(f"{address}/{missing}")
            assert caught.value.code == 404
            caught.value.close()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{address}/{name}", timeout=5)
