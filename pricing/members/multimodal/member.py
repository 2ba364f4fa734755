"""The member `multimodal`: builds the network, trains it on one fold, predicts new rows."""

import copy
import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import nn

from pricing.features.load import FeatureSet
from pricing.members.fold_rows import Part, numbers_of, picture_files, read_fold, write_curves
from pricing.members.multimodal.activations import Activations, encode_rows
from pricing.members.multimodal.dataset import AmazonMLDataset
from pricing.members.multimodal.network import OptimizedMultimodalModel
from pricing.members.multimodal.optimisation import choose_precision
from pricing.members.multimodal.prediction import predict_with_tta
from pricing.members.multimodal.ranks import Ranks
from pricing.members.multimodal.settings import MultimodalSettings, TrainingConfig
from pricing.members.multimodal.text_phase import TextPriceModel
from pricing.members.multimodal.towers import Towers
from pricing.members.multimodal.training import TrainingResult, train_neural_network
from pricing.members.torch_parts.scaler import TabularScaler
from pricing.members.torch_parts.tensors import load_model, read_config, save_model
from pricing.pretrained.saved_encoders import SavedEncoders
from pricing.store.artifacts import key_of, key_parts, write_json
from pricing.store.tables import write_predictions

__all__ = ["build_model", "predict_multimodal", "train_multimodal", "train_multimodal_here"]

RIDGE = "price_ridge"  # the linear skip starts at this column


def build_model(towers: Towers, width: int, seed: int) -> OptimizedMultimodalModel:
    """The network with seeded weights; ``width`` tabular columns."""
    torch.manual_seed(seed)
    return OptimizedMultimodalModel(towers.text, towers.image, width, towers.config.fusion)


def initialise_output(model: OptimizedMultimodalModel, scaler: TabularScaler, part: Part) -> None:
    """Start at the ridge's prediction where there is one, else at the median; the head's unit is what is left."""
    weight = torch.zeros(scaler.width)
    place = scaler.position(RIDGE) if model.config.start == "ridge" else None
    bias, left = float(np.median(part.log_price)), part.log_price
    if place is not None:
        index, mean, std = place
        weight[index], bias = std, mean
        left = left - part.price[RIDGE].to_numpy().astype(np.float64)
    model.initialise_output(weight, bias, float(np.std(left)) or 1.0)


def train_multimodal(
    catalogue: Path,
    folds: Path,
    features: Path,
    price_features: Path,
    images: Path | None,
    encoded_folder: Path,
    config: MultimodalSettings,
    fold: int | None,
    seed: int,
    out: Path,
    work: Path,
    *,
    pictures: Path,
    device: torch.device,
    epochs: int | None = None,
) -> None:
    """See `pricing.members.neural_stage.train_fold`."""
    parts = read_fold(catalogue, folds, features, price_features, fold)
    encoded, files = Activations.load(encoded_folder), picture_files(images, pictures, config)
    tables = {name: numbers_of(part.features, part.price, svd=config.fusion.svd) for name, part in parts.items()}
    scaler = TabularScaler.fit(tables["learn"])
    encoders = SavedEncoders(encoded_folder / "encoders", encoded.record["encoders"])
    torch.manual_seed(seed)  # LoRA draws its adapters in the towers
    towers = Towers(config, encoded, encoders)
    datasets = {
        name: towers.dataset(
            part.frame,
            scaler.transform(tables[name]),
            encoded.of("test" if name == "test" else "train"),
            files,
            training=name == "learn",
            seed=seed,
        )
        for name, part in parts.items()
    }
    settings = config.training if epochs is None else config.training.model_copy(update={"epochs": epochs})
    loop: dict[str, Any] = {
        "seed": seed, "device": device, "workers": config.workers,
        "fingerprint": _fingerprint(config, parts, seed, settings.epochs),
    }  # fmt: skip
    first = None
    if settings.text_epochs:
        first = _train_text(towers, datasets, parts["learn"], config, settings, work / "text", loop)
        rate = settings.encoder_learning_rate * settings.second_phase_rate
        settings = settings.model_copy(update={"encoder_learning_rate": rate})
    model = build_model(towers, scaler.width, seed)
    initialise_output(model, scaler, parts["learn"])
    result = train_neural_network(
        model, datasets["learn"], datasets.get("valid"), settings, config.checkpoint, work, **loop
    )
    record = {"fold": fold, "params": settings.model_dump(mode="json"), **_describe(model, towers, result, first)}
    record["pictures"] = {name: int(data.pictures.present.sum()) for name, data in datasets.items() if data.pictures}
    record |= {f"{kind}_encoder": encoders.records[kind] for kind in ("text", "image")}
    if Ranks().first:
        _save(model, scaler, config, encoders, out / "model")
    towers.merge()
    precision = choose_precision(settings.precision, device)
    predictions = {
        name: (
            part.frame["sample_id"],
            predict_with_tta(model, datasets[name], precision, settings.tta, workers=config.workers),
        )
        for name, part in parts.items()
        if name != "learn"
    }
    if not Ranks().first:
        return
    write_predictions(out, predictions)
    earlier = [curve | {"split": f"text_{curve['split']}"} for curve in first.curves] if first else []
    write_curves(out, earlier + result.curves)
    write_json(out / "member.json", record)
    shutil.rmtree(work, ignore_errors=True)  # the result lies in out; checkpoints of finished folds only fill the disk


