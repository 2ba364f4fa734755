"""Sentence embeddings: the formula, the cache, what is saved."""

import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from pricing.config.columns import ColumnsConfig
from pricing.config.features import EmbeddingConfig, FeaturesConfig
from pricing.errors import ArtifactError, WeightsError
from pricing.features import embedding
from pricing.features.embedding import EmbeddingCache, TextEmbedder
from pricing.features.engineer import FeatureEngineer
from pricing.features.load import load_features
from pricing.features.price_features import PriceFeatures
from pricing.pretrained.text import compose_texts
from tests.features.conftest import CONFIG, PRICE_CONFIG, Products
from tests.features.test_engineer import assert_same
from tests.members.networks.builders import write_text_encoder

TEXTS = ["Item Name: Tea, 2 oz\nValue: 2\nUnit: Ounce", "Item Name: Rye flour", None, "", "Item Name: " + "salt " * 90]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text_encoder(tmp_path_factory.mktemp("encoder") / "bert")


def settings(folder: Path, **changes: object) -> EmbeddingConfig:
    return EmbeddingConfig(name=str(folder), **({"max_length": 24, "batch": 4, "precision": "fp32"} | changes))  # type: ignore[arg-type]


def test_it_is_the_mean_of_the_last_states_of_length_one(folder: Path) -> None:
    """Against the plain formula, one text at a time and without padding."""
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    found = TextEmbedder.find(settings(folder)).embed(TEXTS)
    for text, vector in zip(TEXTS, found, strict=True):
        tokens = tokenizer(compose_texts([text]), truncation=True, max_length=24, return_tensors="pt")
        with torch.no_grad():
            mean = model(**tokens).last_hidden_state[0].mean(dim=0)
        np.testing.assert_allclose(vector, (mean / mean.norm()).numpy(), atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_text_has_the_same_numbers_whatever_comes_with_it(folder: Path, precision: str) -> None:
    embedder = TextEmbedder.find(settings(folder, precision=precision))
    together = embedder.embed([*TEXTS, *TEXTS])
    for row, text in enumerate(TEXTS):
        assert np.array_equal(embedder.embed([text])[0], together[row])
        assert np.array_equal(together[row + len(TEXTS)], together[row])
    threaded = TextEmbedder.find(settings(folder, precision=precision), threads=3)
    assert np.array_equal(threaded.embed([*TEXTS, *TEXTS]), together)


@pytest.mark.parametrize("fast", ["bf16", "fp32"])
def test_the_processor_decides_the_precision(folder: Path, fast: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """bfloat16 on a processor without its instructions would take hours for a catalogue."""
    monkeypatch.setattr(embedding, "cpu_precision", lambda: fast)
    asked = {wish: TextEmbedder.find(settings(folder, precision=wish)) for wish in ("auto", "fp32", "bf16")}
    assert np.array_equal(asked["auto"].embed(TEXTS), asked[fast].embed(TEXTS))
    assert not np.array_equal(asked["bf16"].embed(TEXTS), asked["fp32"].embed(TEXTS))


def test_a_new_row_costs_only_itself(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known is not computed again, by another process either; another setting has a file of its own."""
    first = TextEmbedder.find(settings(folder), cache=tmp_path).embed(TEXTS)
    computed: list[int] = []
    forward = TextEmbedder._forward

    def counted(self: TextEmbedder, tokens: list[list[int]], length: int) -> np.ndarray:
        computed.append(len(tokens))
        return forward(self, tokens, length)

    monkeypatch.setattr(TextEmbedder, "_forward", counted)
    again = TextEmbedder.find(settings(folder), cache=tmp_path)
    assert np.array_equal(again.embed(TEXTS), first)
    assert computed == []
    longer = again.embed(["Item Name: Cocoa", *TEXTS])
    assert computed == [1]
    assert np.array_equal(longer[1:], first)
    TextEmbedder.find(settings(folder, max_length=12), cache=tmp_path).embed(TEXTS[:1])
    assert computed == [1, 1]
    assert len(list(tmp_path.glob("*.sqlite"))) == 2


def test_vectors_of_a_damaged_length_are_computed_again(tmp_path: Path) -> None:
    EmbeddingCache(tmp_path / "a.sqlite", 3).put(["x", "y"], np.ones((2, 3), dtype=np.float32))
    assert EmbeddingCache(tmp_path / "a.sqlite", 4).get(["x", "y"]) == {}
    assert sorted(EmbeddingCache(tmp_path / "a.sqlite", 3).get(["x", "z"])) == ["x"]


def test_what_is_saved_needs_nothing_else_and_is_checked(folder: Path, tmp_path: Path) -> None:
    embedder = TextEmbedder.find(settings(folder))
    embedder.save(tmp_path / "copy")
    loaded = TextEmbedder.load(tmp_path / "copy")
    assert np.array_equal(loaded.embed(TEXTS), embedder.embed(TEXTS))
    other = write_text_encoder(tmp_path / "other", "mpnet")
    (saved,) = (tmp_path / "copy").glob("*/")
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (saved / name).write_bytes((other / name).read_bytes())
    with pytest.raises(WeightsError, match="tensors hash to"):
        TextEmbedder.load(tmp_path / "copy")
    (tmp_path / "copy" / "embedder.json").write_text("{}")
    with pytest.raises(ArtifactError, match="expected a text embedder"):
        TextEmbedder.load(tmp_path / "copy")


def test_features_with_a_space_of_embeddings(folder: Path, products: Products, tmp_path: Path) -> None:
    """The engineer embeds, saves and compares; a saved one gives the same features, and prices read the new space."""
    config = FeaturesConfig(
        tfidf=CONFIG.tfidf, spaces=("words", "embedding"), embedding=settings(folder), price=PRICE_CONFIG
    )
    rows = products.frame.head(60)
    engineer = FeatureEngineer(config).fit(rows)
    labelled = engineer.index_labelled(rows, products.groups[:60])
    assert labelled.embedding is not None
    assert labelled.nearest is not None
    cosines = labelled.embedding @ labelled.embedding.T
    cosines[products.groups[:60, None] == products.groups[None, :60]] = -1
    found = labelled.nearest.spaces["embedding"]
    np.testing.assert_allclose(found.similarity[:, 0], cosines.max(axis=1), atol=1e-5)
    engineer.save(tmp_path / "engineer")
    engineer.save_features(labelled, tmp_path)
    read = load_features(tmp_path)
    assert_same(read, labelled)
    assert read.embedding is not None
    assert np.array_equal(read.embedding, labelled.embedding)
    new = pl.DataFrame({"sample_id": ["n"], "catalog_content": ["Item Name: Luma Sea Salt, 8 oz"]})
    again = FeatureEngineer.load(tmp_path / "engineer")
    assert_same(again.transform(new), engineer.transform(new))
    model = PriceFeatures(PRICE_CONFIG).fit(read, products.log_price[:60], products.groups[:60])
    assert np.isfinite(model.transform(again.transform(new))["price_embedding_elastic_sized"][0])


def test_title_description_and_categories_are_embedded_apart_where_columns_have_roles(
    folder: Path, tmp_path: Path
) -> None:
    roles = ColumnsConfig(id="sku", title="name", text=("about",), category=("maker", "kind"), price="price")
    config = FeaturesConfig(tfidf=CONFIG.tfidf, spaces=("words", "embedding"), embedding=settings(folder))
    texts = [f"Item Name: {title}\nProduct Description: {about}" for title, about in zip("abc", "xyz", strict=True)]
    rows = pl.DataFrame(
        {"sample_id": ["1", "2", "3"], "catalog_content": texts, "category:maker": ["Acme", "Bell", ""],
         "category:kind": ["Tea", "", ""]}
    )  # fmt: skip
    engineer = FeatureEngineer(config, columns=roles).fit(rows)
    made = engineer.transform(rows)
    assert made.schema.parts == ("title", "description", "categories")
    embedder = TextEmbedder.find(settings(folder))
    expected = [embedder.embed_texts(part) for part in ("abc", "xyz", ["Acme Tea", "Bell ", " "])]
    assert made.parts is not None
    np.testing.assert_array_equal(made.parts, np.stack(expected, axis=1))
    engineer.save(tmp_path / "engineer")
    engineer.save_features(made, tmp_path)
    read, again = load_features(tmp_path), FeatureEngineer.load(tmp_path / "engineer").transform(rows.tail(1))
    assert read.parts is not None
    assert again.parts is not None
    np.testing.assert_array_equal(read.parts, made.parts)
    np.testing.assert_array_equal(again.parts, made.take(np.array([2])).parts)
    plain = FeatureEngineer(config).fit(rows).transform(rows)
    assert plain.schema.parts == ()
    assert plain.parts is None


@pytest.mark.parametrize("text", ["Item Name: " + "12 - " * 200_000, "pack of " * 125_000], ids=["numbers", "packs"])
def test_a_megabyte_of_hostile_text_costs_seconds_at_most(folder: Path, text: str) -> None:
    began = time.perf_counter()
    assert np.isfinite(TextEmbedder.find(settings(folder)).embed([text])).all()
    assert time.perf_counter() - began < 20
