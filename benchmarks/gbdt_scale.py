"""Peak memory and seconds per round of each library on a large table, dense and with sparse terms beside it.

    python benchmarks/gbdt_scale.py [--rows 75000] [--features 190] [--terms 2000] [--rounds 20] [--threads 1]

The table is generated: numbers, a category of 500 values, and 40 terms a row drawn by Zipf's law. Memory does not
depend on the number of rounds, so a few are enough. Each line is a process of its own, so that its peak is its own.
"""

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
import polars as pl
from scipy import sparse

from pricing.members.catboost import CatBoost
from pricing.members.lightgbm import LightGBM
from pricing.members.trees.matrix import Matrix, TableEncoder
from pricing.members.xgboost import XGBoost

LIBRARIES = {member.name: member for member in (LightGBM, XGBoost, CatBoost)}

VOCABULARY = 60_000


def make(rows: int, features: int) -> tuple[pl.DataFrame, sparse.csr_matrix, np.ndarray]:
    """Table, terms and log prices."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(rows, features)).astype(np.float32)
    table = pl.DataFrame({f"number_{column}": values[:, column] for column in range(features)})
    codes = rng.integers(0, 500, rows)
    table = table.with_columns(brand=pl.Series(codes).cast(pl.String))
    terms = (rng.zipf(1.3, size=rows * 40) - 1) % VOCABULARY
    positions = (np.repeat(np.arange(rows), 40), terms)
    tfidf = sparse.csr_matrix((np.full(rows * 40, 0.1, np.float32), positions), shape=(rows, VOCABULARY))
    labels = 2.6 + 0.5 * values[:, 0] + values[:, 1] * values[:, 2] + 0.3 * rng.standard_t(2, rows)
    return table, tfidf, labels + tfidf[:, [5]].toarray().ravel()


def measure(library: str, terms: int, options: argparse.Namespace) -> None:
    """Train one fold of five and print one line."""
    table, tfidf, labels = make(options.rows, options.features)
    member = LIBRARIES[library]
    settings = member.Settings(terms=terms)
    learning = np.arange(options.rows) % 5 > 0
    encoder = TableEncoder.fit(table.filter(learning), settings.min_category_rows, tfidf[learning], terms)
    values = encoder.encode(table, tfidf)
    parts = [Matrix(values[mask], labels[mask]) for mask in (learning, ~learning)]
    started = time.perf_counter()
    trained = member.train(*parts, encoder, settings, rounds=options.rounds, threads=options.threads)
    seconds = time.perf_counter() - started
    trained.model.predict_values(values, threads=options.threads)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    kind = "sparse" if terms else "dense"
    print(f"{library:<10}{kind:>8}{len(encoder.names):>10}{seconds:>9.1f}{peak:>11.2f}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=75_000)
    parser.add_argument("--features", type=int, default=190)
    parser.add_argument("--terms", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(options.one[0], int(options.one[1]), options)
        return
    print(f"{options.rows} rows, {options.rounds} rounds, {options.threads} threads")
    print(f"{'library':<10}{'input':>8}{'columns':>10}{'seconds':>9}{'peak, GiB':>11}", flush=True)
    for library in LIBRARIES:
        for terms in (0, options.terms):
            subprocess.run([sys.executable, __file__, *sys.argv[1:], "--one", library, str(terms)], check=True)


if __name__ == "__main__":
    main()
