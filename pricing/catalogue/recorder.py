"""Writing outcomes to the manifest in groups, without making anybody wait for more than his own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from pricing.catalogue.manifest import PictureRecord


class GroupRecorder:
    """Group commit: whatever has gathered while one transaction was written goes into the next.

    :meth:`record` returns once its own record is committed, so a picture counts as in flight until a kill can no
    longer lose it, and a kill costs at most as many requests as there were pictures in flight.

    Parameters
    ----------
    save : coroutine function
        Writes a sequence of records in one transaction.
    """

    def __init__(self, save: Callable[[Sequence[PictureRecord]], Awaitable[None]]) -> None:
        self._save = save
        self._waiting: list[tuple[PictureRecord, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def record(self, record: PictureRecord) -> None:
        """Commit one record.

        Raises
        ------
        DownloadError
            The manifest cannot be written.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((record, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await done

    async def close(self) -> None:
        """Wait for what is being written."""
        if self._writer is not None:
            await self._writer

    async def _write(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            error: Exception | None = None
            try:
                await self._save([record for record, _ in group])
            except Exception as raised:
                error = raised
            for _, done in group:
                if done.cancelled():
                    continue
                if error is None:
                    done.set_result(None)
                else:
                    done.set_exception(error)
