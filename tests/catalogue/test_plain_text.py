"""Catalogue texts made plain, against Python's own tables."""

import html
import unicodedata

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.catalogue.plain_text import plain_text
from pricing.features.engineer import FeatureEngineer
from pricing.features.sections import split_sections


def plain(text: str | None) -> str | None:
    return pl.DataFrame({"text": [text]}, schema={"text": pl.String}).select(plain_text(pl.col("text"))).item()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("12&nbsp;oz", "12 oz"),
        ("12&nbsp oz", "12 oz"),
        ("12&#160;oz &#x41;", "12 oz A"),
        ("12&amp;amp;nbsp;oz", "12 oz"),
        ("Salt &amp; Pepper", "Salt & Pepper"),
        ("AT&T Salt&pepper R&Copy &bogus; &;", "AT&T Salt&pepper R&Copy &bogus; &;"),
        ("a&#10;Value: 3", "a Value: 3"),
        ("１２ ｋｇ ﬂ ㎖", "12 kg fl ml"),
        ("1½ lb, ½ lb, 2⁄3", "1 1/2 lb, 1/2 lb, 2/3"),
        ("1\u2009250 g 1&#8239;500 ml 12\u2009oz", "1250 g 1500 ml 12 oz"),
        ("50\u00ad0\u200b g\ufeff", "500 g"),
        ("a\t b \u00a0 c\u3000d\x00e", "a b c d e"),
        ("a  b\r\nc\rd\n\ne", "a b\nc\nd\n\ne"),
        ("Tabasco™ 5 m² 10g¹", "Tabasco 5 m2 10g"),
        ("Crème “brûlée” – 5’", "Crème “brûlée” – 5’"),
        (None, None),
    ],
)
def test_plain_texts(written: str | None, read: str | None) -> None:
    assert plain(written) == read


@settings(max_examples=50)
@given(st.text(st.characters(codec="utf-8", exclude_characters="&™℠´˚²³¹⁰⁴⁵⁶⁷⁸⁹¼½¾"), max_size=60))
def test_a_text_without_entities_is_nfkc_without_invisible_characters(text: str) -> None:
    """Line by line, white space run together."""
    folded = unicodedata.normalize("NFKC", text.replace("\r\n", "\n").replace("\r", "\n")).replace("\u2044", "/")
    kept = "".join(letter for letter in folded if unicodedata.category(letter) != "Cf")
    spaced = "".join(
        " " if letter != "\n" and (letter.isspace() or unicodedata.category(letter) == "Cc") else letter
        for letter in kept
    )
    found = plain(text)
    assert found is not None
    assert [line.split() for line in found.split("\n")] == [line.split() for line in spaced.split("\n")]
    assert "  " not in found


@settings(max_examples=30)
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
def test_escaping_changes_nothing(text: str) -> None:
    """A feed that escapes once or twice is read as one that does not, unless the text itself looks escaped."""
    if html.unescape(text) == text:
        assert plain(html.escape(text)) == plain(html.escape(html.escape(text))) == plain(text)


def test_words_are_no_entities_and_ids_stay() -> None:
    """TF-IDF had the words nbsp and amp."""
    texts = ["Item Name: Rye&nbsp;Flour &amp; Oats", "Item Name: Rye&nbsp;Flour &amp; Barley"] * 2
    frame = pl.DataFrame({"sample_id": ["a&amp;1", "a&amp;2", "a&nbsp;3", "４"], "catalog_content": texts})
    engineer = FeatureEngineer().fit(frame)
    assert engineer.tfidf is not None
    words = {term for block in engineer.tfidf.blocks for term in block.terms if block.analyzer == "word"}
    assert "rye flour" in words
    assert not any({"nbsp", "amp"} & set(word.split()) for word in words)
    assert engineer.transform(frame).ids.to_list() == frame["sample_id"].to_list()
    assert split_sections(frame)["text"][0] == "Item Name: Rye Flour & Oats"
