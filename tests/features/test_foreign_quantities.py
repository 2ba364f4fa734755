"""Quantities of German, French, Spanish and Italian titles and lines, and that English ones are left alone."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.features.fields import unit_names, unread_amounts
from pricing.features.foreign_quantities import in_english
from pricing.features.quantity import quantity_features
from pricing.features.sections import split_sections
from pricing.features.units import FOREIGN, UNITS
from pricing.features.vocabulary import VOCABULARY
from tests.features.foreign_cases import ENGLISH, TITLES, VALUES


def read(texts: list[str]) -> list[dict]:
    return quantity_features(split_sections(pl.DataFrame({"catalog_content": texts}))).rows(named=True)


def english(*texts: str) -> list[str]:
    return in_english(pl.Series(texts)).to_list()


def amount(number: float, unit: str) -> tuple[str, object]:
    return UNITS[unit].dimension, pytest.approx(number * UNITS[unit].factor, rel=1e-9)


@pytest.mark.parametrize("language", TITLES)
def test_titles_of_a_language(language: str) -> None:
    cases = TITLES[language]
    wrong = []
    for case, row in zip(cases, read([f"Item Name: {title}" for title, *_ in cases]), strict=True):
        title, number, unit, packs, pieces = case
        found = (row["ipq_family"], row["ipq_amount"])
        if (*found, row["ipq_pack"], row["ipq_pieces"]) != (*amount(number, unit), packs, pieces):
            wrong.append((title, *found, row["ipq_pack"], row["ipq_pieces"]))
    assert len(cases) >= 25
    assert not wrong


def test_values_and_units() -> None:
    rows = read([f"Item Name: X\nValue: {value}\nUnit: {unit}" for value, unit, *_ in VALUES])
    wrong = [
        (case, row["ipq_family"], row["ipq_amount"]) for case, row in zip(VALUES, rows, strict=True)
        if (row["ipq_family"], row["ipq_amount"]) != amount(*case[2:])
    ]  # fmt: skip
    assert not wrong


def test_english_titles_stay_letter_by_letter() -> None:
    titles = [title.lower() for title in ENGLISH]
    assert english(*titles) == titles


def test_a_size_in_a_description() -> None:
    texts = ["Inhalt: 500 g", "Peso neto: 1,5 kg", "Poids net 250 g", "Contenuto: 75 cl", "Mit Liebe gemacht"]
    texts = [f"Item Name: X\nProduct Description: {text}" for text in texts]
    assert [row["ipq_amount"] for row in read(texts)] == [500, 1500, 250, 750, None]


def test_a_count_said_again_in_another_language_is_one_count() -> None:
    (row,) = read(["Item Name: Chicken Spread 4 oz (Pack of 2) Pasta de Pollo (2 Unidades)"])
    assert (row["ipq_pack"], row["ipq_pieces"]) == (2, None)


def test_every_noun_is_read_beside_its_number() -> None:
    """Also those that no title of the tables has; all of them pass what keeps English catalogues fast."""
    nouns = [(noun, word) for word, nouns in VOCABULARY["foreign_nouns"].items() for noun in nouns]
    assert english(*(f"6 {noun} bio" for noun, _ in nouns)) == [f"6 {word} bio" for _, word in nouns]
    led = [(noun, word) for word, nouns in VOCABULARY["foreign_led"].items() for noun in nouns]
    assert english(*(f"bio {noun} de 6" for noun, _ in led)) == [f"bio {word} of 6" for _, word in led]


def test_every_unit_of_another_language_is_known() -> None:
    spellings = pl.DataFrame({"unit": [f" {spelling.upper()} " for spelling in FOREIGN]})
    assert unit_names(spellings["unit"]).to_list() == list(FOREIGN.values())


WRITTEN = {
    "German": ("Gramm", "Liter", "Stück", "{}er Pack"),
    "French": ("grammes", "litres", "pièces", "lot de {}"),
    "Spanish": ("gramos", "litros", "unidades", "pack de {}"),
    "Italian": ("grammi", "litri", "pezzi", "confezione da {}"),
}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    language=st.sampled_from(sorted(WRITTEN)),
    grams=st.integers(1, 49_999),
    centilitres=st.integers(1, 9_999),
    pieces=st.integers(1, 9_999),
    packs=st.integers(2, 99),
)
def test_what_is_written_is_read(language: str, grams: int, centilitres: int, pieces: int, packs: int) -> None:
    """Points part thousands and a comma decimals, in each language's words; a pack beside them multiplies."""
    mass, volume, piece, pack = WRITTEN[language]
    thousands, several = f"{grams:,}".replace(",", "."), pack.format(packs)
    decimals, counted = f"{centilitres / 100:.2f}".replace(".", ","), f"{pieces:,}".replace(",", ".")
    titles = [f"{thousands} {mass}", f"{thousands} g, {several}", f"{decimals} {volume}", f"{decimals} l, {several}",
              f"{counted} {piece}", several]  # fmt: skip
    found = [(row["ipq_family"], row["ipq_amount"]) for row in read([f"Item Name: Probe {title}" for title in titles])]
    assert found == [amount(grams, "g"), amount(grams * packs, "g"), amount(centilitres, "cl"),
                     amount(centilitres * packs, "cl"), ("count", pieces), ("count", packs)]  # fmt: skip


def test_unread_amounts_are_counted_with_the_commonest_first() -> None:
    values = pl.Series(
        "amount:weight_kg", ["1,5", "500 g", "heavy", "3 Furlong", "heavy", "0", "", None, "n/a", "2 Stück"]
    )
    assert list(unread_amounts(values, "kg").items()) == [("heavy", 2), ("3 Furlong", 1)]
    assert unread_amounts(pl.Series([], dtype=pl.String), "kg") == {}
