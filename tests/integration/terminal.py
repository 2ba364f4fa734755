"""A `pricing` command in a real pseudo-terminal, or in the background, with what it has started."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import psutil

from tests.conftest import ROOT

DEADLINE = 200.0
"""Seconds for anything to happen on a small busy machine."""


def environment(root: Path, server: str = "") -> dict[str, str]:
    """Of a command with a home of its own, that uses a server or starts one."""
    known = os.environ | {"PREFECT_HOME": str(root / "home"), "DO_NOT_TRACK": "1", "COLUMNS": "200"}
    return known | {"PREFECT_SERVER_ANALYTICS_ENABLED": "false"} | ({"PREFECT_API_URL": server} if server else {})


class Terminal:
    """The command is the leader of a terminal's foreground group, as it is where somebody types it."""

    def __init__(self, root: Path, *command: str, server: str = "") -> None:
        ours, theirs = pty.openpty()
        self.terminal, self.said = ours, ""
        # `start_new_session` and the first terminal that is opened make it the controlling one
        script = "import os, sys; os.close(os.open(os.ttyname(0), os.O_RDWR)); os.execv(sys.executable, sys.argv[1:])"
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, sys.executable, "-m", "flows.cli", *command], cwd=ROOT,
            env=environment(root, server), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()  # where the test failed before it could
        self.process.wait()
        os.close(self.terminal)

    def read_until(self, text: str) -> None:
        """Read what is shown until the text comes, or to the end of all that writes there if it is empty."""
        until = time.monotonic() + DEADLINE
        while not text or text not in self.said:
            assert time.monotonic() < until, self.said[-4000:]
            if select.select([self.terminal], [], [], 0.2)[0]:
                try:
                    self.said += os.read(self.terminal, 65536).decode("utf-8", "replace")
                except OSError:  # nobody has it open any more
                    assert not text, self.said[-4000:]
                    return

    def press_ctrl_c(self) -> None:
        """The terminal sends the interrupt, to the command and to all that it started."""
        os.write(self.terminal, b"\x03")

    def started(self) -> list[psutil.Process]:
        """What the command has started and is alive."""
        return psutil.Process(self.process.pid).children(recursive=True)
