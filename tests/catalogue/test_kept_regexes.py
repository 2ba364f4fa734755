"""Regular expressions that stay compiled: what they find, and what others cost them."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest

from pricing.catalogue.kept_regexes import evaluate, keeping_regexes

FRAME = pl.DataFrame({"text": ["12 oz, 3 lb", "none", None]})
WORDS = "|".join(f"word{number}s?" for number in range(600))


def large(name: str) -> pl.Expr:
    """Twenty regular expressions that take long to compile."""
    text = pl.col("text")
    for number in range(20):
        text = text.str.replace_all(rf"\b(\d+)(?:{name}{number}|{WORDS})", "$1")
    return text


def seconds(call: Callable[[], object]) -> float:
    """The least CPU time of some calls: other processes take time off a core."""
    taken = []
    for _ in range(5):
        began = time.process_time()
        call()
        taken.append(time.process_time() - began)
    return min(taken)


def test_others_in_between_do_not_cost_a_regex_its_compiled_form() -> None:
    expressions = {name: large(name) for name in ("first", "second")}
    first, second = (keeping_regexes(lambda name=name: evaluate(FRAME, expressions[name])) for name in expressions)

    def both() -> None:
        first()
        second()

    both()
    assert seconds(both) < seconds(lambda: [evaluate(FRAME, one) for one in expressions.values()]) / 3


def test_values_errors_and_missing_texts_come_back_as_from_a_plain_call() -> None:
    @keeping_regexes
    def number(frame: pl.DataFrame, *, unit: str) -> pl.Series:
        if unit not in ("oz", "lb"):
            raise ValueError(unit)
        return evaluate(frame, pl.col("text").str.extract(rf"(\d+) {unit}"))

    assert number(FRAME, unit="lb").to_list() == ["3", None, None]
    assert number(FRAME.clear(), unit="oz").to_list() == []
    with pytest.raises(ValueError, match="stone"):
        number(FRAME, unit="stone")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda unit: number(FRAME, unit=unit)[0], ["oz", "lb"] * 20))
    assert found == ["12", "3"] * 20
