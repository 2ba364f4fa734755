"""How long each branch works in a whole run, against the minutes that it may take.

    python benchmarks/branch_times.py [--train FILE --test FILE] [--images DIR] [--preset cpu] [--keep DIR]

Both branches run at the same time with half of the cores each, from an empty store; by default on the sample catalogue
with the `demo` preset. The minutes wanted are shown for real rows with the `cpu` preset.
A branch counts with what it alone needs: the GBDT branch with its 3 libraries' folds, the neural branch with the
encoders' frozen parts and the Gaussian process, which works on the trees' cores. The features come before both and
stand on a line of their own. ``--keep`` names an empty folder for the run's output and store, which else are removed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from pricing.sample.generate import generate_sample

BRANCHES = {
    "features": (("features", "price_features"), None),
    "GBDT": (("gbdt",), 25),
    "neural": (("encode", "neural"), 45),
}
"""Stages, and minutes wanted on the real rows with the `cpu` preset."""


def run(train: Path, test: Path, root: Path, options: argparse.Namespace) -> dict:
    """run.json of a run from an empty store."""
    images = ["--images", options.images] if options.images else ["--set", "images.enabled=false"]
    command = [sys.executable, "-m", "flows.cli", "run", "--train", train, "--test", test, *images, "--preset",
               options.preset, "--output", root / "out", "--artifacts", root / "artifacts"]  # fmt: skip
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    return dict(json.loads((root / "out" / "run.json").read_text(encoding="utf-8")))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("train", "test", "images", "keep"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--preset", default="demo")
    options = parser.parse_args()
    if (options.train is None) != (options.test is None):
        parser.error("--train and --test go together")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        train, test = options.train, options.test
        if train is None:
            sample = generate_sample(root / "sample", rows=1500, test_rows=500)
            train, test, options.images = sample.train, sample.test, sample.images
        stages = run(train, test, options.keep or root, options)["stages"]
    wall = max(stage["ended"] for stage in stages) - min(stage["started"] for stage in stages)
    print(f"preset {options.preset}, {wall / 60:.1f} min from the first task to the last")
    wanted = options.train is not None and options.preset == "cpu"  # the minutes are of no other run
    header = f"{'most wanted':>13}{'ratio':>7}" if wanted else ""
    print(f"{'branch':<10}{'tasks':>7}{'minutes':>9}{header}")
    for branch, (names, most) in BRANCHES.items():
        seconds = [stage["seconds"] for stage in stages if stage["name"] in names]
        minutes = sum(seconds) / 60
        ratio = f"{most:>13}{minutes / most:>7.2f}" if wanted and most else ""
        print(f"{branch:<10}{len(seconds):>7}{minutes:>9.1f}{ratio}")


if __name__ == "__main__":
    main()
