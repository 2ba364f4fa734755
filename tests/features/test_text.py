"""Sections, text statistics, keywords and brands, against plain Python."""

import string
import unicodedata

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.config.features import FeaturesConfig
from pricing.features.brand import BrandNames
from pricing.features.keywords import keyword_features
from pricing.features.sections import split_sections
from pricing.features.text_statistics import NUMERIC, text_statistics

QUALITY, DISCOUNT = FeaturesConfig().quality_keywords, FeaturesConfig().discount_keywords
#: Unicode White_Space, which is what a regular expression's \\s means; str.split knows four control characters more
WHITE = set("\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | {
    chr(code) for code in range(0x2000, 0x200B)
}


def sections_of(*texts: str | None) -> pl.DataFrame:
    return split_sections(pl.DataFrame({"catalog_content": texts}, schema={"catalog_content": pl.String}))


def words_of(text: str) -> list[str]:
    return "".join(" " if letter in WHITE else letter for letter in text).split(" ")


def test_sections_of_a_whole_text() -> None:
    text = (
        "Item Name: Rye Flour: Fine, 2 lb\nBullet Point 1: One\nBullet Point 2: Two: too\nBullet Point: Three\n"
        "Product Description: First line.\nSecond line.\nValue: 32.0\nUnit: Ounce\n"
    )
    row = sections_of(text).row(0, named=True)
    assert row["item_name"] == "Rye Flour: Fine, 2 lb"
    assert row["bullets"] == "One\nTwo: too\nThree"
    assert row["bullet_count"] == 3
    assert row["description"] == "First line.\nSecond line."
    assert (row["value"], row["unit"]) == (32.0, "Ounce")


def test_missing_sections() -> None:
    frame = sections_of(
        None, "", "Just a line", "Item Name: X\nValue: None\nUnit: None", "Item Name: X\nValue: -3\nUnit: oz"
    )
    assert frame["item_name"].to_list() == ["", "", "Just a line", "X", "X"]
    assert frame["value"].to_list() == [None] * 5
    assert frame["unit"].to_list() == [None, None, None, None, "oz"]


@settings(max_examples=30)
@given(st.text(max_size=200))
def test_property_6_text_statistics_correctness(text: str) -> None:
    """Property 6: Text statistics correctness. Counts and shares of the plain text equal those that Python counts."""
    sections = sections_of(text)
    row, text = text_statistics(sections).row(0, named=True), sections["text"][0]
    words = [word for word in words_of(text) if word]
    letters = [letter for letter in text if unicodedata.category(letter) in ("Lu", "Ll")]
    upper = [letter for letter in letters if unicodedata.category(letter) == "Lu"]
    digits = [letter for letter in text if unicodedata.category(letter) == "Nd"]
    assert row["text_characters"] == len(text)
    assert row["text_words"] == len(words)
    assert row["text_word_length"] == pytest.approx(sum(map(len, words)) / len(words) if words else 0)
    assert row["text_digits_share"] == pytest.approx(len(digits) / len(text) if text else 0)
    assert row["text_upper_share"] == pytest.approx(len(upper) / len(letters) if letters else 0)
    assert row["text_punctuation"] == sum(letter in string.punctuation for letter in text)
    assert row["text_exclamations"] == text.count("!")
    assert row["text_non_ascii"] == sum(ord(letter) > 127 for letter in text)


def test_an_empty_text_has_zero_of_everything() -> None:
    assert text_statistics(sections_of("")).row(0) == (0.0,) * len(NUMERIC)


@settings(max_examples=30)
@given(
    st.sampled_from([("quality", word) for word in QUALITY] + [("discount", word) for word in DISCOUNT]),
    st.text(alphabet="xyz ,.\n", max_size=20),
    st.text(alphabet="xyz ,.\n", max_size=20),
    st.sampled_from([str.lower, str.upper, str.title]),
)
def test_property_7_keyword_detection_completeness(kind_word: tuple[str, str], before: str, after: str, case) -> None:  # type: ignore[no-untyped-def]
    """Property 7: Keyword detection completeness. A keyword between other words is found in any letter case."""
    kind, word = kind_word
    text = f"Item Name: {before} {case(word)} {after}"
    row = keyword_features(sections_of(text), QUALITY, DISCOUNT).row(0, named=True)
    assert row[f"{kind}_{word.replace(' ', '_')}"] == 1.0
    assert row[f"has_{kind}"] == 1.0
    assert row[f"{kind}_count"] >= 1.0


def test_keywords_are_whole_words_and_the_value_line_is_none() -> None:
    frame = keyword_features(
        sections_of(
            "Item Name: Impure wholesaler's freshly dealt inorganic tea\nValue: 3\nUnit: Ounce",
            "Item Name: Grass-Fed jerky\nBullet Point 1: great Value!\nValue: 3\nUnit: Ounce",
        ),
        QUALITY,
        DISCOUNT,
    )
    assert frame["quality_count"].to_list() == [0.0, 1.0]
    assert frame["quality_grass_fed"].to_list() == [0.0, 1.0]
    assert frame["discount_value"].to_list() == [0.0, 1.0]


def test_a_keyword_of_regular_expression_characters_is_literal() -> None:
    frame = keyword_features(sections_of("Item Name: a.b (c+)", "Item Name: axb cc"), ("a.b", "(c+)"), ())
    assert frame["quality_count"].to_list() == [2.0, 0.0]
    assert frame["has_discount"].to_list() == [0.0, 0.0]


def test_brand_is_the_longest_learnt_beginning() -> None:
    titles = pl.Series(
        ["Mill Stone Rye Flour"] * 4 + ["Mill Stone Oats", "MILL STONE Spelt"] + ["Luma Tea", "Luma Soap", "Luma Oil"]
        + ["Organic Beans", "Organic Rice", "Organic Oats"] + ["Fine Organic Salt"] * 7
    )  # fmt: skip
    names = BrandNames.fit(titles, min_count=3)
    found = names.transform(
        pl.Series(
            ["Mill Stone, Barley", "Mill Stone Rye Flour 2 lb", "Luma's", "Luma Jam", "Organic Corn", "", "Unheard Of"]
        )
    )
    assert found["brand"].to_list()[:2] == ["mill stone", "mill stone rye flour"]
    assert found["brand"].to_list()[3:] == ["luma", "", "", ""]
    assert found["sub_brand"].to_list()[4] == "organic"
    assert found["brand_known"].to_list()[3:] == [1.0, 0.0, 0.0, 0.0]


def test_brand_names_survive_a_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    names = BrandNames.fit(pl.Series(["Crème & Co Tea", "Crème & Co Jam", "Crème & Co Oil"]), min_count=2)
    names.save(tmp_path / "brands.json")
    assert (
        BrandNames.load(tmp_path / "brands.json").brands == names.brands == {"crème": 3, "crème &": 3, "crème & co": 3}
    )
