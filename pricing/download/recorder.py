"""Writing outcomes to the manifest in groups, without making anybody wait for more than his own."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from pricing.download.manifest import ImageRecord


class GroupRecorder:
    """Group commit by threads: the thread that comes to write takes along what the others have waiting.

    :meth:`record` returns once its own record is committed, so an image counts as in flight until a kill can no
    longer lose it, and a kill costs at most as many requests as there were images in flight.

    Parameters
    ----------
    save : callable
        Writes a sequence of records in one transaction.
    """

    def __init__(self, save: Callable[[Sequence[ImageRecord]], None]) -> None:
        self._save = save
        self._waiting: deque[tuple[ImageRecord, Future[None]]] = deque()
        self._writing = threading.Lock()

    def record(self, record: ImageRecord) -> None:
        """Commit one record.

        Raises
        ------
        DownloadError
            The manifest cannot be written.
        """
        written: Future[None] = Future()
        self._waiting.append((record, written))
        with self._writing:
            if not written.done():
                self._write()
        written.result()

    def _write(self) -> None:
        # appending and taking are atomic, and only the one who holds the lock takes
        group = [self._waiting.popleft() for _ in range(len(self._waiting))]
        try:
            self._save([record for record, _ in group])
        except Exception as error:
            for _, written in group:
                written.set_exception(error)
        else:
            for _, written in group:
                written.set_result(None)
