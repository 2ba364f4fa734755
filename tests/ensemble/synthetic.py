"""Made-up members with correlated, biased, heavy-tailed errors, and the stage folders that hold them."""

import json
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pricing.config.ensemble import EnsembleConfig

Floats = NDArray[np.float64]

QUICK = EnsembleConfig(
    trees={"rounds": 60, "seeds": 1}, network={"networks": 1, "epochs": 6, "hidden": 24}, weight_starts=2,
    bootstrap=200, standalone_folds=3,
)  # fmt: skip
"""Every part of the stack, small."""


def make_members(n: int, m: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Members' log prices (n, m) and true log prices (n,): shared and own Student errors, shrinkage, bias."""
    rng = np.random.default_rng(seed)
    log_price = rng.normal(2.9, 0.95, n)
    shared = rng.standard_t(4, n) * 0.35
    columns = []
    for _ in range(m):
        error = shared * rng.uniform(0.6, 1.2) + rng.standard_t(3, n) * rng.uniform(0.25, 0.5)
        columns.append(2.9 + rng.uniform(0.75, 1.0) * (log_price - 2.9) + 0.8 * error + rng.normal(0, 0.1))
    return np.column_stack(columns), log_price


def make_plain_members(n: int, m: int, seed: int = 0) -> tuple[Floats, Floats]:
    """The same shapes: independent normal errors of different size, which a ridge stack has nothing to fear of."""
    rng = np.random.default_rng(seed)
    log_price = rng.normal(2.9, 0.95, n)
    return log_price[:, None] + rng.normal(0, 1, (n, m)) * rng.uniform(0.5, 0.9, m), log_price


def write_stages(
    root: Path, *, train: int = 120, holdout: int = 40, test: int = 30, members: tuple[str, ...] = ("a", "b", "c"),
    folds: int = 3, refit: tuple[str, ...] = ("a",), seed: int = 0,
) -> tuple[Path, Path, dict[str, list[Path]], dict[str, Path]]:  # fmt: skip
    """Folders of a catalogue, its folds and its members; rows are shuffled in every member's table."""
    rng = np.random.default_rng(seed)
    labelled = train + holdout
    logs, log_price = make_members(labelled + test, len(members), seed)
    part = np.array(["train"] * train + ["holdout"] * holdout)
    rng.shuffle(part)
    fold = np.full(labelled, -1)
    fold[part == "train"] = np.arange(train) % folds
    ids = np.array([f"p{number:05d}" for number in rng.permutation(labelled + test)])
    catalogue = root / "catalogue"
    catalogue.mkdir(parents=True)
    frame = pl.DataFrame(
        {
            "sample_id": ids,
            "catalog_content": [f"Item Name: product {i}" for i in ids],
            "image_link": [None] * len(ids),
        },
        schema_overrides={"image_link": pl.String},
    )
    frame[:labelled].with_columns(price=np.exp(log_price[:labelled])).write_parquet(catalogue / "labelled.parquet")
    frame[labelled:].write_parquet(catalogue / "unlabelled.parquet")
    fold_folder = root / "folds"
    fold_folder.mkdir()
    pl.DataFrame(
        {"sample_id": ids[:labelled], "group": [f"g{i // 2}" for i in range(labelled)], "part": part, "fold": fold},
        schema_overrides={"fold": pl.Int8},
    ).write_parquet(fold_folder / "folds.parquet")
    outputs: dict[str, list[Path]] = {}
    refits: dict[str, Path] = {}
    is_test = np.arange(labelled + test) >= labelled
    parts = np.concatenate([part, ["test"] * test])
    for column, name in enumerate(members):
        outputs[name] = []
        for k in range(folds):
            chosen = is_test | (parts == "holdout")
            chosen[:labelled] |= fold == k
            label = np.where(parts == "train", "valid", parts)
            jitter = rng.normal(0, 0.01, len(ids)) * (label != "valid")
            write_member(root / f"{name}-{k}", name, k, ids[chosen], label[chosen], (logs[:, column] + jitter)[chosen])
            outputs[name].append(root / f"{name}-{k}")
        if name in refit:
            write_member(root / f"{name}-refit", name, None, ids[is_test], parts[is_test], logs[is_test, column] + 0.02)
            refits[name] = root / f"{name}-refit"
    return catalogue, fold_folder, outputs, refits


def write_member(
    folder: Path, name: str, fold: int | None, ids: NDArray[np.str_], role: NDArray[np.str_], log_price: Floats
) -> None:
    """One base model's fold output, rows shuffled."""
    folder.mkdir(parents=True)
    order = np.random.default_rng(len(ids)).permutation(len(ids))
    table = pl.DataFrame({"sample_id": ids[order], "role": role[order], "log_price": log_price[order]})
    table.write_parquet(folder / "predictions.parquet")
    (folder / "member.json").write_text(json.dumps({"member": name, "fold": fold}))
