"""What roles are worth on a marketplace that nobody tuned for: glued text, then roles, then AutoGluon.

    python benchmarks/second_market.py CATALOGUE.csv [--preset cpu] [--autogluon PYTHON] [--artifacts DIR]

CATALOGUE is train.csv of ../shared/data/mercari_10k or a file with its columns. The same rows are learnt from three
times: as one text, as somebody without roles must write it; with roles; and by AutoGluon's best quality on the raw
columns, given the wall time that the run with roles took. PYTHON is an interpreter that has autogluon.tabular.
Prints nested out-of-fold SMAPE (seed 0, grouped folds) and the hold-out's, and paired differences with their 95 %
intervals over near-duplicate groups.
"""

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from pricing import Pricer
from pricing.metrics.bootstrap import compare_predictions
from pricing.metrics.smape import smape_of_logs

ROLES = {
    "id": "sample_id", "price": "price", "title": "name", "text": ["item_description"],
    "category": ["category_name", "brand_name", "item_condition_id"], "number": ["shipping"],
}  # fmt: skip
LABELS = {
    "Item Name": "name", "Bullet Point 1: Category": "category_name", "Bullet Point 2: Brand": "brand_name",
    "Bullet Point 3: Condition": "item_condition_id", "Bullet Point 4: Shipping": "shipping",
    "Product Description": "item_description",
}  # fmt: skip


def main() -> None:
    """Run all three, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalogue", type=Path)
    parser.add_argument("--preset", default="cpu")
    parser.add_argument("--autogluon")
    parser.add_argument("--artifacts", default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        raw = pl.read_csv(options.catalogue, infer_schema=False)
        lines = [
            pl.format(f"{label}: {{}}", pl.col(column).fill_null("").str.replace_all(r"\s+", " "))
            for label, column in LABELS.items()
        ]
        glued = raw.select("sample_id", "price", catalog_content=pl.concat_str(lines, separator="\n"))
        glued.write_csv(root / "glued.csv")
        artifacts = options.artifacts or str(root / "artifacts")
        settings = {"images.enabled": False}
        rows, seconds = {}, {}
        print(f"{raw.height} products, preset {options.preset}")
        print(f"{'':<12}{'out of fold':>12}{'hold-out':>10}{'minutes':>9}", flush=True)
        for variant, table, columns in (
            ("one text", root / "glued.csv", None), ("roles", options.catalogue, ROLES)
        ):  # fmt: skip
            began = time.perf_counter()
            made = Pricer(options.preset, settings, columns, artifacts).fit(table)
            seconds[variant] = time.perf_counter() - began
            made.write(root / variant)
            rows[variant] = read_rows(root / variant, raw)
            show(variant, rows[variant], seconds[variant])
        compare(rows, "one text")
        if options.autogluon:
            began = time.perf_counter()
            predicted = autogluon(options.autogluon, root, rows["roles"], raw, seconds["roles"])
            rows["AutoGluon"] = {"hold-out": rows["roles"]["hold-out"].with_columns(stack=predicted)}
            show("AutoGluon", rows["AutoGluon"], time.perf_counter() - began)
            compare(rows, "AutoGluon")


def show(variant: str, parts: dict[str, pl.DataFrame], seconds: float) -> None:
    """Print SMAPE by part and minutes."""
    figures = [smape(parts[part]) if part in parts else float("nan") for part in ("out of fold", "hold-out")]
    print(f"{variant:<12}{figures[0]:>12.2f}{figures[1]:>10.2f}{seconds / 60:>9.1f}", flush=True)


def compare(rows: dict[str, dict[str, pl.DataFrame]], other: str) -> None:
    """Print how much better the roles are than another variant, with the 95 % interval."""
    for part, theirs in rows[other].items():
        both = rows["roles"][part].join(theirs, on="sample_id", suffix="_other", maintain_order="left", validate="1:1")
        found = compare_predictions(
            both["price"].to_numpy(), both["stack_other"].to_numpy(), both["stack"].to_numpy(),
            groups=both["group"].to_numpy(),
        )  # fmt: skip
        less = found.difference
        print(f"{other} less roles, {part}: {-less.mean:.2f} ({-less.high:.2f} to {-less.low:.2f})", flush=True)


def read_rows(folder: Path, raw: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Price, prediction and near-duplicate group of each row, by part."""
    groups = pl.read_parquet(folder / "evaluation" / "products.parquet").select("sample_id", "group")
    files = {"out of fold": "oof", "hold-out": "holdout"}
    return {
        part: pl.read_parquet(folder / "evaluation" / f"{file}.parquet").select("sample_id", "price", "stack")
        .join(groups, on="sample_id", how="left", maintain_order="left")
        for part, file in files.items()
    }  # fmt: skip


def smape(rows: pl.DataFrame) -> float:
    """SMAPE of the stack, percent."""
    return smape_of_logs(np.log(rows["stack"].to_numpy()), np.log(rows["price"].to_numpy()))


def autogluon(python: str, root: Path, ours: dict[str, pl.DataFrame], raw: pl.DataFrame, seconds: float) -> np.ndarray:
    """Prices of the hold-out, ndarray of shape (n,)."""
    table = raw.with_columns(
        pl.col("price").cast(pl.Float64).log().alias("log_price"),
        pl.col("item_condition_id", "shipping").cast(pl.Int64),
    ).drop("price")
    paths = [root / f"{name}.parquet" for name in ("train", "holdout", "predicted")]
    for path, part in zip(paths, ("out of fold", "hold-out"), strict=False):
        wanted = ours[part].select("sample_id").join(table, on="sample_id", how="left", maintain_order="left")
        wanted.drop("sample_id", *(["log_price"] if part == "hold-out" else [])).write_parquet(path)
    script = Path(__file__).with_name("autogluon_best.py")
    subprocess.run([python, str(script), *map(str, paths), str(seconds)], check=True)
    return np.exp(pl.read_parquet(paths[2])["log_price"].to_numpy())


if __name__ == "__main__":
    main()
