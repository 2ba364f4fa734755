"""Running a coroutine from code that is not asynchronous, in a notebook too."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

_T = TypeVar("_T")


def run_to_end(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end, also where a loop runs already: then in a thread of its own.

    Raises
    ------
    BaseException
        Whatever the coroutine raises.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def first_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group: one full disk fails many images, and one message is enough."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
