"""What Prefect costs a whole run, in seconds of CPU.

    python benchmarks/prefect_overhead.py [--rows N]

The sample run by the local runner, by the flow with a running server, and by the flow with a temporary server of its
own; each once from an empty store and once again with everything cached. CPU is that of the command and of all
processes that it started, a temporary server among them; what a running server spends on the run stands beside it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.download_support import measured


@contextmanager
def running_server(home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A server in a process of its own; its address and process."""
    os.environ["PREFECT_HOME"] = str(home)
    from flows.temporary_server import TemporaryServer

    with TemporaryServer() as server:
        assert server.process is not None
        yield server.api_url, psutil.Process(server.process.pid)


def spent(process: psutil.Process | None) -> float:
    """Seconds of CPU that a process has used."""
    if process is None:
        return 0.0
    times = process.cpu_times()
    return times.user + times.system


def main() -> None:
    """Print a line per run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1500)
    options = parser.parse_args()
    print(f"{'run':<24} {'store':<7} {'CPU, s':>7} {'wall, s':>8} {'server, s':>10}")
    for name in ("local runner", "flow, running server", "flow, temporary server"):
        with tempfile.TemporaryDirectory() as scratch:
            runner = "local" if name == "local runner" else "processes"
            command = [
                sys.executable, "-m", "flows.cli", "demo", "--rows", str(options.rows), "--output", f"{scratch}/out",
                "--artifacts", f"{scratch}/artifacts", "--set", f"resources.runner={runner}", "--quiet",
            ]  # fmt: skip
            server = running_server(Path(scratch) / "server") if "running" in name else nullcontext((None, None))
            with server as (address, process):
                environment = {"PREFECT_HOME": f"{scratch}/home", "DO_NOT_TRACK": "1"}
                if address:
                    environment["PREFECT_API_URL"] = address
                for store in ("empty", "cached"):
                    before = spent(process)
                    usage = measured(command, environment=environment)
                    cost = spent(process) - before
                    print(f"{name:<24} {store:<7} {usage.cpu:>7.1f} {usage.wall:>8.1f} {cost:>10.1f}", flush=True)


if __name__ == "__main__":
    main()
