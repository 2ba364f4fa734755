"""A finished run's folder, made up: what the report and the comparison read."""

import json
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from pricing.ensemble.fit_ensemble import fit_ensemble
from pricing.metrics.segments import product_segments
from pricing.report.run_folder import COMPARABLES
from tests.ensemble.synthetic import QUICK, write_stages

MEMBERS = ("catboost", "lightgbm", "multimodal", "ridge", "sparse_mlp", "xgboost")
EVIL = 'Item Name: Jam <script>alert("x")</script> & <img src=http://example.org/x.png>\nBullet Point: <b>bold</b>'


def write_run(root: Path, *, train: int = 240, holdout: int = 80, config: dict[str, object] | None = None) -> Path:
    """The run folder; the catalogue text of every product carries markup."""
    catalogue, folds, members, refits = write_stages(
        root / "stages", train=train, holdout=holdout, members=MEMBERS, refit=("ridge",)
    )
    run_dir = root / "run"
    tables = run_dir / "evaluation"
    (tables / "images").mkdir(parents=True)
    stack = root / "stack"
    stack.mkdir()
    floor = {"smape": 6.0}
    # learners that are fitted at once: what they reach is no matter here
    quick = QUICK.model_copy(update={"meta_learners": ("ridge",), "bootstrap": 100})
    fit_ensemble(catalogue, folds, members, refits, quick, 0, stack, floor=floor)
    for name in ("oof.parquet", "holdout.parquet"):
        (stack / name).rename(tables / name)
    (stack / "metrics.json").rename(run_dir / "metrics.json")

    products = pl.read_parquet(catalogue / "labelled.parquet").select("sample_id", "image_link")
    there = np.arange(len(products)) % 3 > 0
    number = np.arange(len(products))
    image = pl.Series([f"aa/{i}.jpg" if ok else None for i, ok in enumerate(there)])
    segments = product_segments(
        pl.Series(np.where(number % 3, "tea, green, <b>", "coffee, beans")), number % 60.0, 1.0 + number % 9, image
    )
    products.with_columns(
        *segments, catalog_content=pl.lit(EVIL), title=pl.lit("Jam <i>"), image=image, group=pl.Series(number // 2),
        amount=pl.Series(np.where(number % 5, 1.0, np.nan)),
    ).write_parquet(tables / "products.parquet")  # fmt: skip
    _write_comparables(tables, products["sample_id"])
    _write_audit(tables)
    for number, (sample_id, ok) in enumerate(zip(products["sample_id"], there, strict=True)):
        if ok:
            Image.new("RGB", (300, 200), (number % 255, 120, 90)).save(tables / "images" / f"{sample_id}.jpg")
    features = ["price_neighbours_mean", "price_ridge", "log_pack_quantity", "log_total_grams", "brand", "svd_003"]
    pl.DataFrame(
        {"member": m, "feature": f, "importance": float(len(features) - i) ** 2 + j, "words": f"what {f} is"}
        for j, m in enumerate(MEMBERS[:2])
        for i, f in enumerate(features)
    ).write_parquet(tables / "importance.parquet")
    pl.DataFrame(
        [
            {"member": m, "fold": k, "round": r, "split": s, "metric": "smape", "value": 30 + 40 / (1 + r) + k + 3 * v}
            for m, rounds in (("lightgbm", 60), ("multimodal", 5), ("sparse_mlp", 3))
            for k in range(3)
            for r in range(rounds)
            for v, s in enumerate(("train", "valid"))
        ]
    ).write_parquet(tables / "curves.parquet")
    steps = [(name, name, start, end, start < 2.5) for name, start, end in
             (("catalogue", 0, 2), ("folds", 2, 2.5), ("features", 2.5, 9), ("ensemble", 70, 74))]  # fmt: skip
    steps += [(n, "gbdt", 9 + 12 * k + j, 20 + 12 * k, False) for k in range(3) for j, n in enumerate(MEMBERS[:2])]
    steps += [("multimodal", "neural", 9 + 20 * k, 28 + 20 * k, False) for k in range(3)]
    stages = [
        {"name": n, "label": n, "stage": g, "seconds": e - s, "started": _at(s), "ended": _at(e), "cached": c,
         "key": "0" * 8}
        for n, g, s, e, c in steps
    ]  # fmt: skip
    record = {
        "config": config or {"seed": 0, "members": {"lightgbm": {"rounds": 2000, "learning_rate": 0.03}}},
        "networks": {"multimodal": {"precision": "bf16", "parameters": 22000000, "lora_share": None}},
        "versions": {"python": "3.11.2", "lightgbm": "4.7.0"},
        "seed": 0,
        "inputs": {"train": "train.csv", "test": "test.csv"},
        "folds": {"kind": "grouped", "n_splits": 3},
        "stages": stages,
        "images": {"requested": 300, "present": 200, "failed": {"http_404": 70, "not_an_image": 30}},
        "catalogue": {
            "train": {"rows": 320, "rejected": 3, "repeated_texts": 12, "distinct_image_links": 320},
            "test": {"rows": 38, "rejected": 2, "rejected_reasons": {"row is <short>": 2}},
            "ids_in_both": 0,
            "price": {"q000": 1.25, "q025": 7.5, "q050": 14.2, "q100": 410.0, "mean": 20.1},
        },
        "submission": {"rows": 38, "min": 1.5, "median": 14.0, "mean": 21.0, "max": 388.25},
        "refit": True,
    }
    (run_dir / "run.json").write_text(json.dumps(record))
    return run_dir


def _write_audit(tables: Path) -> None:
    """The last third lies inside of its intervals."""
    rows = pl.read_parquet(tables / "oof.parquet").head(240).with_row_index("place")
    causes = pl.Series(["decimal_slip", "unit_price_for_pack", "other", "missing_amount", "pack_misread"])
    number = pl.col("place").cast(pl.Int64)
    rows.select(
        "sample_id", "price", part=pl.lit("out_of_fold"), expected="stack", low_95=pl.col("stack") / 2,
        high_95=pl.col("stack") * 2, direction=pl.format("listed {} times above it; outside", "place"),
        cause=pl.when(number < 160).then(number.replace_strict(dict(enumerate([*causes] * 48)))).otherwise(pl.lit("")),
        comparable_ids=pl.lit("1; 2"), comparable_price=pl.when(number % 3 > 0).then(1000.0 - number),
        unit_price=pl.when(number % 2 > 0).then(pl.lit("0.74 per 100 g")),
    ).write_parquet(tables / "audit.parquet")  # fmt: skip


def _write_comparables(tables: Path, ids: pl.Series) -> None:
    """Five comparables of every hold-out product; those of the worst error agree with the prediction."""
    holdout = pl.read_parquet(tables / "holdout.parquet")
    prices = np.linspace(2, 60, len(holdout) + 5)
    table = pl.DataFrame(
        [
            (sample_id, rank + 1, f"c{row + rank}", f"Other jam <{row + rank}>", prices[row + rank], 0.9 - rank * 0.001)
            for row, sample_id in enumerate(holdout["sample_id"])
            for rank in range(5)
        ],
        schema=list(COMPARABLES),
        orient="row",
    )
    error = (pl.col("stack") / pl.col("price")).log().abs()
    worst = holdout.sort(error, descending=True).row(0, named=True)
    table = table.with_columns(
        price=pl.when(pl.col("sample_id") == worst["sample_id"])
        .then(worst["stack"] * (1 + pl.col("rank") / 100))
        .otherwise("price")
    )
    table.write_parquet(tables / "comparables.parquet")


def _at(seconds: float) -> str:
    return f"2026-01-01T00:{int(seconds) // 60:02d}:{seconds % 60:06.3f}+00:00"
