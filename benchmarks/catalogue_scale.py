"""How long a catalogue takes to read, check and store, and how much memory: rows against seconds and peak RSS.

    python benchmarks/catalogue_scale.py [ROWS ...]

The CSV is the generated sample without images. Each size is read in a process of its own, so that its peak is its own;
"import" is the peak of a process that only imports.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def measure(rows: int, train: Path) -> None:
    """Read, check, store and print one line of the table."""
    from pricing.catalogue.enough import check_learnable
    from pricing.catalogue.ingest import read_catalogue
    from pricing.config.catalogue import CatalogueConfig, FoldsConfig, HoldoutConfig

    imported = peak_mib()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        read_catalogue(train, None, CatalogueConfig(), Path(folder))
        read, after_read = time.perf_counter() - start, peak_mib()
        start = time.perf_counter()
        check_learnable(str(train), Path(folder), FoldsConfig(), HoldoutConfig())
        checked = time.perf_counter() - start
    print(
        f"{rows:>10,} {train.stat().st_size / 1e6:>9.1f} {read:>9.1f} {rows / read:>9.0f} {imported:>8.0f} "
        f"{after_read:>8.0f} {checked:>9.1f} {peak_mib():>8.0f}"
    )


def peak_mib() -> float:
    """Largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(options.rows[0], options.one)
        return
    from pricing.sample.generate import generate_sample

    print(
        f"{'rows':>10} {'CSV, MB':>9} {'read, s':>9} {'rows/s':>9} {'import':>8} {'peak,MiB':>8} {'check, s':>9} "
        f"{'peak,MiB':>8}", flush=True
    )  # fmt: skip
    for rows in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            sample = generate_sample(Path(folder) / "sample", rows=rows, test_rows=0, images=False)
            subprocess.run([sys.executable, __file__, str(rows), "--one", str(sample.train)], check=True)


if __name__ == "__main__":
    main()
