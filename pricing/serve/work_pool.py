"""Work beside the event loop: a few threads, and a limit to what waits for them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from starlette.exceptions import HTTPException

Result = TypeVar("Result")


class WorkPool:
    """Threads that price, and the requests that may be at it or wait for it.

    Parameters
    ----------
    workers : int
        Number of threads.
    limit : int
        Maximum number of requests at a time.
    seconds : float
        Maximum time of one piece of work, waiting included.

    Attributes
    ----------
    taken : int
        Number of requests at it now.
    """

    def __init__(self, workers: int, limit: int, seconds: float) -> None:
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="pricing")
        self.limit, self.seconds, self.taken = limit, seconds, 0

    @property
    def full(self) -> bool:
        """Whether no further request is let in."""
        return self.taken >= self.limit

    def enter(self) -> "Place":
        """Let a request in; called on the event loop.

        Raises
        ------
        HTTPException
            429 with Retry-After, where the limit is reached.
        """
        if self.full:
            said = f"{self.taken} requests are being priced, which is the limit; try again"
            raise HTTPException(429, said, {"Retry-After": "1"})
        return Place(self)

    def close(self) -> None:
        """Wait for the work that has begun."""
        self._threads.shutdown(cancel_futures=True)


class Place:
    """One request's place among those at work; a context manager.

    It is free again when the request was answered and no thread works for it any more: a thread cannot be stopped.
    """

    def __init__(self, pool: WorkPool) -> None:
        self._pool, self._holders = pool, 1
        pool.taken += 1

    async def do(self, work: Callable[..., Result], *args: Any) -> Result:
        """Do work in a thread.

        Raises
        ------
        HTTPException
            503, where it took too long. What has not begun is dropped.
        """
        loop, made = asyncio.get_running_loop(), self._pool._threads.submit(work, *args)
        self._holders += 1

        def done(_: Future[Result]) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self.leave)

        made.add_done_callback(done)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(made), self._pool.seconds)
        except TimeoutError:
            said = f"the prices took longer than {self._pool.seconds:g} s; send fewer products at a time, or try again"
            raise HTTPException(503, said, {"Retry-After": "10"}) from None

    def leave(self) -> None:
        """Give the place back, once per holder: the request, and each of its threads."""
        self._holders -= 1
        if not self._holders:
            self._pool.taken -= 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