def train_multimodal_here(device: torch.device, args: tuple[Any, ...], options: dict[str, Any]) -> None:
    """`train_multimodal` in one of several processes."""
    train_multimodal(*args, **options, device=device)


def _train_text(
    towers: Towers,
    datasets: Mapping[str, AmazonMLDataset],
    part: Part,
    config: MultimodalSettings,
    settings: TrainingConfig,
    work: Path,
    loop: dict[str, Any],
) -> TrainingResult:
    """Phase one: train the text tower in place."""
    assert towers.text is not None
    without = {name: copy.copy(data) for name, data in datasets.items() if name in ("learn", "valid")}
    for data in without.values():
        data.pictures = None  # not decoded for nothing
    torch.manual_seed(loop["seed"])
    model = TextPriceModel(towers.text, float(np.median(part.log_price)), float(np.std(part.log_price)) or 1.0)
    settings = settings.model_copy(update={"epochs": settings.text_epochs})
    return train_neural_network(
        model, without["learn"], without.get("valid"), settings, config.checkpoint, work, **loop
    )


def predict_multimodal(
    folder: Path,
    encoders_folder: Path,
    frame: pl.DataFrame,
    features: FeatureSet,
    price: pl.DataFrame,
    images: pl.DataFrame | None,
    pictures: Path | None,
    encoded_folder: Path,
    *,
    device: torch.device,
) -> np.ndarray:
    """See `pricing.members.neural_stage.predict_member`."""
    saved = read_config(folder)
    config = MultimodalSettings.model_validate(saved["config"])
    encoders = SavedEncoders(encoders_folder, {kind: saved[kind] for kind in ("text", "image")})
    scaler = TabularScaler.load(folder / "scaler.json")
    files = picture_files(images, pictures, config)
    if not any(encoded_folder.iterdir()):
        encode_rows(frame.with_columns(part=pl.lit("test")), files, config, encoders, encoded_folder, device)
    encoded = Activations.load(encoded_folder)
    towers = Towers(config, encoded, encoders)
    model = build_model(towers, scaler.width, 0)
    load_model(model, folder)
    towers.merge()
    model.to(device).eval()
    data = towers.dataset(frame, scaler.transform(numbers_of(features, price, svd=config.fusion.svd)), encoded, files)
    precision = choose_precision(config.training.precision, device)
    return predict_with_tta(model, data, precision, config.training.tta, workers=config.workers)


def _describe(
    model: OptimizedMultimodalModel, towers: Towers, result: TrainingResult, first: TrainingResult | None
) -> dict[str, Any]:
    """How the network was trained and how large it is, as member.json has it; ``first`` is of phase one."""
    return {
        "member": "multimodal",
        "best_round": result.best_epoch,
        "valid_smape": result.best_smape,
        "text_phase": first and {"best_epoch": first.best_epoch, "valid_smape": first.best_smape},
        "parameters": model.count_parameters(),
        "trainable_parameters": model.count_trainable_parameters(),
        "lora_share": towers.lora and towers.lora.share,
        "precision": result.precision,
        "processes": Ranks().size,
    }


def _save(
    model: nn.Module, scaler: TabularScaler, config: MultimodalSettings, encoders: SavedEncoders, folder: Path
) -> None:
    """Trained tensors, configuration, and what the encoders are; these lie once a run, not once a fold."""
    folder.mkdir()
    tree = config.model_dump(mode="json")
    for kind, record in encoders.records.items():
        tree[kind]["name"] = record["name"] if record else ""  # no path of this machine
    save_model(model, folder, {"member": "multimodal", "config": tree, **encoders.records})
    scaler.save(folder / "scaler.json")


def _fingerprint(config: MultimodalSettings, parts: Mapping[str, Part], seed: int, epochs: int) -> str:
    """Says whether a checkpoint belongs to this training: by these rows, with these settings, code and libraries."""
    rows = hashlib.sha256()
    for name, part in sorted(parts.items()):
        rows.update(f"{name}:".encode() + "\n".join(part.frame["sample_id"]).encode())
        if name != "test":
            rows.update(part.log_price.tobytes())
    settings = config.model_dump(mode="json", exclude={"checkpoint"})
    inputs = {"config": settings, "rows": rows.hexdigest(), "seed": seed, "epochs": epochs}
    return key_of(key_parts("neural", "pricing.members.neural_stage", inputs))
