"""The title that grouping, features, the encoders' texts and the report share."""

import polars as pl
import pytest

from pricing.catalogue.duplicates import title_keys
from pricing.features.sections import split_sections
from pricing.pretrained.text import compose_texts
from pricing.report.run_folder import shown_title

#: text, its title, and what the encoders read
TITLES = [
    ("Item Name: Green Tea\nUnit: Oz", "Green Tea", "Oz. Green Tea"),
    ("\n\n Plain first line \nsecond", "Plain first line", "Plain first line second"),
    ("Bullet Point 1: x\nItem Name: Late Name\n", "Late Name", "Late Name x"),
    ("ITEM NAME : Loud Name\r\nItem Name: second", "Loud Name", "Loud Name second"),
    ("Value: 72.0\nUnit: Oz\nBullet Point 1: Green Tea", "Green Tea", "72 Oz. Green Tea"),
    ("Value: 72.0\nProduct Description: Green Tea\nUnit: Oz\nmore", "Green Tea", "72 Oz. Green Tea more"),
    ("value: 72.0\n Unit : Oz\n Green Tea", "Green Tea", "72 Oz. Green Tea"),
    ("Value: 72.0\nUnit: Oz\n", "", "72 Oz."),
    ("Item Name: \nBullet Point 1: Green Tea\nValue: 1", "Green Tea", "1. Green Tea"),
    ("Item Name:\nItem Name: Green Tea", "Green Tea", "Green Tea"),
    ("Item Name: Green&nbsp;Tea\u200b &amp;amp;\t Jam", "Green Tea & Jam", "Green Tea & Jam"),
    ("Item Name: Ｇｒｅｅｎ Tea&#10;Value: 5", "Green Tea Value: 5", "Green Tea Value: 5"),
    ("", "", ""),
    (None, "", ""),
]


@pytest.mark.parametrize(("content", "title", "composed"), TITLES)
def test_everybody_reads_the_same_title(content: str | None, title: str, composed: str) -> None:
    """Once the report took the first line for it, features kept a label in capitals, and a text that began with its
    Value line had one title for the encoders and another for features."""
    frame = pl.DataFrame({"catalog_content": [content]}, schema={"catalog_content": pl.String})
    assert split_sections(frame)["item_name"].to_list() == [title]
    assert frame.select(shown_title(pl.col("catalog_content"))).item() == (title or "(no text)")
    assert compose_texts([content]) == [composed]
    named = pl.DataFrame({"catalog_content": [f"Item Name: {title}"]})
    if title:
        assert title_keys(frame["catalog_content"]).equals(title_keys(named["catalog_content"]))


def test_texts_that_differ_in_escapes_alone_are_duplicates() -> None:
    """Also where the title says too little and the whole text is compared."""
    keys = title_keys(pl.Series(["Tea\nUnit:&nbsp;Oz", "Tea\r\nUnit: \tOz", "Tea\nUnit: Lb"]))
    assert keys[0] == keys[1] != keys[2]


def test_long_titles_are_shortened() -> None:
    frame = pl.DataFrame({"text": ["x" * 140, "Item Name: " + "a " * 80]})
    assert frame.select(shown_title(pl.col("text"))).to_series().to_list() == ["x" * 140, "a " * 69 + "a…"]


def test_packs_are_read_from_a_title_without_its_label() -> None:
    assert compose_texts(["\nTea (Pack of 6)\nHot\nUnit: Oz"]) == ["Oz, pack 6. Tea (Pack of 6) Hot"]
