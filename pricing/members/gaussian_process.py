"""The member `gaussian_process`: one fold trained, and new rows predicted."""

from pathlib import Path

import numpy as np
import polars as pl
import torch
from sklearn.preprocessing import normalize

from pricing.features.load import FeatureSet
from pricing.members.fold_rows import numbers_of, read_fold, write_curves
from pricing.members.kernels.kernel import ProductKernel, Products, group_of
from pricing.members.kernels.process import GaussianProcess
from pricing.members.multimodal.settings import MultimodalSettings
from pricing.members.torch_parts.scaler import TabularScaler
from pricing.members.torch_parts.tensors import read_config
from pricing.metrics.smape import smape_of_logs
from pricing.store.artifacts import write_json
from pricing.store.tables import write_predictions

__all__ = ["predict_gaussian_process", "train_gaussian_process"]

AMOUNTS = ("ipq_log_amount", "ipq_log_pack")


def train_gaussian_process(
    catalogue: Path,
    folds: Path,
    features: Path,
    price_features: Path,
    config: MultimodalSettings,
    fold: int | None,
    seed: int,
    out: Path,
) -> None:
    """See `pricing.members.neural_stage.train_fold`."""
    parts = read_fold(catalogue, folds, features, price_features, fold)
    learn = parts["learn"]
    scaler = TabularScaler.fit(numbers_of(learn.features, learn.price, svd=False))
    products = {name: _products(part.features, part.price, scaler) for name, part in parts.items()}
    meaning = products["learn"].meaning is not None
    process = GaussianProcess(config.gaussian_process, _kernel(scaler, meaning))
    process.fit(products["learn"], learn.log_price, seed)
    predictions = {
        name: (part.frame["sample_id"], process.predict(products[name]))
        for name, part in parts.items()
        if name != "learn"
    }
    model = out / "model"
    model.mkdir()
    process.save(model)
    scaler.save(model / "scaler.json")
    write_json(model / "model.json", {"member": "gaussian_process", "meaning": meaning})
    write_predictions(out, predictions)
    write_curves(out, process.curves)
    valid = parts.get("valid")
    record = {
        "member": "gaussian_process",
        "fold": fold,
        "best_round": config.gaussian_process.steps,
        "valid_smape": None if valid is None else smape_of_logs(predictions["valid"][1], valid.log_price),
        "params": config.gaussian_process.model_dump(mode="json"),
        "kernel": {name: float(value.detach().exp()) for name, value in process.kernel.log.items()},
        "trainable_parameters": sum(parameter.numel() for parameter in process.kernel.parameters()),
    }
    write_json(out / "member.json", record)


def predict_gaussian_process(model: Path, features: FeatureSet, price: pl.DataFrame) -> np.ndarray:
    """See `pricing.members.neural_stage.predict_member`."""
    scaler = TabularScaler.load(model / "scaler.json")
    kernel = _kernel(scaler, bool(read_config(model)["meaning"]))
    return GaussianProcess.load(model, kernel).predict(_products(features, price, scaler))


def _kernel(scaler: TabularScaler, meaning: bool) -> ProductKernel:
    groups = [group_of(column) for column in (*scaler.numeric, *(column for column, _ in scaler.levels))]
    amounts = [scaler.numeric.index(name) for name in AMOUNTS if name in scaler.numeric]
    return ProductKernel(groups, amounts, meaning)


def _products(features: FeatureSet, price: pl.DataFrame, scaler: TabularScaler) -> Products:
    numbers = scaler.transform(numbers_of(features, price, svd=False))  # the words are read themselves
    meaning = None if features.embedding is None else torch.from_numpy(features.embedding.astype(np.float64))
    return Products(torch.from_numpy(numbers.astype(np.float64)), normalize(features.tfidf), meaning)
