"""The title that grouping, features, the encoders' texts and the report share."""

import polars as pl
import pytest

from pricing.catalogue.duplicates import title_keys
from pricing.evaluation.run_folder import shown_title
from pricing.features.sections import split_sections
from pricing.pretrained.text import compose_texts

TITLES = [
    ("Item Name: Green Tea\nUnit: Oz", "Green Tea"),
    ("\n\n Plain first line \nsecond", "Plain first line"),
    ("Bullet Point 1: x\nItem Name: Late Name\n", "Late Name"),
    ("ITEM NAME : Loud Name\r\nItem Name: second", "Loud Name"),
    ("", ""),
    (None, ""),
]


@pytest.mark.parametrize(("content", "title"), TITLES)
def test_everybody_reads_the_same_title(content: str | None, title: str) -> None:
    """Once the report took the first line for it, and features kept a label in capitals."""
    frame = pl.DataFrame({"catalog_content": [content]}, schema={"catalog_content": pl.String})
    assert split_sections(frame)["item_name"].to_list() == [title]
    assert title_keys(frame["catalog_content"])[0] == (f"title {title.lower()}" if title else None)
    assert frame.select(shown_title(pl.col("catalog_content"))).item() == title or "(no text)"
    assert compose_texts([content])[0].removeprefix("Oz. ").startswith(title)


def test_long_titles_are_shortened() -> None:
    frame = pl.DataFrame({"text": ["x" * 140, "Item Name: " + "a " * 80]})
    assert frame.select(shown_title(pl.col("text"))).to_series().to_list() == ["x" * 140, "a " * 69 + "a…"]


def test_packs_are_read_from_a_title_without_its_label() -> None:
    assert compose_texts(["\nTea (Pack of 6)\nHot\nUnit: Oz"])[0] == "Oz, pack 6. Tea (Pack of 6) Hot"
