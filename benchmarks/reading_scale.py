"""Reading a shop's wide catalogue up to the stored tables: seconds and peak memory, beside other readers of the file.

    python benchmarks/reading_scale.py [--rows N] [--formats csv parquet ...]

The generated catalogue has 20 columns and some 300 bytes per row as CSV, with quotes and line breaks in its texts; all
columns have roles. Every reading is a process of its own, so that its peak is its own. polars and pandas read the same
columns as text (CSV) or as they are (Parquet), and check, compose and store nothing. "cores" is the processors' time,
imports included, which other processes change less; "ratio" is our time by theirs.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

READERS = ("pricing", "polars", "pandas")
WORDS = (
    "tea",
    "green",
    "organic",
    "pack",
    "lentils",
    "salt",
    "rice",
    "honey",
    "jam",
    "butter",
    "café",
    "coffee",
    "oil",
)


def generate(folder: Path, rows: int, formats: list[str]) -> None:
    """Write one catalogue in several formats."""
    import numpy as np
    import polars as pl
    import pyarrow as pa

    rng = np.random.default_rng(0)

    def words(count: int) -> pl.Series:
        drawn = [pl.Series(np.array(WORDS)[rng.integers(0, len(WORDS), rows)]) for _ in range(count)]
        return pl.select(pl.concat_str(drawn, separator=" ")).to_series()

    numbers = pl.Series(np.arange(rows))
    table = pl.DataFrame({
        "sku": pl.select(numbers.cast(pl.String).str.zfill(9)).to_series(),
        "title": pl.select(pl.format('{}, 8 oz "best"', words(6))).to_series(),
        "description": pl.select(pl.format("{},\n{}", words(8), words(8))).to_series(),
        "image_url": pl.select(pl.format("https://shop.invalid/images/{}.jpg", numbers)).to_series(),
        "price": np.round(rng.lognormal(2.5, 1, rows) + 0.01, 2),
        **{f"category_{place}": words(1) for place in range(8)},
        **{f"number_{place}": np.round(rng.random(rows) * 100, 2) for place in range(7)},
    })  # fmt: skip
    text = folder / "catalogue.csv"
    table.write_csv(text)
    for name in formats:
        path = folder / f"catalogue.{name}"
        if name == "parquet":
            table.write_parquet(path)
        elif name == "jsonl":
            table.write_ndjson(path)
        elif name != "csv":
            compression = {"gz": "gzip", "zst": "zstd"}[path.suffix[1:]]
            with pa.output_stream(str(path), compression=compression) as stream:
                stream.write(text.read_bytes())


def read(reader: str, path: Path) -> None:
    """Read one file and print seconds, seconds of the cores, and peak MiB."""
    if reader == "pricing":
        from pricing.catalogue.ingest import read_catalogue
        from pricing.config.catalogue import CatalogueConfig
        from pricing.config.columns import ColumnsConfig

        roles = ColumnsConfig(
            id="sku", title="title", text=("description",), image=("image_url",),
            category=tuple(f"category_{place}" for place in range(8)),
            number=tuple(f"number_{place}" for place in range(7)),
        )  # fmt: skip
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            read_catalogue(path, None, CatalogueConfig(columns=roles), Path(folder))
    elif reader == "polars":
        import polars as pl

        start = time.perf_counter()
        if path.suffix == ".parquet":
            pl.read_parquet(path)
        elif path.suffix == ".jsonl":
            pl.read_ndjson(path)
        else:
            pl.read_csv(path, infer_schema=False)
    else:
        import pandas as pd

        start = time.perf_counter()
        if path.suffix == ".parquet":
            pd.read_parquet(path)
        elif path.suffix == ".jsonl":
            pd.read_json(path, lines=True, dtype=False)
        else:
            pd.read_csv(path, dtype=str)
    seconds, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    print(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def main() -> None:
    """Print a line per format and reader."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--formats", nargs="*", default=["csv", "parquet"], help="csv, csv.gz, csv.zst, jsonl, parquet")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        reader, path = options.one[0], Path(options.one[1])
        if reader == "generate":
            generate(path, options.rows, options.formats)
        else:
            read(reader, path)
        return
    with tempfile.TemporaryDirectory() as folder:
        # by a process of its own: a child's peak begins with what its parent holds
        made = ["--rows", str(options.rows), "--formats", *options.formats, "--one", "generate", folder]
        subprocess.run([sys.executable, __file__, *made], check=True)
        print(f"{options.rows:,} rows of 20 columns, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        print(f"{'file':>10} {'MB':>7} {'reader':>8} {'s':>7} {'cores,s':>8} {'peak,MiB':>9} {'ratio':>6}")
        for name in options.formats:
            path = Path(folder) / f"catalogue.{name}"
            ours = 0.0
            for reader in READERS:
                command = [sys.executable, __file__, "--one", reader, str(path)]
                output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
                seconds, cores, peak = map(float, output.split())
                ours = ours or seconds
                size, ratio = path.stat().st_size / 1e6, ours / seconds
                line = f"{name:>10} {size:>7.0f} {reader:>8} {seconds:>7.1f} {cores:>8.1f} {peak:>9.0f} {ratio:>6.1f}"
                print(line, flush=True)


if __name__ == "__main__":
    main()
