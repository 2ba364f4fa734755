"""Drift of a catalogue: a shifted one is found, rows like those of training are no alarm, and like meets like."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pricing.errors import ArtifactError
from pricing.features.engineer import FeatureEngineer
from pricing.features.load import FeatureSet
from pricing.features.schema import CATEGORY, Column
from pricing.run.drift import PRICE, DriftReference, known_words
from pricing.run.drift_words import describe_drift
from tests.features.conftest import CONFIG, make_products

TRAIN, HELD = 600, 300
TRUST = {level: {"share": share, "training": 0.3} for level, share in (("high", 0.5), ("fair", 0.3), ("low", 0.2))}


@dataclass(frozen=True)
class Run:
    """A reference, and what it was made of."""

    engineer: FeatureEngineer
    reference: DriftReference
    training: FeatureSet
    held: pl.DataFrame

    def compare(self, frame: pl.DataFrame, price: float = 1.0, nearest: float = 0.0) -> dict[str, Any]:
        """Compare rows whose prices are training's times a factor and whose cosines are lower by a difference."""
        found, rng = self.engineer.transform(frame), np.random.default_rng(1)
        cosines = np.clip(rng.beta(6, 3, frame.height) - nearest, 0, 1)
        return self.reference.compare(frame, found, price * np.exp(rng.normal(2, 1, frame.height)), cosines)


@pytest.fixture(scope="module")
def run() -> Run:
    frame, rng = make_products(TRAIN + HELD).frame, np.random.default_rng(0)
    train, held = frame.head(TRAIN), frame.tail(HELD)
    engineer = FeatureEngineer(CONFIG).fit(train)
    training = engineer.transform(train)
    assert engineer.tfidf is not None
    vocabulary = known_words(engineer.tfidf.blocks[0].terms)
    reference = DriftReference.fit(
        training, engineer.transform(held), held, vocabulary, np.exp(rng.normal(2, 1, TRAIN)), rng.beta(6, 3, TRAIN)
    )
    return Run(engineer, reference, training, held)


def strange(frame: pl.DataFrame) -> pl.DataFrame:
    """The same products of unknown makers, in another language and a hundred times as large."""
    text = (
        pl.col("catalog_content").str.replace(r"Item Name: .*?,", "Item Name: Zwieback Hausmacherart,")
        .str.replace(r"Bullet Point 1: .*", "Bullet Point 1: knusprig gebacken nach altem Rezept")
        .str.replace(r"(\d+) oz", "${1}00 oz").str.replace(r"Value: (\d+)", "Value: ${1}00")
    )  # fmt: skip
    return frame.with_columns(catalog_content=text)


def levels(record: dict[str, Any]) -> dict[str, str]:
    return {row["feature"]: row["level"] for row in record["features"]}


def test_rows_like_those_of_training_are_no_alarm(run: Run) -> None:
    record = run.compare(run.held)
    assert set(levels(record).values()) == {"stable"}
    for rows in (50, 80, 150):
        assert "shifted" not in levels(run.compare(run.held.head(rows))).values()
    unseen, words, nearest = record["unseen"], record["unknown_words"], record["nearest"]
    assert unseen["brand"]["share"] == unseen["brand"]["holdout"]
    assert words["share"] == words["holdout"] < 0.2
    assert nearest["mean"] == pytest.approx(nearest["training"], abs=0.03)
    assert nearest["far"] == pytest.approx(0.1, abs=0.04)


def test_a_shifted_catalogue_is_found(run: Run) -> None:
    record = run.compare(strange(run.held), price=20, nearest=0.4)
    found = levels(record)
    for feature in ("ipq_total", "brand", "text_characters", PRICE):
        assert found[feature] == "shifted", feature
    # what the change left alone has not moved
    assert found["ipq_pack"] == "stable"
    assert record["unseen"]["brand"]["share"] == 1 > record["unseen"]["brand"]["holdout"]
    assert record["unknown_words"]["share"] > 3 * record["unknown_words"]["holdout"]
    assert record["nearest"]["mean"] < record["nearest"]["training"] - 0.3
    assert record["nearest"]["far"] > 0.8
    index = [row["psi"] for row in record["features"]]
    assert index == sorted(index, reverse=True)
    lines = describe_drift({**record, "trust": TRUST, "unlike": 0.42})
    assert lines[0].startswith("Drift: 100 % with unknown brand (0 % of the hold-out); ")
    assert re.match(r"Drift: \d+ features have left the training's distribution: .+; .+ and \d+ more$", lines[1])
    assert lines[-2:] == [
        "Trust: 50 % high, 30 % fair, 20 % low (of the training rows out of fold 30 %, 30 %, 30 %)",
        "Trust: 42 % unlike anything learnt (5 % of the training rows)",
    ]


