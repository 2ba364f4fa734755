"""What a pool's process says of the step it is at, on its way to the process that shows it."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

__all__ = ["listen", "open_channel", "say"]

_writer: Connection | None = None
"""Of this process, if it is one of a pool."""


def open_channel(writer: Connection) -> None:
    """Let `say` in this process write there."""
    global _writer
    _writer = writer


def say(text: str) -> None:
    """Tell the process that runs the flow what this one is at; does nothing where there is none."""
    if _writer is not None:
        with suppress(OSError):  # that process has ended
            _writer.send_bytes(text.encode())


@contextmanager
def listen(readers: Mapping[str, Connection], tell: Callable[[str, str], object]) -> Iterator[None]:
    """Hand on what the pools say until the block ends, from a thread.

    Parameters
    ----------
    readers : mapping of str to Connection
        Name of a pool to the end that it does not write to.
    tell : callable
        Takes the pool's name and a text.
    """
    names = {id(reader): name for name, reader in readers.items()}
    stopped, stop = Pipe(duplex=False)

    def work() -> None:
        while True:
            for ready in wait([*readers.values(), stopped]):
                if ready is stopped:
                    return
                assert isinstance(ready, Connection)
                tell(names[id(ready)], ready.recv_bytes().decode())

    thread = threading.Thread(target=work, daemon=True, name="channel")
    thread.start()
    try:
        yield
    finally:
        stop.send_bytes(b"")
        thread.join()
