"""What Prefect's task runs cost the download stage.

    python benchmarks/download_prefect.py [--images N] [--shards K]

`pricing stage download` on the same images, small ones from a loopback server without latency, once as one task run
and once as K. The difference by K - 1 is what one more task run costs, in wall time and in CPU of all processes: the
task run, its progress artifact, reading the links, opening manifest and connections, and the end of a batch. It is held
against what a shard of the default size takes at the speed of a real server (160 images a second, see
download_faults.py).
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.download_support import image_server, measured
from pricing.config.catalogue import ImagesConfig

SPEED = 160.0
"""Images a second."""


def catalogue(path: Path, base: str, count: int) -> None:
    """A catalogue with one image a row."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["sample_id", "catalog_content", "image_link", "price"])
        writer.writerows([index, f"Item Name: {index}", f"{base}/{index}.jpg", 1.5] for index in range(count))


def main() -> None:
    """Print both runs and the share."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--shards", type=int, default=20)
    options = parser.parse_args()
    figures = []
    print(f"{'task runs':>9} {'wall, s':>8} {'CPU, s':>7}")
    for shards in (1, options.shards):
        with tempfile.TemporaryDirectory() as scratch, image_server() as served:
            train = Path(scratch) / "train.csv"
            catalogue(train, served.address, options.images)
            usage = measured(
                [
                    sys.executable, "-m", "flows.cli", "stage", "download", "--train", str(train), "--artifacts",
                    f"{scratch}/artifacts", "--output", f"{scratch}/out", "--allow-host", "127.0.0.1",
                    "--set", f"images.shard_size={-(-options.images // shards)}",
                ],
                environment={"PREFECT_HOME": f"{scratch}/home", "DO_NOT_TRACK": "1"},
            )  # fmt: skip
        figures.append((usage.wall, usage.cpu))
        print(f"{shards:>9} {usage.wall:>8.1f} {usage.cpu:>7.1f}", flush=True)
    wall, cpu = ((many - one) / (options.shards - 1) for one, many in zip(*figures, strict=True))
    size = ImagesConfig().shard_size
    print(
        f"one more task run: {wall:.2f} s, {cpu:.2f} s of CPU; a shard of {size} images at {SPEED:.0f}/s takes "
        f"{size / SPEED:.0f} s: {wall / (size / SPEED):.2%}"
    )


if __name__ == "__main__":
    main()
