"""Images a second and CPU an image, against img2dataset on the same loopback server.

    python benchmarks/download_speed.py [--images N] [--rounds R] [--venv DIR]

JPEGs of 500 to 2,000 px, median 1,000, scaled down to 384 at quality 95. The server runs in a process of its own, and
its CPU is reported apart. img2dataset is installed from PyPI into a virtual environment of its own, which is kept, and
run as its README advises: a process for each core, threads raised while there is CPU left, tar shards, so many that
every core has some; its sides as ours are (the longest one, only if it is longer), no EXIF. The tools take turns, and
the best round of each counts. Images a second are given twice: from the first request to the last stored image,
and over the whole process with its start.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.download_support import ROOT, Served, Usage, download, image_server, measured, photograph_pool

THREADS = (8, 32)
"""Threads a process that img2dataset is tried with; its best counts."""
SIDE, QUALITY = 384, 95


def install(venv: Path) -> Path:
    """The img2dataset command of its own environment, made where there is none."""
    command = venv / "bin" / "img2dataset"
    if not command.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run([str(venv / "bin" / "pip"), "install", "--quiet", "img2dataset"], check=True)
    return command


def img2dataset(command: Path, base: str, count: int, folder: Path, threads: int) -> Usage:
    """One run of img2dataset."""
    cores = len(os.sched_getaffinity(0))
    listed = folder / "urls.txt"
    listed.write_text("\n".join(f"{base}/{index}.jpg" for index in range(count)), encoding="utf-8")
    options = {
        "url_list": listed, "output_folder": folder / "out", "input_format": "txt", "output_format": "webdataset",
        "processes_count": cores, "thread_count": threads, "number_sample_per_shard": -(-count // (4 * cores)),
        "image_size": SIDE, "resize_mode": "keep_ratio_largest", "resize_only_if_bigger": True,
        "encode_quality": QUALITY, "extract_exif": False, "timeout": 30,
    }  # fmt: skip
    usage = measured(
        [str(command), *(f"--{name}={value}" for name, value in options.items())],
        environment={"NO_ALBUMENTATIONS_UPDATE": "1", "PYTHONPATH": ""},
    )
    stored = sum(json.loads(file.read_text())["successes"] for file in (folder / "out").glob("*_stats.json"))
    if stored != count:
        raise RuntimeError(f"img2dataset stored {stored} of {count} images")
    return usage


def main() -> None:
    """Print the table and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--venv", type=Path, default=ROOT / "artifacts" / "work" / "img2dataset-venv")
    options = parser.parse_args()
    command = install(options.venv)
    count = options.images
    best: dict[str, tuple[float, float, Usage, Served]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        pool = Path(scratch) / "pool"
        photograph_pool(pool)
        size = sum(file.stat().st_size for file in pool.iterdir()) / 200
        print(f"{count} images of {size / 1000:.0f} kB on average, {len(os.sched_getaffinity(0))} cores")
        print(f"{'tool':<28} {'images/s':>10} {'with start':>10} {'CPU ms each':>11} {'server ms':>9} {'MiB':>5}")
        for number in range(options.rounds):
            for name in ["ours", *(f"img2dataset, {threads} threads" for threads in THREADS)]:
                folder = Path(scratch) / f"{number}-{name}"
                folder.mkdir()
                with image_server(pool) as served:
                    if name == "ours":
                        usage, report = download(served.address, count, folder, side=SIDE, quality=QUALITY)
                        assert report["present"] == count, report
                    else:
                        usage = img2dataset(command, served.address, count, folder, int(name.split()[1]))
                shutil.rmtree(folder)
                assert served.requests == count, f"{name}: {served.requests} requests"
                speed = count / served.seconds
                print(
                    f"{name:<28} {speed:>10.1f} {count / usage.wall:>10.1f} {1000 * usage.cpu / count:>11.2f} "
                    f"{1000 * served.cpu / count:>9.2f} {usage.peak / 2**20:>5.0f}",
                    flush=True,
                )
                tool = name.split(",")[0]
                if tool not in best or speed > best[tool][0]:
                    best[tool] = (speed, count / usage.wall, usage, served)
    ours, theirs = best["ours"], best["img2dataset"]
    print(
        f"ours is {ours[0] / theirs[0]:.2f} times as fast ({ours[1] / theirs[1]:.2f} with start); CPU an image "
        f"{1000 * ours[2].cpu / count:.2f} ms against {1000 * theirs[2].cpu / count:.2f} ms"
    )


if __name__ == "__main__":
    main()
