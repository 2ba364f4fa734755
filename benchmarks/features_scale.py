"""Features against the number of rows: seconds, cost a row and peak memory of each part.

    python benchmarks/features_scale.py                     all parts at the sizes of the targets
    python benchmarks/features_scale.py PART ROWS [THREADS]  one of tabular, tfidf, svd, words, characters, embedding

Generated rows. Each measurement is a process of its own, so that its peak is its own; the peak includes the catalogue's
texts. ``words``, ``characters`` and ``embedding`` (random vectors of 384 numbers) search ROWS / 2 rows in 40 % of
ROWS: a test part against a fold's learning rows.
"""

import resource
import subprocess
import sys
import time

import numpy as np
from features_tabular import read_texts

from pricing.config.features import FeaturesConfig, TfidfConfig
from pricing.features.brand import BrandNames
from pricing.features.comparables import KEPT
from pricing.features.engineer import FeatureEngineer
from pricing.features.neighbours import NearestRows, unit_rows
from pricing.features.sections import split_sections
from pricing.features.tfidf import TfidfSpace

#: part, rows, most seconds
PLAN = (
    ("tabular", 10_000, None), ("tabular", 100_000, None), ("tabular", 150_000, 40), ("tabular", 1_000_000, None),
    ("tfidf", 150_000, 180), ("svd", 150_000, 150), ("words", 150_000, 180), ("characters", 150_000, 180),
    ("embedding", 150_000, 180),
)  # fmt: skip
#: peak memory of the tabular features of a million rows, MiB
MOST_MEMORY = 4 * 1024


def measure(part: str, rows: int, threads: int) -> None:
    """Measure one part and print its line: part, rows, seconds, microseconds a row, peak MiB."""
    texts = read_texts(rows, None)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if part == "tabular":
        engineer = FeatureEngineer(FeaturesConfig())
        titles = split_sections(texts.head(100_000))["item_name"]
        engineer.brands = BrandNames.fit(titles, engineer.config.brand_min_count)
        began = time.perf_counter()
        engineer.tabular_features(texts)
    elif part == "embedding":
        vectors = unit_rows(np.random.default_rng(0).normal(size=(rows, 384)))
        learning, queries = vectors[: int(0.4 * rows)], vectors[rows - rows // 2 :]
        began = time.perf_counter()
        NearestRows(learning).search(queries, KEPT, threads=threads)
    else:
        sections = split_sections(texts)
        space = TfidfSpace(TfidfConfig(svd_components=0))
        began = time.perf_counter()
        space.fit(sections, 0, threads)
        matrix = space.transform(sections)
        if part == "svd":
            space = TfidfSpace(TfidfConfig())
            began = time.perf_counter()
            space.fit_svd(matrix, 0, threads)
        if part in ("words", "characters"):
            start, stop = next((start, stop) for name, start, stop in space.spaces() if name == part)
            unit = unit_rows(matrix[:, start:stop])
            learning, queries = unit[: int(0.4 * rows)], unit[rows - rows // 2 :]
            began = time.perf_counter()
            NearestRows(learning).search(queries, KEPT, threads=threads)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{part:>12} {rows:>10,} {seconds:>9.1f} {1e6 * seconds / rows:>9.1f} {peak:>10.0f} {before:>10.0f}", flush=True
    )


def main() -> None:
    """Print the table and hold it against the targets."""
    print(f"{'part':>12} {'rows':>10} {'seconds':>9} {'us a row':>9} {'peak, MiB':>10} {'of texts':>10}", flush=True)
    costs = []
    for part, rows, most in PLAN:
        command = [sys.executable, __file__, part, str(rows), "2"]
        line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
        print(line, flush=True)
        _, _, seconds, cost, peak, _ = line.split()
        assert most is None or float(seconds) < most, f"{part}: {seconds} s, target {most} s"
        if part == "tabular":
            costs.append(float(cost))
            assert float(peak) < MOST_MEMORY, f"{peak} MiB, target {MOST_MEMORY}"
    print(f"tabular cost a row, largest over smallest size: {costs[-1] / costs[0]:.2f}")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 2)
    else:
        main()