def test_training_is_not_alarmed_by_rare_brands_of_its_own_kind(run: Run) -> None:
    """Training knows all its brands by construction; a new catalogue of as many rare ones must not be another one."""
    letters = "abcdefghijklmnopqrst"

    def titles(of: str) -> pl.DataFrame:
        """Two thirds are of twenty frequent makers, the others of makers of five products each."""
        names = [f"Often{letters[n % 20]}" if n % 3 else f"{of}{letters[n // 15 % 20]}{letters[n // 300]}"
                 for n in range(TRAIN)]  # fmt: skip
        return pl.DataFrame({"sample_id": [str(n) for n in range(TRAIN)],
                             "catalog_content": [f"Item Name: {name} Tea" for name in names]})  # fmt: skip

    engineer, training = FeatureEngineer(CONFIG).fit(titles("Rare")), titles("Rare")
    known = DriftReference.fit(
        engineer.transform(training), engineer.transform(training.head(0)), training.head(0), known_words([]),
        np.ones(TRAIN), None,
    )  # fmt: skip
    assert not known.unseen(engineer.transform(training))["brand"].any()
    new = titles("Other")
    record = known.compare(new, engineer.transform(new), np.ones(TRAIN), None)
    assert levels(record)["brand"] == "stable"
    assert record["unseen"]["brand"] == {"share": pytest.approx(1 / 3, abs=0.01), "holdout": None}
    assert record["unknown_words"] == {"share": None, "holdout": None}
    assert record["nearest"] == {"mean": None, "training": None, "far": None}


def test_what_says_nothing_to_a_reader_is_left_out(run: Run) -> None:
    names = set(levels(run.compare(run.held)))
    assert not any(name.startswith("svd_") or "brand_" in name for name in names - {"sub_brand"})
    assert {"ipq_family", "ipq_total", "ipq_log_length", "language", "text_words", "sub_brand"} <= names
    # which is distributed as ipq_total is
    assert "ipq_log_total" not in names
    assert all(row["words"] for row in run.compare(run.held)["features"])


def test_words_are_counted_as_anybody_would(run: Run) -> None:
    frame = strange(run.held.head(20))
    known = set(run.reference.vocabulary)
    words = [word for text in frame["catalog_content"] for word in re.findall(r"[A-Za-z]+", text.lower())]
    expected = sum(word not in known for word in words) / len(words)
    assert run.reference.unknown_words(frame) == pytest.approx(expected)


def with_categories(features: FeatureSet, **columns: list[str]) -> FeatureSet:
    """The features with declared categories beside them."""
    made = {name.replace("__", ":").replace("_level_", " "): values for name, values in columns.items()}
    new = [
        Column(name, CATEGORY, "declared", "category_level" if name.endswith(" 1") else "category",
               values=name.partition(":")[2])
        for name in made
    ]  # fmt: skip
    schema = replace(features.schema, columns=(*features.schema.columns, *new))
    return replace(features, schema=schema, tabular=features.tabular.with_columns(
        pl.Series(name, values, dtype=pl.String) for name, values in made.items()))  # fmt: skip


def test_declared_categories_are_known_or_not(run: Run) -> None:
    few = run.training.take(np.arange(6))
    training = with_categories(
        few, category__brand=["a", "b", "", "a", "b", "a"], category__path=["x > y"] * 6,
        category__path_level_1=["x"] * 6,
    )  # fmt: skip
    held = with_categories(
        few, category__brand=["a", "c", "", "d", "b", "a"], category__path=["x > y", "x > z", *[""] * 4],
        category__path_level_1=["x", "q", *[""] * 4],
    )  # fmt: skip
    reference = DriftReference.fit(training, held, run.held.head(6), run.reference.vocabulary, np.ones(6), None)
    found = reference.unseen(held)
    # a declared brand is the brand, and a path's level the path
    assert {name: rows.tolist() for name, rows in found.items()} == {
        "brand": [False, True, False, True, False, False], "path": [False, True, False, False, False, False]
    }  # fmt: skip
    assert reference.shares["unseen"] == {"brand": pytest.approx(2 / 6), "path": pytest.approx(1 / 6)}
    assert list(reference.strangers(held)) == ["brand", "path"]
    assert not reference.strangers(run.training)


def test_few_rows_have_no_index_and_no_rows_have_nothing(run: Run) -> None:
    record = run.compare(run.held.head(49))
    assert record["features"] is None
    assert record["unknown_words"]["share"] is not None
    lines = describe_drift({**record, "trust": TRUST, "unlike": 0.0})
    assert lines[1] == "Drift: 49 rows are too few to compare distributions; 50 are needed"
    empty = run.compare(run.held.head(0))
    assert (empty["rows"], empty["unseen"]["brand"]["share"], empty["nearest"]["mean"]) == (0, None, None)
    assert describe_drift({**empty, "trust": TRUST}) == []


def test_a_reference_is_read_as_it_was_written(run: Run, tmp_path: Path) -> None:
    run.reference.save(tmp_path / "drift")
    again = DriftReference.load(tmp_path / "drift", run.reference.vocabulary)
    assert replace(run, reference=again).compare(run.held) == run.compare(run.held)
    assert sum(file.stat().st_size for file in (tmp_path / "drift").iterdir()) < 100_000
    (tmp_path / "drift" / "reference.json").write_text('{"distributions": [{"name": "x"}]}')
    with pytest.raises(ArtifactError, match="a reference of the training rows"):
        DriftReference.load(tmp_path / "drift", run.reference.vocabulary)


def test_known_categories_are_read_again(run: Run, tmp_path: Path) -> None:
    few = with_categories(run.training.take(np.arange(3)), category__brand=["a", "b", ""])
    made = DriftReference.fit(few, few, run.held.head(3), run.reference.vocabulary, np.ones(3), None)
    made.save(tmp_path)
    again = DriftReference.load(tmp_path, run.reference.vocabulary)
    new = with_categories(run.training.take(np.arange(3)), category__brand=["b", "c", ""])
    assert again.strangers(new)["brand"].tolist() == [False, True, False]
