"""The FeatureEngineer: consistency, round trips, hostile texts and files."""

import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.errors import ArtifactError, SchemaError
from pricing.features.engineer import FeatureEngineer
from pricing.features.load import FeatureSet, load_features, load_price_features, save_features
from tests.features.conftest import CONFIG, Products

HOSTILE = st.one_of(
    st.none(), st.text(max_size=120), st.sampled_from(["", "😀🍵 ½ kg", "تمر مجهول ٥٠٠ غرام", "\x00\x1b[31m 3 oz"])
)


def assert_same(left: FeatureSet, right: FeatureSet) -> None:
    """Bit by bit, missing values included."""
    assert left.schema == right.schema
    assert left.ids.equals(right.ids)
    assert np.array_equal(left.numbers, right.numbers, equal_nan=True)
    assert left.tabular.select(left.schema.categorical).equals(right.tabular.select(left.schema.categorical))
    for name in ("data", "indices", "indptr"):
        assert np.array_equal(getattr(left.tfidf, name), getattr(right.tfidf, name))
    assert (left.nearest is None) == (right.nearest is None)
    if left.nearest is not None and right.nearest is not None:
        assert left.nearest.ids.equals(right.nearest.ids)
        assert list(left.nearest.spaces) == list(right.nearest.spaces)
        for space, found in left.nearest.spaces.items():
            assert np.array_equal(found.index, right.nearest.spaces[space].index)
            assert np.array_equal(found.similarity, right.nearest.spaces[space].similarity)


@settings(max_examples=10)
@given(st.lists(HOSTILE, min_size=1, max_size=2))
def test_property_8_tfidf_consistency(engineer: FeatureEngineer, products: Products, texts: list[str | None]) -> None:
    """Property 8: TF-IDF transformation consistency. A text's vector depends on the text alone, not on the batch."""
    mixed = [*texts, *products.frame["catalog_content"].head(1)]
    frame = pl.DataFrame({"sample_id": [str(at) for at in range(len(mixed))], "catalog_content": mixed})
    together = engineer.transform(frame)
    assert together.tfidf.shape == (len(mixed), engineer.schema.tfidf_columns)
    for at in range(len(mixed)):
        assert_same(engineer.transform(frame[at]), together.take(np.array([at])))


@settings(max_examples=10)
@given(st.lists(HOSTILE, max_size=4))
def test_property_10_feature_serialization(
    tmp_path_factory: pytest.TempPathFactory, engineer: FeatureEngineer, texts: list[str | None]
) -> None:
    """Property 10: Feature serialization round-trip. Features read back equal those written, bit by bit."""
    frame = pl.DataFrame(
        {"sample_id": [f"é{at}" for at in range(len(texts))], "catalog_content": texts},
        schema={"sample_id": pl.String, "catalog_content": pl.String},
    )
    written = engineer.transform(frame)
    folder = tmp_path_factory.mktemp("features")
    FeatureEngineer.save_features(written, folder, "labelled")
    assert_same(FeatureEngineer.load_features(folder, "labelled"), written)


def test_transforms_are_equal_after_save_and_load(tmp_path: Path, indexed: FeatureEngineer, products: Products) -> None:
    indexed.save(tmp_path / "a")
    loaded = FeatureEngineer.load(tmp_path / "a")
    assert_same(loaded.transform(products.frame), indexed.transform(products.frame))
    loaded.save(tmp_path / "b")
    for file in sorted((tmp_path / "a").rglob("*")):
        if file.is_file():
            assert file.read_bytes() == (tmp_path / "b" / file.relative_to(tmp_path / "a")).read_bytes(), file.name


def test_fit_is_deterministic(products: Products, features: FeatureSet) -> None:
    assert_same(FeatureEngineer(CONFIG).fit_transform(products.frame), features)


def test_tfidf_rows_are_unit_vectors_of_the_textbook_formula(features: FeatureSet, engineer: FeatureEngineer) -> None:
    """Sublinear tf times smoothed idf, scaled to length one: re-derived for the word block of the first row."""
    space = engineer.tfidf
    assert space is not None
    terms = space.blocks[1].terms
    assert space.blocks[1].name == "title_words"
    start = len(space.blocks[0].terms)
    row = features.tfidf[0].toarray()[0, start : start + len(terms)]
    assert np.linalg.norm(row) == pytest.approx(space.weights["title_words"], rel=1e-5)
    expected = np.where(row > 0, space.blocks[1].idf, 0)  # no word stands twice in this title
    np.testing.assert_allclose(row, expected / np.linalg.norm(expected), rtol=1e-5)


