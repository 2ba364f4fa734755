"""What a lane's process says of the step it is at, and what it logs, on its way to the process that shows it."""

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

__all__ = ["listen", "log_to_channel", "open_channel", "say"]

_writer: Connection | None = None
"""Of this process, if it is a lane's."""


def open_channel(writer: Connection) -> None:
    """Let `say` in this process write there, and tell its number, by which it is known how it ended."""
    global _writer
    _writer = writer
    _send({"pid": os.getpid()})


def say(text: str) -> None:
    """Tell the process that runs the plan what this one is at; does nothing where there is none."""
    _send({"say": text})


def log_to_channel(level: int) -> None:
    """Send what the library logs in this process, from a level on, to the process that runs the plan."""
    logger = logging.getLogger("pricing")
    logger.handlers, logger.propagate = [_ChannelHandler()], False
    logger.setLevel(level)


class _ChannelHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _send({"log": [record.name, record.levelno, record.getMessage()]})


def _send(message: Mapping[str, object]) -> None:
    if _writer is not None:
        with suppress(OSError):  # that process has ended
            _writer.send_bytes(json.dumps(message).encode())


@contextmanager
def listen(
    readers: Mapping[str, Connection],
    tell: Callable[[str, str], object],
    started: Callable[[str, int], object],
) -> Iterator[None]:
    """Hand on what the lanes say until the block ends, from a thread; what they log goes to this process's loggers.

    Parameters
    ----------
    readers : mapping of str to Connection
        Name of a lane to the end that it does not write to.
    tell : callable
        Takes the lane's name and a text.
    started : callable
        Takes the lane's name and the number of its new process.
    """
    names = {id(reader): name for name, reader in readers.items()}
    stopped, stop = Pipe(duplex=False)

    def work() -> None:
        while True:
            for ready in wait([*readers.values(), stopped]):
                if ready is stopped:
                    return
                assert isinstance(ready, Connection)
                message = json.loads(ready.recv_bytes())
                if "say" in message:
                    tell(names[id(ready)], message["say"])
                elif "pid" in message:
                    started(names[id(ready)], message["pid"])
                else:
                    name, level, text = message["log"]
                    logging.getLogger(name).log(level, "%s", text)

    thread = threading.Thread(target=work, daemon=True, name="channel")
    thread.start()
    try:
        yield
    finally:
        stop.send_bytes(b"")
        thread.join()
