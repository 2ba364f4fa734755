"""How long the sample catalogue takes to generate, and how much memory: rows against seconds and peak RSS.

    python benchmarks/sample_scale.py [ROWS ...] [--images]

Each size runs in a process of its own, so that its peak is its own.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def measure(rows: int, images: bool) -> None:
    """Generate once and print one line of the table."""
    from pricing.sample.generate import generate_sample

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        info = generate_sample(Path(folder) / "sample", rows=rows, test_rows=0, images=images)
        seconds = time.perf_counter() - start
        size = info.train.stat().st_size / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{rows:>10,} {'yes' if images else 'no':>8} {seconds:>9.1f} {rows / seconds:>9.0f} {size:>9.1f} {peak:>9.0f}"
    )


def main() -> None:
    """Print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", type=int, default=[1_500, 1_000_000])
    parser.add_argument("--images", action="store_true", help="draw the images too")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(options.rows[0], options.images)
        return
    print(f"{'rows':>10} {'images':>8} {'seconds':>9} {'rows/s':>9} {'CSV, MB':>9} {'peak, MiB':>9}", flush=True)
    for rows in options.rows:
        command = [sys.executable, __file__, str(rows), "--one", *(["--images"] if options.images else [])]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
