"""What declared columns are worth on a generated catalogue whose price depends on them.

    python benchmarks/declared_columns.py [ROWS] [--preset cpu]

Runs the whole pipeline without images, with the roles of columns.toml and without them, which reads texts alone.
Prints the hold-out's SMAPE of both beside the noise floor, and how many times the floor it is.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from pricing.sample.generate import generate_sample

NO_IMAGES = ["--set", "images.enabled=false", "--set", "members.multimodal.image.enabled=false"]


def main() -> None:
    """Run both, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="?", type=int, default=10_000)
    parser.add_argument("--preset", default="cpu")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        sample = generate_sample(root / "sample", rows=options.rows, test_rows=100, declared=True)
        assert sample.roles is not None
        print(f"{options.rows} rows, preset {options.preset}, noise floor {sample.floor:.2f}", flush=True)
        print(f"{'':<12}{'out of fold':>12}{'hold-out':>10}{'of the floor':>14}", flush=True)
        held = {}
        for variant, roles in (("with roles", ["--columns", sample.roles]), ("without", [])):
            oof, held[variant] = run(root, sample.train, sample.test, options.preset, roles)
            print(f"{variant:<12}{oof:>12.2f}{held[variant]:>10.2f}{held[variant] / sample.floor:>14.2f}", flush=True)
        print(f"the columns save {held['without'] - held['with roles']:.2f} SMAPE")


def run(root: Path, train: Path, test: Path, preset: str, options: list[str | Path]) -> tuple[float, float]:
    """Out-of-fold and hold-out SMAPE of one run, percent."""
    command = [sys.executable, "-m", "flows.cli", "run", "--train", train, "--test", test, "--preset", preset,
               "--output", root / "out", "--artifacts", root / "artifacts", "--quiet",
               *NO_IMAGES, *options]  # fmt: skip
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    metrics = json.loads((root / "out" / "metrics.json").read_text(encoding="utf-8"))
    return metrics["stack"]["oof_smape"], metrics["holdout"]["smape"]


if __name__ == "__main__":
    main()
