"""A whole run in miniature: real steps over a hundred products, one real and one made-up member."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from pricing.config.ensemble import ReportConfig, SubmissionConfig
from pricing.ensemble.fit_ensemble import fit_ensemble
from pricing.features.build_features import build_features
from pricing.features.build_price_features import build_price_features
from pricing.members.contract import Member
from pricing.members.ridge import Ridge, RidgeSettings
from pricing.members.train_fold import train_fold
from pricing.run.outputs import write_outputs
from pricing.store.artifacts import ArtifactStore
from pricing.store.stages import Stage
from tests.ensemble.synthetic import QUICK
from tests.features.conftest import CONFIG, make_products
from tests.run.fake_member import Shifted, ShiftedSettings

MEMBERS: dict[str, type[Member[Any]]] = {"ridge": Ridge, "shifted": Shifted}
SETTINGS = {"ridge": RidgeSettings(), "shifted": ShiftedSettings()}
LABELLED, ASKED = 110, 40
REPORT = ReportConfig(dpi=50, worst=3, driver_rows=0)  # its member stands in no registry


@dataclass(frozen=True)
class SmallRun:
    """Folders of the steps' outputs, as `write_outputs` takes them."""

    inputs: dict[str, Any]
    frame: pl.DataFrame
    """Products to price."""

    def write(self, out: Path, **changes: Any) -> Path:
        """Do the last step into a new folder."""
        out.mkdir(parents=True)
        write_outputs(**{**self.inputs, **changes}, out=out)
        return out


def make_small_run(root: Path) -> SmallRun:
    """Do all steps before the last."""
    store = ArtifactStore(root / "store")

    def made(stage: Stage, name: str, make: Callable[[Path], None], slot: str = "") -> Path:
        return store.path(store.build(stage, name, slot, {"of": f"{name} {slot}"}, make))

    products = make_products(LABELLED + ASKED)
    frame = products.frame.with_columns(image_link=pl.format("http://x/{}.jpg", pl.col("sample_id")))
    labelled, asked = frame.head(LABELLED), frame.tail(ASKED)
    price, groups = np.exp(products.log_price[:LABELLED]), products.groups[:LABELLED]

    def write_catalogue(out: Path) -> None:
        labelled.with_columns(price=pl.Series(price)).write_parquet(out / "labelled.parquet")
        asked.write_parquet(out / "unlabelled.parquet")
        counts = {"rows": 0, "rejected": 0, "empty_rows": 0}
        summary = {"train": counts | {"rows": LABELLED}, "test": counts | {"rows": ASKED}}
        (out / "summary.json").write_text(json.dumps(summary))

    def write_folds(out: Path) -> None:
        held = groups >= 90
        pl.DataFrame({
            "sample_id": labelled["sample_id"], "group": [f"g{group}" for group in groups],
            "part": np.where(held, "holdout", "train"), "fold": np.where(held, -1, groups % 3).astype(np.int8),
        }).write_parquet(out / "folds.parquet")  # fmt: skip
        latest = {"share": 0.2, "since": "2025-11-01", "rows_without_time": 3}
        (out / "summary.json").write_text(json.dumps({"latest": latest}))

    def write_images(out: Path) -> None:
        files = [f"aa/{sample_id}.jpg" if number % 2 else None for number, sample_id in enumerate(frame["sample_id"])]
        table = pl.DataFrame({"image_link": frame["image_link"], "file": files}, schema_overrides={"file": pl.String})
        there = pl.col("file").is_not_null()
        table = table.with_columns(status=pl.when(there).then(pl.lit("ok")).otherwise(pl.lit("failed")),
                                   reason=pl.when(~there).then(pl.lit("http_404")))  # fmt: skip
        table.write_parquet(out / "images.parquet")
        table.filter(~there).select("image_link", "reason").write_csv(out / "missing.csv")
        (out / "summary.json").write_text('{"requested": 150, "present": 75, "failed": {"http_404": 75}}')
        for file in filter(None, files):
            path = root / "images" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (200, 100), (90, 120, 30)).save(path)

    catalogue = made(Stage.CATALOGUE, "catalogue", write_catalogue)
    folds = made(Stage.FOLDS, "folds", write_folds)
    images = made(Stage.DOWNLOAD, "images", write_images)
    features = made(Stage.FEATURES, "features", lambda out: build_features(catalogue, folds, CONFIG, 0, out))
    numbers = {"fold_0": 0, "fold_1": 1, "fold_2": 2, "refit": None}
    rows = {"catalogue": catalogue, "folds": folds, "features": features}
    price_features = {
        name: made(Stage.FEATURES, "price_features",
                   partial(build_price_features, catalogue, folds, features, CONFIG.price, fold, 0), name)
        for name, fold in numbers.items()
    }  # fmt: skip

    def train(member: str, name: str, out: Path) -> None:
        train_fold(
            f"{MEMBERS[member].__module__}:{MEMBERS[member].__name__}", catalogue, folds, features, SETTINGS[member],
            numbers[name], 0, out, price_features=price_features[name], images=images, image_folder=root / "images",
        )  # fmt: skip

    members = {
        member: {name: made(Stage.GBDT, member, partial(train, member, name), name) for name in numbers}
        for member in MEMBERS
    }
    fold_models = {name: [by_fold[fold] for fold in numbers if fold != "refit"] for name, by_fold in members.items()}
    refits = {name: by_fold["refit"] for name, by_fold in members.items()}
    ensemble = made(
        Stage.ENSEMBLE, "ensemble", lambda out: fit_ensemble(catalogue, folds, fold_models, refits, QUICK, 0, out)
    )
    inputs = {
        **rows, "images": images, "prepared": {}, "ensemble": ensemble, "price_features": price_features,
        "members": members, "searches": {}, "report": REPORT, "submission": SubmissionConfig(intervals=True), "seed": 0,
        "image_folder": root / "images",
    }  # fmt: skip
    return SmallRun(inputs, asked)
