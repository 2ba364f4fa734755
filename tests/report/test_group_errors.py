"""Errors of groups of products, against a loop over the products."""

import numpy as np
import polars as pl
import pytest

from pricing.metrics.price_metrics import calculate_metrics_by_quantile
from pricing.report.group_errors import errors_by_price, regresses_to_the_mean


def rows(count: int, slope: float = 1.0) -> pl.DataFrame:
    generator = np.random.default_rng(0)
    log_price = generator.normal(3, 1, count)
    return pl.DataFrame({"price": np.exp(log_price), "stack": np.exp(3 + slope * (log_price - 3))})


def test_fifths_by_listed_price_are_those_of_the_metrics() -> None:
    table = rows(503, 0.7)
    expected = calculate_metrics_by_quantile(table["price"].to_numpy(), table["stack"].to_numpy(), 5)
    found = errors_by_price(table, "price")
    assert [(one.rows, one.smape, one.bias, one.low, one.high) for one in found] == [
        tuple(one[name] for name in ("rows", "smape", "bias", "low", "high")) for one in expected
    ]


@pytest.mark.parametrize(("count", "parts"), [(39, 0), (40, 2), (79, 3), (100, 5), (1000, 5)])
def test_no_part_has_under_twenty_products(count: int, parts: int) -> None:
    found = errors_by_price(rows(count), "stack")
    assert len(found) == parts
    assert all(one.rows >= 20 for one in found)
    assert errors_by_price(None, "stack") == []


def test_parts_by_predicted_price_show_no_regression_of_honest_predictions() -> None:
    """Listed prices scatter around them: by listed price they look wrong, by predicted price they do not."""
    generator = np.random.default_rng(1)
    predicted = generator.normal(3, 0.7, 5000)
    table = pl.DataFrame({"price": np.exp(predicted + generator.normal(0, 0.5, 5000)), "stack": np.exp(predicted)})
    listed, by_predicted = errors_by_price(table, "price"), errors_by_price(table, "stack")
    assert regresses_to_the_mean(listed)
    assert listed[0].bias > 20
    assert listed[-1].bias < -20
    assert max(abs(one.bias) for one in by_predicted) < 6
    assert not regresses_to_the_mean(by_predicted[:1])
