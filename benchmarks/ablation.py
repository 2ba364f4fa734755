"""What text and images are worth on the sample catalogue: the whole pipeline with and without each.

    python benchmarks/ablation.py [ROWS]

Prints hold-out and out-of-fold SMAPE of the stack for each variant beside the noise floor.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl

from pricing.sample.generate import generate_sample
from pricing.sample.serving import serve_folder

NO_IMAGES = ["--set", "images.enabled=false", "--set", "members.multimodal.image.enabled=false"]


def main(rows: int) -> None:
    """Run the three variants one after the other."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        sample = generate_sample(root / "sample", rows=rows, test_rows=rows // 3)
        for file in (sample.train, sample.test):
            frame = pl.read_csv(file, infer_schema=False)
            # another row's text says nothing about this one's price
            frame.with_columns(frame["catalog_content"].shuffle(seed=0)).write_csv(root / file.name)
        assert sample.images is not None
        figures = {}
        with serve_folder(sample.images) as mirror:
            fetch = ["--image-mirror", mirror, "--allow-host", "127.0.0.1"]
            figures["text and images"] = run(root, sample.train, sample.test, fetch)
            figures["without images"] = run(root, sample.train, sample.test, NO_IMAGES)
            figures["without text"] = run(root, root / sample.train.name, root / sample.test.name, fetch)
        whole = figures["text and images"][1]
        print(f"{rows} rows, noise floor {sample.floor:.2f}")
        print(f"{'variant':<20}{'out of fold':>12}{'hold-out':>10}{'loses':>8}")
        for variant, (oof, holdout) in figures.items():
            print(f"{variant:<20}{oof:>12.2f}{holdout:>10.2f}{holdout - whole:>8.2f}")


def run(root: Path, train: Path, test: Path, options: list[str]) -> tuple[float, float]:
    """Out-of-fold and hold-out SMAPE of one run, percent."""
    command = [sys.executable, "-m", "flows.cli", "run", "--train", train, "--test", test, "--preset", "demo",
               "--output", root / "out", "--artifacts", root / "artifacts", "--set", "report.dpi=50",
               *options]  # fmt: skip
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    metrics = json.loads((root / "out" / "metrics.json").read_text(encoding="utf-8"))
    return metrics["stack"]["oof_smape"], metrics["holdout"]["smape"]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1500)