def test_names_and_columns_agree(features: FeatureSet, engineer: FeatureEngineer) -> None:
    names = engineer.get_feature_names_out().tolist()
    assert features.tabular.columns == names
    assert len(set(names)) == len(names)


def test_unfitted_and_wrong_frames_are_refused(engineer: FeatureEngineer, products: Products) -> None:
    with pytest.raises(SchemaError, match="call fit or load"):
        FeatureEngineer(CONFIG).transform(products.frame)
    with pytest.raises(SchemaError, match="catalog_content"):
        engineer.transform(products.frame.select("sample_id"))


def test_a_corpus_without_any_term_still_has_features() -> None:
    frame = pl.DataFrame({"sample_id": ["1", "2"], "catalog_content": ["", None]})
    features = FeatureEngineer(CONFIG).fit_transform(frame)
    assert features.tfidf.shape == (2, 0)
    assert features.tabular.height == 2


@pytest.mark.parametrize(
    "text",
    [
        "Item Name: " + "1" * 1_000_000,
        "Item Name: " + "pack of " * 125_000,
        "Item Name: " + "1/" * 500_000 + " oz",
        "Item Name: " + "((((1 x " * 125_000,
        "Bullet Point 1: " + "a" * 1_000_000,
        "Product Description: " + "<" * 1_000_000,
        "Item Name:\n" * 90_000,
        "Value: " * 140_000,
        "٣½×–" * 250_000,
    ],
    ids=["digits", "packs", "fractions", "brackets", "one word", "tags", "labels", "values", "signs"],
)
def test_a_megabyte_of_hostile_text_costs_seconds_at_most(engineer: FeatureEngineer, text: str) -> None:
    began = time.process_time()
    features = engineer.transform(pl.DataFrame({"sample_id": ["x"], "catalog_content": [text]}))
    assert time.process_time() - began < 5
    assert np.isfinite(features.tfidf.data).all()
    assert not np.isinf(features.numbers).any()


def test_reorder_goes_by_id(features: FeatureSet) -> None:
    ids = features.ids.reverse()
    turned = features.reorder(ids)
    assert turned.ids.equals(ids)
    assert_same(turned.reorder(features.ids), features)
    with pytest.raises(SchemaError, match="nobody"):
        features.reorder(["p1", "nobody"])


class Bomb:
    """Unpickling it would make the file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("victim", ["labelled_tfidf.npz", "engineer/tfidf.npz"])
def test_poisoned_arrays_are_refused_and_run_nothing(
    tmp_path: Path, engineer: FeatureEngineer, features: FeatureSet, victim: str
) -> None:
    save_features(features, tmp_path)
    engineer.save(tmp_path / "engineer")
    with np.load(tmp_path / victim) as archive:
        arrays = {name: archive[name] for name in archive.files}
    poison = np.empty(1, dtype=object)
    poison[0] = Bomb(tmp_path / "executed")
    np.savez(tmp_path / victim, **dict.fromkeys(arrays, poison))
    with pytest.raises(ArtifactError, match=r"npz"):
        FeatureEngineer.load(tmp_path / "engineer") if victim.startswith("engineer") else load_features(tmp_path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("victim", ["labelled.parquet", "labelled_tfidf.npz", "schema.json"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "text"])
def test_damaged_files_are_named(tmp_path: Path, features: FeatureSet, victim: str, damage: str) -> None:
    save_features(features, tmp_path)
    file = tmp_path / victim
    whole = file.read_bytes()
    file.unlink()
    if damage != "missing":
        file.write_bytes(whole[: len(whole) // 2] if damage == "truncated" else b"nonsense")
    with pytest.raises(ArtifactError, match=victim.replace(".", r"\.")):
        load_features(tmp_path)


def test_features_of_another_schema_are_refused(tmp_path: Path, features: FeatureSet) -> None:
    save_features(features, tmp_path)
    pl.read_parquet(tmp_path / "labelled.parquet").drop("ipq_size").write_parquet(tmp_path / "labelled.parquet")
    with pytest.raises(SchemaError, match="ipq_size"):
        load_features(tmp_path)


def test_price_features_of_other_rows_are_refused(tmp_path: Path) -> None:
    pl.DataFrame({"sample_id": ["a", "b"], "price_x": [1.0, 2.0]}).write_parquet(tmp_path / "labelled.parquet")
    assert load_price_features(tmp_path, "labelled", pl.Series(["b", "a"]))["price_x"].to_list() == [2.0, 1.0]
    with pytest.raises(SchemaError, match="'c'"):
        load_price_features(tmp_path, "labelled", pl.Series(["a", "c"]))
