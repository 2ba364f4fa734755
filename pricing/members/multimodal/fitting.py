"""Fits the network to the rows of one fold, in this process or in several."""

import copy
import hashlib
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from pricing.features.schema import one_with_role
from pricing.members.contract import Description
from pricing.members.fold_rows import FoldInputs, FoldRows, Rows
from pricing.members.multimodal.activations import Activations
from pricing.members.multimodal.dataset import AmazonMLDataset
from pricing.members.multimodal.encoder_parts import EncoderParts
from pricing.members.multimodal.ranks import Ranks, launch
from pricing.members.multimodal.settings import MultimodalSettings, TrainingConfig
from pricing.members.multimodal.text_phase import TextPriceModel
from pricing.members.multimodal.towers import Towers
from pricing.members.multimodal.trained_network import TrainedNetwork
from pricing.members.multimodal.training import TrainingResult, train_neural_network
from pricing.members.torch_parts.scaler import TabularScaler
from pricing.pretrained.saved_encoders import SavedEncoders
from pricing.store.artifacts import key_of, key_parts, read_json, write_json


def fit_network(
    rows: FoldRows, settings: MultimodalSettings, seed: int, epochs: int | None, work: Path, device: torch.device
) -> tuple[TrainedNetwork, Description]:
    """Train a network on a fold's rows.

    Parameters
    ----------
    rows : FoldRows
        Its ``prepared`` is the folder of the encode step.
    epochs : int or None
        Passes over the rows; None for those of the settings.
    work : Path
        Folder for checkpoints; a killed training found there is continued.
    device : torch.device
        Of one process; several ones get a device each.

    Raises
    ------
    TrainingError
        Training diverged, or one of several processes failed.
    """
    if settings.processes == 1:
        return _fit_here(rows, settings, seed, epochs, work, device)
    with TemporaryDirectory(prefix="pricing-") as folder:
        saved = Path(folder)
        launch(_fit_rank, settings.processes, device, (rows.inputs, rows.fold, settings, seed, epochs, work, saved))
        description = Description(**read_json(saved / "description.json"))
        return TrainedNetwork.load(saved, rows.train.prepared / "encoders"), description


def _fit_rank(
    device: torch.device,
    inputs: FoldInputs,
    fold: int | None,
    settings: MultimodalSettings,
    seed: int,
    epochs: int | None,
    work: Path,
    out: Path,
) -> None:
    """`fit_network` in one of several processes, the first of which writes the network."""
    network, description = _fit_here(FoldRows.read(inputs, fold), settings, seed, epochs, work, device)
    if Ranks().first:
        network.save(out)
        write_json(out / "description.json", asdict(description))


def _fit_here(
    rows: FoldRows, settings: MultimodalSettings, seed: int, epochs: int | None, work: Path, device: torch.device
) -> tuple[TrainedNetwork, Description]:
    train, valid = rows.train, rows.valid
    encoded = Activations.given(train.prepared)
    scaler = TabularScaler.fit(train.table(), without=() if settings.fusion.svd else train.of_family("svd"))
    encoders = SavedEncoders(train.prepared / "encoders", encoded.record["encoders"])
    # LoRA draws its adapters in the towers
    torch.manual_seed(seed)
    towers = Towers(encoded.record, EncoderParts(settings, encoders))
    lora_share = towers.lora_share
    network = TrainedNetwork(settings, scaler, encoded.record, towers, seed)
    learn = network.dataset(train, training=True, seed=seed)
    judged = None if valid is None else network.dataset(valid, seed=seed)
    training = settings.training if epochs is None else settings.training.model_copy(update={"epochs": epochs})
    loop: dict[str, Any] = {
        "seed": seed,
        "device": device,
        "workers": settings.workers,
        "fingerprint": _fingerprint(rows, settings, seed, training.epochs),
    }
    first = None
    if training.text_epochs:
        first = _train_text(towers, (learn, judged), train, settings, training, work / "text", loop)
        rate = training.encoder_learning_rate * training.second_phase_rate
        training = training.model_copy(update={"encoder_learning_rate": rate})
    _initialise_output(network, train)
    result = train_neural_network(network.model, learn, judged, training, settings.checkpoint, work, **loop)
    earlier = [curve | {"split": f"text_{curve['split']}"} for curve in first.curves] if first else []
    record = {
        "params": training.model_dump(mode="json"),
        "text_phase": first and {"best_epoch": first.best_epoch, "valid_smape": first.best_smape},
        "parameters": network.model.count_parameters(),
        "trainable_parameters": network.model.count_trainable_parameters(),
        "lora_share": lora_share,
        "precision": result.precision,
        "processes": Ranks().size,
        "images": None if learn.images is None else int(learn.images.present.sum()),
        **{f"{kind}_encoder": encoders.records[kind] for kind in ("text", "image")},
    }
    return network, Description(result.best_epoch, record, earlier + result.curves)


def _initialise_output(network: TrainedNetwork, rows: Rows) -> None:
    """Start at the ridge's prediction where there is one, else at the median; the head's unit is what is left."""
    weight = torch.zeros(network.scaler.width)
    ridge = one_with_role(rows.price_columns, "ridge") if network.settings.fusion.start == "ridge" else None
    place = network.scaler.position(ridge) if ridge else None
    bias, left = float(np.median(rows.log_price)), rows.log_price
    if ridge and place is not None:
        index, mean, std = place
        weight[index], bias = std, mean
        left = left - rows.price[ridge].to_numpy().astype(np.float64)
    network.model.initialise_output(weight, bias, float(np.std(left)) or 1.0)


def _train_text(
    towers: Towers,
    data: tuple[AmazonMLDataset, AmazonMLDataset | None],
    rows: Rows,
    settings: MultimodalSettings,
    training: TrainingConfig,
    work: Path,
    loop: dict[str, Any],
) -> TrainingResult:
    """Phase one: train the text tower in place."""
    assert towers.text is not None
    learn, judged = (None if one is None else _without_images(one) for one in data)
    assert learn is not None
    torch.manual_seed(loop["seed"])
    model = TextPriceModel(towers.text, float(np.median(rows.log_price)), float(np.std(rows.log_price)) or 1.0)
    training = training.model_copy(update={"epochs": training.text_epochs})
    return train_neural_network(model, learn, judged, training, settings.checkpoint, work, **loop)


def _without_images(data: AmazonMLDataset) -> AmazonMLDataset:
    """The same rows; the text alone is read, and images shall not be decoded for nothing."""
    other = copy.copy(data)
    other.images = None
    return other


def _fingerprint(rows: FoldRows, settings: MultimodalSettings, seed: int, epochs: int) -> str:
    """Says whether a checkpoint belongs to this training: by these rows, with these settings, code and libraries."""
    digest = hashlib.sha256()
    for role in ("train", "valid"):
        if role in rows:
            digest.update(f"{role}:".encode() + "\n".join(rows[role].ids).encode())
            digest.update(rows[role].log_price.tobytes())
    tree = settings.model_dump(mode="json", exclude={"checkpoint"})
    inputs = {"settings": tree, "rows": digest.hexdigest(), "seed": seed, "epochs": epochs}
    return key_of(key_parts("neural", "pricing.members.multimodal.fitting", inputs))
