"""Currencies beside prices: by sign or code, on either side, and never guessed."""

import pytest

from pricing.catalogue.currencies import CODES, SHARED, currency_of, one_currency, price_sign


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_names_its_currency(code: str) -> None:
    assert currency_of(code) == currency_of(f" {code}. ") == code


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ("$", "$"), ("US$", "USD"), ("€", "EUR"), ("eur", "EUR"), ("Euro", "EUR"), ("£", "GBP"), ("kr", "kr"),
        ("kr.", "kr"), ("Fr.", "CHF"), ("SFr.", "CHF"), ("Rs.", "Rs"), ("₹", "INR"), ("R$", "BRL"), ("zł", "PLN"),
        ("Kč", "CZK"), ("￥", "¥"), ("", ""), ("per kg", None), ("all", None), ("%", None), ("ab", None), ("XYZ", None),
    ],
)  # fmt: skip
def test_signs_and_words(text: str, currency: str | None) -> None:
    assert currency_of(text) == currency


@pytest.mark.parametrize(
    ("before", "behind", "currency"),
    [
        ("$", "USD", "USD"), ("$", "CAD", "CAD"), ("USD $", "", "USD"), ("", "€ EUR", "EUR"), ("kr", "SEK", "SEK"),
        ("€", "€", "EUR"), ("", "", ""), ("$", "EUR", None), ("EUR", "USD", None), ("from", "EUR", None),
    ],
)  # fmt: skip
def test_a_code_says_what_a_shared_sign_means_and_two_currencies_are_none(
    before: str, behind: str, currency: str | None
) -> None:
    assert one_currency(before, behind) == currency


def test_signs_that_are_shown_are_read_again() -> None:
    for currency in CODES | set(SHARED):
        shown = currency_of(price_sign(currency))
        assert shown is not None
        assert shown == currency or currency in SHARED.get(shown, ())
