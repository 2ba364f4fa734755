"""Rounded prices against decimal arithmetic."""

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal, localcontext

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pricing.config.ensemble import SubmissionConfig
from pricing.metrics.rounding import catalogue_decimals, round_around, round_prices, shown_price
from pricing.run.submission import measure_rounding, with_decimals

PRICES = st.one_of(st.floats(1e-12, 1e15), st.decimals("0.0001", "99999", places=4).map(float))
DECIMALS = st.integers(0, 6)


def expected(price: float, decimals: int, rounding: str) -> Decimal:
    """Digit by digit: the number as it is printed, cut at the third significant digit or at the decimals, whichever
    comes later. A price that three significant digits round up to the next power of ten needs one place less."""
    with localcontext() as context:
        context.prec = 60
        number = Decimal(str(price))
        leading = number.adjusted()
        if number.quantize(Decimal(10) ** (leading - 2), ROUND_HALF_EVEN).adjusted() > leading:
            leading += 1
        return number.quantize(Decimal(10) ** -max(decimals, 2 - leading), rounding)


@given(PRICES, DECIMALS)
@example(0.00123, 2)
@example(2.675, 2)
@example(0.125, 2)
@example(99.96, 0)
@example(0.09996, 2)
@example(1e-12, 0)
@example(1e15, 6)
@example(2e-300, 0)
@example(1.7e308, 6)
def test_a_price_is_the_nearest_decimal_and_keeps_three_digits(price: float, decimals: int) -> None:
    (text,) = round_prices(np.array([price]), decimals)
    found = Decimal(text)
    if 1e-12 <= price <= 1e15:
        assert found == expected(price, decimals, ROUND_HALF_EVEN)
    assert found > 0
    assert len(found.as_tuple().digits) >= 3
    assert abs(found - Decimal(price)) <= Decimal(price) * Decimal("0.005")
    assert -found.as_tuple().exponent >= decimals  # type: ignore[operator]
    assert "e" not in text.lower()
    # what was rounded once stays as it is
    assert round_prices(np.array([float(text)]), decimals).to_list() == [text]


@given(PRICES, st.floats(0.01, 1), st.floats(1, 100), DECIMALS)
@example(0.9996, 0.99999, 1.0001, 2)
@example(5.01, 1.0, 1.0, 2)
def test_an_interval_is_rounded_outward(price: float, down: float, up: float, decimals: int) -> None:
    low, high = price * down, price * up
    (middle,) = round_prices(np.array([price]), decimals)
    (lower,) = round_around(np.array([price]), np.array([low]), decimals, upper=False)
    (upper,) = round_around(np.array([price]), np.array([high]), decimals, upper=True)
    assert 0 < Decimal(lower) <= Decimal(middle) <= Decimal(upper)
    assert float(lower) <= low
    assert float(upper) >= high
    assert Decimal(lower) in (expected(low, decimals, ROUND_FLOOR), Decimal(middle))
    assert Decimal(upper) in (expected(high, decimals, ROUND_CEILING), Decimal(middle))


@given(st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=2), DECIMALS)
def test_rounding_keeps_the_order(pair: list[float], decimals: int) -> None:
    cheap, dear = round_prices(np.sort(pair), decimals).cast(pl.Float64)
    assert cheap <= dear


@pytest.mark.parametrize(
    ("price", "decimals", "text"),
    [
        (12.3, 2, "12.30"), (12.345678, 2, "12.35"), (0.00123, 2, "0.00123"), (0.0012345, 2, "0.00123"),
        (0.5344, 2, "0.534"), (1499.7, 0, "1500"), (85.44, 0, "85.4"), (3, 0, "3.00"), (2.675, 2, "2.68"),
        (2.665, 2, "2.66"), (1e-7, 2, "0.000000100"), (123456789.5, 0, "123456790"), (1.5e15, 0, "1500000000000000"),
        (0.99951, 2, "1.00"), (12.3456, 3, "12.346"),
    ],
)  # fmt: skip
def test_examples(price: float, decimals: int, text: str) -> None:
    assert round_prices(np.array([float(price)]), decimals).to_list() == [text]


@pytest.mark.parametrize(
    ("prices", "decimals"),
    [
        ([9.99, 12.5, 100, 3.05], 2),
        ([1200, 980, 15000, 300], 0),  # yen
        ([1.5, 2.0, 13.5, 0.2], 1),
        ([1.234, 0.655, 10.875], 3),  # dinars
        ([0.00123, 0.0004, 0.02], 5),
        ([9.99000000001, 4.99, 12.49999999999], 2),
        ([0.1 + 0.2, 1.1 * 3, 9.99], 2),
        (np.array([9.99, 499.99, 4999.99, 0.05], np.float32).astype(float), 2),
        ([1234567.89, 99.5], 2),
        ([123456789.25, 1e9, 5.75], 2),
        ([9.99] * 97 + [3.14159, 2.71828, 1.41421], 2),  # a few converted ones do not count
        ([100.0] * 80 + [9.99] * 20, 2),
        ([12.35] * 90 + [4.255] * 10, 2),  # half cents of averages
        ([12.35] * 70 + [4.255] * 30, 3),
        (np.random.default_rng(0).lognormal(3, 1, 500), 2),  # no common ones
        ([], 2),
    ],
)
def test_a_catalogues_own_decimals(prices: list[float], decimals: int) -> None:
    assert catalogue_decimals(np.array(prices, dtype=float)) == decimals


@given(st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_decimals_are_found_again(decimals: int, seed: int) -> None:
    """Prices that were rounded to so many decimals have so many, whether they were stored in double precision, with a
    float's noise, or (below 1,000) in single precision."""
    rng = np.random.default_rng(seed)
    prices = np.round(rng.uniform(1, 1000, 200), decimals)
    for stored in (prices, prices * (1 + 2e-14), prices.astype(np.float32).astype(float)):
        assert catalogue_decimals(stored) == decimals


def test_the_setting_goes_before_the_catalogue() -> None:
    prices = np.array([9.99, 4.5])
    assert with_decimals(SubmissionConfig(), prices).decimals == 2
    assert with_decimals(SubmissionConfig(decimals=0), prices).decimals == 0
    with pytest.raises(ValueError, match="decimals"):
        SubmissionConfig(decimals=-1)


def test_what_rounding_costs_is_measured() -> None:
    """One price of 10.004 for 10.00: rounding makes it right, worth its whole SMAPE."""
    found = measure_rounding(np.array([10.0]), np.array([10.004]), SubmissionConfig(decimals=2), "holdout")
    assert found == {"decimals": 2, "rows": "holdout", "smape_change": pytest.approx(-200 * 0.004 / 20.004)}


@given(PRICES, DECIMALS)
def test_a_shown_price_is_the_submissions_with_commas(price: float, decimals: int) -> None:
    shown = shown_price(np.float64(price), decimals)
    assert [shown.replace(",", "")] == round_prices(np.array([price]), decimals).to_list()
    whole = shown.split(".")[0]
    assert whole == f"{int(whole.replace(',', '')):,}"
