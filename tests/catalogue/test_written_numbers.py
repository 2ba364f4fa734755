"""Prices and numbers as people write them: each is read back exactly, or by nobody's guess."""

from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.catalogue.written_numbers import DecimalMark, is_plain, read_written
from pricing.errors import CatalogueError

AROUND = [
    ("", ""),
    ("$", ""),
    ("", " EUR"),
    ("", "\xa0€"),
    ("CHF ", ""),
    ("Rs.", ""),
    ("kr ", ""),
    ("", " kr."),
]
# name of a style to its mark and to what parts thousands
STYLES = {
    "plain": (".", ""), "English": (".", ","), "Swiss": (".", "'"), "Swiss, typeset": (".", "’"), "blank": (".", " "),
    "German": (",", "."), "French": (",", "\u202f"), "Swedish": (",", "\xa0"), "comma": (",", ""),
}  # fmt: skip


def parted(digits: str, separator: str) -> str:
    """Thousands of a whole number, by an oracle that is no regular expression."""
    return f"{int(digits):,}".replace(",", separator) if separator else digits


def read(*written: str | None) -> list[tuple[Any, ...]]:
    return read_written(pl.Series(written, dtype=pl.String)).rows()


def mark_of(*written: str, **known: Any) -> str | None:
    values = pl.Series(written, dtype=pl.String)
    mark = DecimalMark("prices.csv: column price", **known)
    mark.settle(values, read_written(values), lambda place: f"row {place + 1}")
    return mark.mark


@given(
    number=st.decimals(Decimal("0.01"), Decimal("99999999.99"), places=2),
    style=st.sampled_from(sorted(STYLES)),
    around=st.sampled_from(AROUND),
    minus=st.sampled_from(["", "-", "−"]),
)
def test_a_number_of_two_decimals_is_read_back_exactly_in_every_style(
    number: Decimal, style: str, around: tuple[str, str], minus: str
) -> None:
    mark, separator = STYLES[style]
    whole, _, cents = f"{number:.2f}".partition(".")
    before, behind = around
    [(point, comma, *texts)] = read(f"{minus}{before}{parted(whole, separator)}{mark}{cents}{behind}")
    expected = float(-number if minus else number)
    assert (point, comma) == ((expected, None) if mark == "." else (None, expected))
    assert texts == [before.strip(), behind.strip()]


@given(st.floats(1e-300, 1e300))
def test_a_machines_float_is_read_to_the_last_bit(number: float) -> None:
    assert is_plain(pl.Series([repr(number)])).item()
    assert read(repr(number))[0][0] == number


@given(st.integers(1, 10**9), st.sampled_from(["", " ", "'"]), st.sampled_from(AROUND))
def test_a_whole_number_needs_no_mark(number: int, separator: str, around: tuple[str, str]) -> None:
    [(point, comma, *_)] = read(around[0] + parted(str(number), separator) + around[1])
    assert point == comma == number


@given(st.integers(1, 999), st.integers(0, 999), st.sampled_from(",."))
def test_three_digits_behind_a_single_mark_are_both_readings(before: int, behind: int, sign: str) -> None:
    [(point, comma, *_)] = read(f"{before}{sign}{behind:03}")
    thousand, fraction = float(1000 * before + behind), float(f"{before}.{behind:03}")
    assert (point, comma) == ((thousand, fraction) if sign == "," else (fraction, thousand))


@pytest.mark.parametrize(
    ("written", "point", "comma"),
    [
        ("0,299", None, 0.299),
        ("1.299.000", None, 1_299_000.0),
        ("1299.000", 1299.0, None),
        (".99", 0.99, None),
        ("Rs.99", 99.0, 99.0),
        ("₹1,23,456", 123_456.0, None),
        ("12,- €", 12.0, 12.0),
        ("CHF 12.–", 12.0, 12.0),
        ("1e3", 1000.0, 1000.0),
        ("2.5e0", 2.5, 2.5),
        ("1.299,-", None, 1299.0),
        ("1,299.-", 1299.0, None),
        ("$-5", -5.0, -5.0),
        ("-$5", -5.0, -5.0),
        ("\u200e12,99\u200e €", None, 12.99),
        ("12.", 12.0, 12.0),
    ],
)
def test_spellings_that_are_read(written: str, point: float | None, comma: float | None) -> None:
    assert read(written)[0][:2] == (point, comma)


@pytest.mark.parametrize(
    "written",
    ["free", "", "€", "12.99-15.99", "2 x 4.99", "1,2,3", "12 50", "1.23.45", "1,299.00,5", "12.99 (was 15.99)",
     "12⁹⁹.5", "0x10", "1_000", "1'2345", None],
)  # fmt: skip
def test_what_is_no_single_number_is_not_read(written: str | None) -> None:
    assert read(written)[0][:2] == (None, None)


@pytest.mark.parametrize(
    ("written", "mark"),
    [
        (["1.299", "12,99"], ","),
        (["1,299", "12.99"], "."),
        (["1,299", "4.5"], "."),
        (["1.299", "4.890000000000001"], "."),
        (["1.299", "1,299.00"], "."),
        (["4", "1 200", "free"], None),
        (["12,99", "13,99", "4.5"], ","),
    ],
)
def test_values_prove_the_mark(written: list[str], mark: str | None) -> None:
    assert mark_of(*written) == mark


def test_values_that_prove_nothing_are_refused_with_both_readings() -> None:
    for written, readings in (("1,299", ("1299", "1.299")), ("1.299", ("1.299", "1299"))):
        with pytest.raises(CatalogueError) as caught:
            mark_of("4", written, "12")
        message = str(caught.value)
        assert f"'{written}' (row 2) is {readings[0]} with a decimal point and {readings[1]} with a decimal" in message
        assert "catalogue.decimal_mark" in message
    assert mark_of("4", "1,299", mark=".") == "."
    assert mark_of("4", "1,299", fallback=",") == ","
    assert mark_of("4,5", "1.299", fallback=".") == ",", "what the file proves comes before what is usual"


def test_as_many_proofs_of_one_mark_as_of_the_other_are_refused() -> None:
    with pytest.raises(CatalogueError, match=r"'4\.99' \(row 2\).*'12,99' \(row 1\)"):
        mark_of("12,99", "4.99")
