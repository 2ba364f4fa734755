"""A fold of the multimodal member on tiny real encoders: encoded, trained, and priced again by what was saved."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pricing.members.fold_rows import FoldInputs, FoldRows, Rows
from pricing.members.multimodal.encode import encode_catalogue
from pricing.members.multimodal.member import Multimodal
from pricing.members.multimodal.settings import MultimodalSettings
from pricing.members.train_fold import train_fold


def encode(inputs: FoldInputs, config: MultimodalSettings, out: Path) -> Path:
    out.mkdir(parents=True)
    settings = Multimodal.prepare_settings(config)
    encode_catalogue(inputs.catalogue, inputs.images, settings, inputs.image_folder, out)
    return out


def run(inputs: FoldInputs, config: MultimodalSettings, root: Path, fold: int | None = 0, **options: Any) -> Path:
    out, encoded = root / f"out{fold}", root / "encoded"
    out.mkdir(parents=True)
    if not encoded.exists():
        encode(inputs, config, encoded)
    train_fold(
        "pricing.members.multimodal.member:Multimodal", inputs.catalogue, inputs.folds, inputs.features, config, fold,
        0, out, price_features=inputs.price_features, images=inputs.images, prepared=encoded,
        image_folder=inputs.image_folder, resume=root / "work", **options,
    )  # fmt: skip
    return out


def new_rows(inputs: FoldInputs) -> Rows:
    """Other rows than the run's, in another order."""
    rows = FoldRows.read(inputs, None)["test"]
    chosen = np.arange(len(rows))[1::2][::-1]
    return replace(
        rows, frame=rows.frame[chosen], features=rows.features.take(chosen), price=rows.price[chosen],
        ridge=rows.ridge[chosen],
    )  # fmt: skip


def price_again(inputs: FoldInputs, model: Path, encoders: Path | None = None) -> pl.DataFrame:
    loaded = Multimodal.load(model, encoders=encoders or model.parents[1] / "encoded/encoders")
    rows = new_rows(inputs)
    rows = replace(rows, prepared=loaded.encode(rows))
    logs = loaded.predict(rows)
    assert np.array_equal(loaded.predict(rows), logs)
    return rows.ids.to_frame().with_columns(again=pl.Series(logs))


def of_the_fold(out: Path) -> pl.DataFrame:
    return pl.read_parquet(out / "predictions.parquet").filter(pl.col("role") == "test")
