"""The member `sparse_mlp`: one fold trained, and new rows predicted."""

from pathlib import Path

import numpy as np
import polars as pl

from pricing.features.load import FeatureSet
from pricing.members.fold_rows import read_fold, write_curves
from pricing.members.multimodal.settings import MultimodalSettings
from pricing.members.sparse_network import SparseMLPEnsemble
from pricing.members.torch_parts.scaler import TabularScaler
from pricing.metrics.smape import smape_of_logs
from pricing.store.artifacts import write_json
from pricing.store.tables import write_predictions

__all__ = ["predict_sparse_mlp", "train_sparse_mlp"]


def train_sparse_mlp(
    catalogue: Path,
    folds: Path,
    features: Path,
    price_features: Path,
    config: MultimodalSettings,
    fold: int | None,
    seed: int,
    out: Path,
    *,
    epochs: int | None = None,
) -> None:
    """See `pricing.members.neural_stage.train_fold`."""
    settings = config.sparse_mlp if epochs is None else config.sparse_mlp.model_copy(update={"epochs": epochs})
    parts = read_fold(catalogue, folds, features, price_features, fold)
    scaler, numbers = None, {name: np.empty((len(part), 0), np.float32) for name, part in parts.items()}
    if settings.dense:
        tables = {name: _numbers(part.features) for name, part in parts.items()}
        scaler = TabularScaler.fit(tables["learn"])
        numbers = {name: scaler.transform(table) for name, table in tables.items()}
    learn, valid = parts["learn"], parts.get("valid")
    shown = None if valid is None else (valid.features.tfidf, numbers["valid"], valid.log_price)
    ensemble = SparseMLPEnsemble(settings)
    ensemble.fit(learn.features.tfidf, numbers["learn"], learn.log_price, seed, valid=shown)
    predictions = {
        name: (part.frame["sample_id"], ensemble.predict(part.features.tfidf, numbers[name]))
        for name, part in parts.items()
        if name != "learn"
    }
    model = out / "model"
    model.mkdir()
    ensemble.save(model)
    if scaler is not None:
        scaler.save(model / "scaler.json")
    write_json(model / "model.json", {"member": "sparse_mlp"})
    write_predictions(out, predictions)
    write_curves(out, ensemble.curves)
    size = sum(p.numel() for net in ensemble.networks for p in net.parameters())
    record = {
        "member": "sparse_mlp",
        "fold": fold,
        "best_round": settings.epochs,
        "valid_smape": None if valid is None else smape_of_logs(predictions["valid"][1], valid.log_price),
        "params": settings.model_dump(mode="json"),
        "parameters": size,
        "trainable_parameters": size,
        "precision": "fp32",
    }
    write_json(out / "member.json", record)


def predict_sparse_mlp(model: Path, features: FeatureSet) -> np.ndarray:
    """See `pricing.members.neural_stage.predict_member`."""
    ensemble = SparseMLPEnsemble.load(model)
    numbers = np.empty((len(features), 0), np.float32)
    if ensemble.config.dense:
        numbers = TabularScaler.load(model / "scaler.json").transform(_numbers(features))
    return ensemble.predict(features.tfidf, numbers)


def _numbers(features: FeatureSet) -> pl.DataFrame:
    """Engineered columns but svd_* (the terms say more) and price_* (this member's worth lies in erring otherwise)."""
    return features.tabular.select([name for name in features.tabular.columns if not name.startswith("svd_")])
