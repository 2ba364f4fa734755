"""Regular expressions that stay compiled from one call to the next.

polars compiles a regular expression where it is used, and each thread keeps the 32 that it used last. The features of
one product use 150. Done in one thread, each of them is compiled again for every product, which takes ten times as
long as the matching: 9 ms for the grammar of quantities alone.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import ParamSpec, TypeVar

import polars as pl

P = ParamSpec("P")
R = TypeVar("R")


def keeping_regexes(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function in a thread of its own, whose regular expressions stay compiled.

    Such functions may call each other, but not in a circle. They use at most 32 regular expressions, in `evaluate`, on
    a Series, or in ``select_seq`` and ``with_columns_seq`` of several columns: other methods of polars hand them to its
    pool of threads. What a function returns does not depend on the thread.

    Parameters
    ----------
    function : callable
        Its calls are done one after the other.
    """
    threads: dict[int, ThreadPoolExecutor] = {}

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        # a forked process has none of its parent's threads
        process = os.getpid()
        if process not in threads:
            threads.setdefault(process, ThreadPoolExecutor(1, thread_name_prefix=function.__name__))
        return threads[process].submit(function, *args, **kwargs).result()

    return run


def evaluate(frame: pl.DataFrame, expression: pl.Expr) -> pl.Series:
    """Evaluate an expression over n rows in this thread: polars hands one column to its pool, and two not."""
    return frame.select_seq(expression.alias("made"), pl.first().alias("beside"))["made"]
