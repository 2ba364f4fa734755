"""What is unlike anything learnt is found, said in words, and is rare among ordinary rows."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pricing.config.columns import ColumnsConfig
from pricing.errors import ArtifactError
from pricing.features.engineer import FeatureEngineer
from pricing.features.load import FeatureSet
from pricing.run.novelty import Novelty
from tests.features.conftest import CONFIG, make_products

STRANGE = {
    "laptop": "Item Name: Apple MacBook Pro 16 inch laptop, M3 chip, 36 GB memory, space black",
    "house": "Item Name: Family house with garden and garage in a quiet street near the station",
    "lorem": "Item Name: Lorem ipsum dolor sit amet, consectetur adipiscing elit",
    "chinese": "Item Name: 全新 笔记本电脑 黑色",
}
CATEGORY = "category:aisle"


class Shop:
    """Products with a category, learnt from but for the last sixty."""

    def __init__(self) -> None:
        made = make_products(360)
        self.frame = made.frame.with_columns(
            pl.when(pl.col("catalog_content").str.contains("Tea")).then(pl.lit("Drinks")).otherwise(pl.lit("Pantry"))
            .alias(CATEGORY)
        )  # fmt: skip
        self.learnt, self.groups = self.frame.head(300), made.groups[:300]
        self.engineer = FeatureEngineer(
            CONFIG, columns=ColumnsConfig(id="sample_id", text=("catalog_content",), category=("aisle",))
        ).fit(self.learnt)
        self.own = self.engineer.index_labelled(self.learnt, self.groups)
        everything = np.ones(300, dtype=bool)
        self.novelty = Novelty.fit(self.learnt["catalog_content"], self.own, self.groups, everything)

    def judge(self, *texts: str | None, aisle: str = "Pantry") -> list[str | None]:
        frame = pl.DataFrame({"sample_id": [str(n) for n in range(len(texts))], "catalog_content": texts,
                              CATEGORY: aisle}, schema_overrides={"catalog_content": pl.String})  # fmt: skip
        return self.novelty.judge(frame["catalog_content"], self.engineer.transform(frame)).to_list()

    def new(self) -> tuple[pl.Series, FeatureSet]:
        frame = self.frame.tail(60)
        return frame["catalog_content"], self.engineer.transform(frame)


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop()


def test_products_of_another_kind_are_found_and_ordinary_ones_are_not(shop: Shop) -> None:
    assert None not in shop.judge(*STRANGE.values())
    own = shop.novelty.judge(shop.learnt["catalog_content"], shop.own, own=True)
    assert own.is_not_null().mean() == pytest.approx(0.05, abs=0.02)
    assert shop.novelty.judge(*shop.new()).is_not_null().mean() < 0.15  # type: ignore[operator]


def test_what_is_unlike_is_said(shop: Shop) -> None:
    ordinary, aisle = shop.learnt["catalog_content"][3], "Electronics"
    assert shop.judge(ordinary) == [None]
    assert shop.judge(STRANGE["chinese"])[0] == "no known word, no product like it"
    (laptop,) = shop.judge(STRANGE["laptop"], aisle=aisle)
    assert laptop is not None
    expected = {"no known word", "unknown unit and aisle", "amount beyond what was learnt", "no product like it"}
    assert set(laptop.split(", ")) == expected
    # a category that a row lacks is none that it does not share
    assert shop.judge(ordinary, aisle="") == [None]


@pytest.mark.parametrize("text", ["", None, "👍", "Item Name: \nBullet Point 1: Pantry\n", "12 34"])
def test_what_has_no_words_is_unlike_everything(shop: Shop, text: str | None) -> None:
    assert shop.judge(text) == ["no words"]


def test_a_training_row_is_judged_without_itself_and_its_twins(shop: Shop) -> None:
    """Judged as new, a training row has a product just like it: itself. Then nothing learnt would ever be strange."""
    texts = shop.learnt["catalog_content"]
    own = shop.novelty.score(texts, shop.own, own=True)
    as_new = shop.novelty.score(texts, shop.engineer.transform(shop.learnt))
    assert (own >= as_new).all()
    assert own.mean() > as_new.mean() + 0.5
    # twins are of one group: what they alone have in common is as strange in the second as in the first
    lots = pl.Series([f"Item Name: Quince Paste {word}" for word in ("mild", "mild", "hot")])
    alone = Novelty.fit(lots, shop.own.take(np.arange(3)), np.array([0, 0, 1]), np.ones(3, dtype=bool))
    assert alone.pairs.lone.sum() == 2


def test_a_row_alone_is_judged_as_among_others(shop: Shop) -> None:
    texts, features = shop.new()
    together = shop.novelty.score(texts, features)
    for at in (0, 31, 59):
        assert shop.novelty.score(texts[at : at + 1], features.take(np.array([at])))[0] == together[at]
    assert len(shop.novelty.judge(texts.head(0), features.take(np.arange(0)))) == 0


def test_what_was_learnt_is_read_as_it_was_written(shop: Shop, tmp_path: Path) -> None:
    shop.novelty.save(tmp_path)
    loaded = Novelty.load(tmp_path)
    assert np.array_equal(loaded.score(*shop.new()), shop.novelty.score(*shop.new()))
    assert loaded.judge(*shop.new()).equals(shop.novelty.judge(*shop.new()))
    (tmp_path / "novelty.json").write_text("{}")
    with pytest.raises(ArtifactError, match="what ordinary products are like"):
        Novelty.load(tmp_path)
