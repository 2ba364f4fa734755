"""What the download benchmarks share: photograph-like JPEGs, a server in a process of its own, CPU and memory figures.

Nothing is measured here.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]


def photograph(rng: np.random.Generator, width: int, height: int) -> bytes:
    """A JPEG with structure at all scales and some grain, about 0.2 bytes a pixel as product photographs have."""
    canvas = np.full((height, width, 3), 140.0, np.float32)
    for cells in (4, 8, 16, 32, 64, 128):
        coarse = rng.normal(0, 1, (cells * height // 1024 + 2, cells * width // 1024 + 2, 3)).astype(np.float32)
        for channel in range(3):
            smooth = Image.fromarray(coarse[..., channel]).resize((width, height), Image.Resampling.BICUBIC)
            canvas[..., channel] += 60 / cells**0.6 * np.asarray(smooth)
    canvas += rng.normal(0, 3, (height, width, 1)).astype(np.float32)
    stream = io.BytesIO()
    Image.fromarray(canvas.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def photograph_pool(folder: Path, count: int = 200) -> None:
    """Fill a folder with JPEGs of 500 to 2,000 px, median 1,000, aspect ratios from 1:1 to 1:0.7, either way up."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        side = int(np.clip(1000 * np.exp(rng.normal(0, 0.35)), 500, 2000))
        sides = (side, int(side * rng.uniform(0.7, 1.0)))
        data = photograph(rng, *(sides if rng.random() < 0.5 else sides[::-1]))
        (folder / f"{index}.jpg").write_bytes(data)


@dataclass
class Usage:
    """What a process and its children used."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds, of all of them."""
    peak: int
    """Bytes, the largest resident size of any one process."""
    output: str
    """Standard output."""


def measured(command: list[str], *, environment: dict[str, str] | None = None) -> Usage:
    """Run a command to its end.

    Raises
    ------
    RuntimeError
        It failed.
    """
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | (environment or {}),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        errors: list[str] = []
        reader = threading.Thread(target=lambda: errors.append(process.stderr.read()))  # type: ignore[union-attr]
        reader.start()
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)  # its children's as well, those that it waited for
        process.returncode = os.waitstatus_to_exitcode(status)
        reader.join()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} ... ended with {process.returncode}: {errors[0][-3000:]}")
    wall = time.perf_counter() - start
    return Usage(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, output)


@dataclass
class Served:
    """A running server; the last three are known at its end."""

    address: str
    process: psutil.Process
    cpu: float = 0.0
    """Seconds of CPU."""
    requests: int = 0
    seconds: float = 0.0
    """From the first request to the end of the block, which is when the client has stored its last image."""


@contextlib.contextmanager
def image_server(
    images: Path | None = None, latency: float = 0.0, mix: dict[str, float] | None = None
) -> Iterator[Served]:
    """The test suite's fault server in a process of its own."""
    command = [sys.executable, "-m", "tests.download.fault_server", "--latency", str(latency)]
    command += ["--mix", json.dumps(mix or {})] + (["--images", str(images)] if images else [])
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        served = Served(address, psutil.Process(process.pid))
        before = sum(served.process.cpu_times()[:2])
        try:
            yield served
            end = time.monotonic()
            served.cpu = sum(served.process.cpu_times()[:2]) - before
        finally:
            process.stdin.close()
            text = process.stdout.read()
        record = json.loads(text)
        served.requests, served.seconds = record["requests"], end - (record["first"] or end)


DOWNLOAD = """
import json, resource, sys
from pathlib import Path
from pricing.download.downloader import ResumableImageDownloader
from pricing.config.catalogue import ImagesConfig
base, count, work, settings = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4])
config = ImagesConfig(allow_hosts=("127.0.0.1",), **settings)
report = ResumableImageDownloader(config, work).download_batch(f"{base}/{index}.jpg" for index in range(count))
print(report.model_dump_json())
"""


def download(base: str, count: int, work: Path, **settings: object) -> tuple[Usage, dict]:
    """Our downloader in a process of its own: what it used, and its report."""
    usage = measured([sys.executable, "-c", DOWNLOAD, base, str(count), str(work), json.dumps(settings)])
    return usage, json.loads(usage.output)
