"""The generated catalogue with declared columns: its formula, its floor, and that no text tells the columns."""

import json
import tomllib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.optimize import minimize_scalar

from pricing.catalogue.reading import read_catalogue_file
from pricing.config.catalogue import CatalogueConfig
from pricing.sample import declared_sample as declared
from pricing.sample import formula
from pricing.sample.generate import SampleInfo, generate_sample


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleInfo:
    return generate_sample(tmp_path_factory.mktemp("declared") / "s", rows=3000, test_rows=300, declared=True)


def read(sample: SampleInfo) -> pl.DataFrame:
    assert sample.roles is not None
    roles = tomllib.loads(sample.roles.read_text(encoding="utf-8"))
    config = CatalogueConfig.model_validate({"columns": roles})
    return read_catalogue_file(sample.train, labelled=True, config=config).frame


def test_the_roles_beside_it_read_it(sample: SampleInfo) -> None:
    frame = read(sample)
    assert frame.height == sample.rows == 3000
    assert frame["number:rating"].drop_nulls().is_between(1, 5).all()
    assert 0.02 < frame["number:rating"].null_count() / 3000 < 0.04
    parts = frame["category:grade"].str.split(" > ")
    assert parts.list.len().unique().to_list() == [3]
    assert set(parts.list.last()) == set(declared.LEVELS)
    assert frame["category:grade"].n_unique() == 18
    assert sorted(path.name for path in sample.folder.iterdir()) == [
        "columns.toml", "floor.json", "sample.json", "test.csv", "test_truth.csv", "train.csv",
    ]  # fmt: skip


def test_the_columns_effects_are_the_stated_ones_and_the_texts_tell_neither(sample: SampleInfo, tmp_path: Path) -> None:
    plain = generate_sample(tmp_path / "plain", rows=3000, test_rows=0, images=False)
    frame, other = pl.read_csv(sample.train), pl.read_csv(plain.train)
    # the texts are those of the sample without columns, so they cannot depend on them
    assert frame["catalog_content"].equals(other["catalog_content"])
    assert frame["sample_id"].equals(other["sample_id"])
    kind = frame["grade"].str.split(" > ").list.get(1)
    assert kind.value_counts()["count"].min() > 300  # type: ignore[operator]
    rated = frame.filter(pl.col("rating").is_not_null())
    exact = np.log(frame["price"].to_numpy())
    # what images would show is out of the price: the difference is the columns' effect, a constant per pair of grades
    level = frame["grade"].str.split(" > ").list.last()
    delta = pl.DataFrame({"level": level, "rating": frame["rating"], "d": exact - np.log(other["price"].to_numpy())})
    effects = [declared.LEVELS[name] for name in delta["level"]]
    seals = [formula.GRADES[list(declared.LEVELS).index(name)] for name in delta["level"]]
    left = (delta["d"] - pl.Series(effects) + pl.Series(seals)).filter(delta["rating"].is_not_null())
    slope = declared.RATING * (rated["rating"] - 3) / 4
    # prices are rounded to cents
    assert (left - slope).abs().max() < 0.01  # type: ignore[operator]
    assert abs(np.corrcoef(rated["rating"], np.log(rated["catalog_content"].str.len_chars()))[0, 1]) < 0.06


def test_the_floor_is_what_nobody_gets_below(sample: SampleInfo) -> None:
    """Draws the formula again, and lets scipy find the best guess where a column is not known."""
    record = json.loads(sample.floor_file.read_text())
    rng = np.random.default_rng(3)
    noise = formula.NOISE * rng.standard_normal(400_000)
    rating = declared.RATING * (rng.choice(declared.RATINGS, noise.size) - 3) / 4
    level = rng.choice(list(declared.LEVELS.values()), noise.size)

    def best(log_price: np.ndarray) -> float:
        def score(guess: float) -> float:
            return float(200 * np.abs(np.tanh((log_price - guess) / 2)).mean())

        return minimize_scalar(score, bounds=(-0.4, 0.4), method="bounded").fun

    rated = record["rated"]
    assert 0.96 < rated < 0.98
    assert record["smape"] == sample.floor
    assert sample.floor == pytest.approx(rated * best(noise) + (1 - rated) * best(noise + rating), abs=0.05)
    assert record["smape_without_columns"] == pytest.approx(best(noise + rating + level), abs=0.1)
    assert record["smape_of_the_drawn_noise"] == pytest.approx(sample.floor, abs=0.3)
    assert record["smape_without_columns"] > sample.floor + 10


def test_same_seed_same_bytes_and_a_longer_one_begins_with_the_shorter(sample: SampleInfo, tmp_path: Path) -> None:
    short = generate_sample(tmp_path / "short", rows=40, test_rows=10, declared=True)
    assert sample.train.read_bytes().startswith(short.train.read_bytes())
    before = short.train.read_bytes()
    assert generate_sample(tmp_path / "seven", rows=40, seed=7, declared=True).train.read_bytes() != before
    illustrated = generate_sample(tmp_path / "short", rows=40, test_rows=10, images=False)
    assert illustrated.roles is None
    assert not (tmp_path / "short" / "columns.toml").exists()
    generate_sample(tmp_path / "short", rows=40, test_rows=10, declared=True)
    assert short.train.read_bytes() == before
