"""Time and memory of `pricing ensemble` as a process: `python benchmarks/ensemble_standalone.py --rows 75000`.

Made-up members (`ensemble_suites.mixed`) are written as CSV, stacked by the command line, and the figures set beside
what is asked: 75,000 rows by ten models under 180 s on 2 cores and under 2 GB.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import psutil
from ensemble_suites import SUITES

from pricing.metrics.price_metrics import calculate_smape

WANTED_SECONDS, WANTED_BYTES = 180, 2e9


def main() -> None:
    """Print one line of figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=75_000)
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--suite", default="mixed", choices=list(SUITES))
    arguments = parser.parse_args()
    rows, fresh = arguments.rows, arguments.rows // 3
    logs, log_price = SUITES[arguments.suite](rows + fresh, arguments.members, np.random.default_rng(0))
    prices = {f"m{j:02d}": np.exp(logs[:, j]) for j in range(logs.shape[1])}
    table = pl.DataFrame({"sample_id": np.arange(rows + fresh), "price": np.exp(log_price), **prices})
    with TemporaryDirectory() as folder:
        oof, test, output = Path(folder) / "oof.csv", Path(folder) / "test.csv", Path(folder) / "out"
        table[:rows].write_csv(oof)
        table[rows:].drop("price").write_csv(test)
        command = [sys.executable, "-m", "flows.cli", "ensemble", "--oof", oof, "--test-predictions", test]
        began = time.perf_counter()
        with subprocess.Popen([*map(str, command), "--output", str(output)], stdout=subprocess.PIPE) as process:
            watched, peak = psutil.Process(process.pid), 0
            while process.poll() is None:
                try:
                    peak = max(peak, watched.memory_info().rss)
                except psutil.Error:
                    break
                time.sleep(0.05)  # memory has no event to wait for
            if process.wait() != 0:
                raise SystemExit(f"the command failed with exit code {process.returncode}")
        seconds = time.perf_counter() - began
        nested = json.loads((output / "metrics.json").read_text(encoding="utf-8"))["stack"]["oof_smape"]
        priced = pl.read_csv(output / "submission.csv")["predicted_price"].to_numpy()
    new = calculate_smape(np.exp(log_price[rows:]), priced)
    print(f"{rows} rows x {logs.shape[1]} models: SMAPE nested {nested:.2f}, new rows {new:.2f}")
    print(f"{seconds:.1f} s, {seconds / WANTED_SECONDS:.2f} of what is allowed")
    print(f"{peak / 1e6:.0f} MB, {peak / WANTED_BYTES:.2f} of what is allowed")


if __name__ == "__main__":
    main()
