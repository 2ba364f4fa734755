"""Peak memory of the downloader against the number of images in one batch.

    python benchmarks/download_memory.py [ImageS ...]

Small images from a loopback server in a process of its own; the downloader runs in a fresh process each time, and its
largest resident size counts, imports and all. Each batch is fetched, and then asked for again, when all of it is known.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.download_support import download, image_server


def main() -> None:
    """Print a line for each size and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", type=int, default=[1_000, 10_000, 50_000])
    options = parser.parse_args()
    peaks = []
    print(f"{'images':>9} {'seconds':>8} {'peak, MiB':>9} {'again, s':>9} {'peak, MiB':>9}")
    for count in options.images:
        with tempfile.TemporaryDirectory() as scratch, image_server() as served:
            fresh, report = download(served.address, count, Path(scratch))
            known, again = download(served.address, count, Path(scratch))
        if report["present"] != count or again["reused"] != count or served.requests != count:
            raise RuntimeError(f"{report}, {again}, {served.requests} requests")
        peaks.append(fresh.peak)
        print(
            f"{count:>9,} {report['seconds']:>8.1f} {fresh.peak / 2**20:>9.1f} {again['seconds']:>9.1f} "
            f"{known.peak / 2**20:>9.1f}",
            flush=True,
        )
    print(f"{options.images[-1]:,} images take {peaks[-1] / peaks[0]:.2f} times the memory of {options.images[0]:,}")


if __name__ == "__main__":
    main()
