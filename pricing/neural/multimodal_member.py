"""The member `multimodal`: builds the network, trains it on one fold, predicts new rows."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import nn

from pricing.config import NeuralConfig
from pricing.errors import WeightsError
from pricing.features.load import FeatureSet
from pricing.neural.activations import Activations, encode_rows, keeps_pictures, keeps_texts
from pricing.neural.dataset import AmazonMLDataset
from pricing.neural.encoders import ImageTower, TextTower, split_text_encoder
from pricing.neural.io import load_model, read_config, save_model
from pricing.neural.lora import setup_lora
from pricing.neural.multimodal import OptimizedMultimodalModel
from pricing.neural.optimisation import choose_precision
from pricing.neural.prediction import predict_with_tta
from pricing.neural.rows import Part, numbers_of, picture_files, read_fold, write_curves, write_predictions
from pricing.neural.sources import PictureFiles, TokenTexts, picture_transform, tokenize
from pricing.neural.tabular import TabularScaler
from pricing.neural.text import compose_text
from pricing.neural.training import train_neural_network
from pricing.neural.weights import (
    Source,
    describe,
    find_encoder,
    load_image_encoder,
    load_text_encoder,
    load_tokenizer,
)

__all__ = ["build_model", "predict_multimodal", "train_multimodal"]

RIDGE = "price_ridge"  # the linear skip starts at this column
LOCAL = "@"  # in a saved configuration: the encoder lies in the model's own folder


def enable_checkpointing(encoder: Any) -> None:
    """Recompute activations in the backward pass; transformers 5 renamed the switch."""
    if hasattr(encoder, "activation_checkpointing_enable"):
        encoder.activation_checkpointing_enable()
    else:
        encoder.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


class Towers:
    """The encoders of one training: what is trained of them, and how rows are read for them."""

    def __init__(self, config: NeuralConfig, encoded: Activations) -> None:
        self.config = config
        self.text, self.tokenizer, self.text_record = self._text(encoded.record.get("text"))
        self.image, self.transforms, self.image_record = self._image(encoded.record.get("image"))

    def _text(self, kept: Mapping[str, Any] | None) -> tuple[TextTower | None, Any, dict[str, Any] | None]:
        settings = self.config.text
        if not settings.enabled:
            return None, None, None
        if settings.trainable_layers == 0:
            assert kept is not None
            return TextTower(None, kept["width"], upper=True), None, dict(kept)
        source = find_encoder(settings.name, "text")
        encoder: Any = load_text_encoder(source)
        record = describe(source, encoder.state_dict())
        if kept is not None and kept["sha256"] != record["sha256"]:
            raise WeightsError(
                f"text encoder {settings.name}: its tensors hash to {record['sha256'][:12]}, the kept activations' "
                f"to {kept['sha256'][:12]}; put the same weights back or run the encode stage again"
            )
        width = int(encoder.config.hidden_size)
        part = encoder
        if settings.trainable_layers is not None:
            _, part = split_text_encoder(encoder, settings.trainable_layers)
        elif hasattr(encoder, "pooler"):
            encoder.pooler = None
        if settings.gradient_checkpointing:
            enable_checkpointing(part)
        if self.config.lora.enabled:
            part, _ = setup_lora(part, self.config.lora)
        tokenizer = load_tokenizer(source) if settings.trainable_layers is None else None
        return TextTower(part, width, upper=settings.trainable_layers is not None), tokenizer, record

    def _image(self, kept: Mapping[str, Any] | None) -> tuple[ImageTower | None, Any, dict[str, Any] | None]:
        settings = self.config.image
        if not settings.enabled:
            return None, None, None
        if settings.frozen == "all":
            assert kept is not None
            return ImageTower(None, kept["width"]), None, dict(kept)
        source = find_encoder(settings.name, "image")
        encoder: Any = load_image_encoder(source)
        record = describe(source, encoder.state_dict())
        transforms = [picture_transform(encoder, settings.side, training=training) for training in (False, True)]
        return ImageTower(encoder, int(encoder.num_features), settings.frozen), transforms, record

    def dataset(
        self, frame: pl.DataFrame, values: np.ndarray, encoded: Activations, files: Mapping[str, Path], **options: Any
    ) -> AmazonMLDataset:
        """Rows with their texts and pictures, kept or to be computed."""
        ids = frame["sample_id"]
        text: Any = None
        pictures: Any = None
        if self.config.text.enabled:
            if keeps_texts(self.config):
                text = encoded.texts(ids)
            else:
                texts = [compose_text(content) for content in frame["catalog_content"]]
                text = TokenTexts(tokenize(self.tokenizer, texts, self.config.text.max_length))
        if self.config.image.enabled:
            if keeps_pictures(self.config):
                pictures = encoded.pictures(ids)
            else:
                pictures = PictureFiles([files.get(link) for link in frame["image_link"]], *self.transforms)
        features = pl.DataFrame(values).insert_column(0, ids)
        return AmazonMLDataset(frame, features, text=text, pictures=pictures, **options)


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
    config: NeuralConfig,
    fold: int | None,
    seed: int,
    out: Path,
    work: Path,
    *,
    pictures: Path,
    device: torch.device,
    epochs: int | None = None,
) -> None:
    """See `pricing.neural.stage.train_fold`."""
    parts = read_fold(catalogue, folds, features, price_features, fold)
    encoded, files = Activations.load(encoded_folder), picture_files(images, pictures, config)
    tables = {name: numbers_of(part.features, part.price, svd=config.fusion.svd) for name, part in parts.items()}
    scaler = TabularScaler.fit(tables["learn"])
    towers = Towers(config, encoded)
    datasets = {
        name: towers.dataset(
            part.frame, scaler.transform(tables[name]), encoded, files, training=name == "learn", seed=seed
        )
        for name, part in parts.items()
    }
    model = build_model(towers, scaler.width, seed)
    initialise_output(model, scaler, parts["learn"])
    settings = config.training if epochs is None else config.training.model_copy(update={"epochs": epochs})
    result = train_neural_network(
        model, datasets["learn"], datasets.get("valid"), settings, config.checkpoint, work,
        seed=seed, device=device, workers=config.workers, fingerprint=_fingerprint(config, parts, seed,
        settings.epochs),
    )  # fmt: skip
    precision = choose_precision(settings.precision, device)
    predictions = {
        name: (part.frame["sample_id"], predict_with_tta(model, datasets[name], precision, settings.tta))
        for name, part in parts.items()
        if name != "learn"
    }
    folder = out / "model"
    folder.mkdir()
    _save(model, scaler, towers, config, encoded, folder)
    write_predictions(out, predictions)
    write_curves(out, result.curves)
    record = {
        "member": "multimodal",
        "fold": fold,
        "best_round": result.best_epoch,
        "valid_smape": result.best_smape,
        "params": settings.model_dump(mode="json"),
        "parameters": model.count_parameters(),
        "trainable_parameters": model.count_trainable_parameters(),
        "precision": result.precision,
        "text_encoder": read_config(folder)["text"],
        "image_encoder": read_config(folder)["image"],
        "pictures": {name: int(data.pictures.present.sum()) for name, data in datasets.items() if data.pictures},
    }
    (out / "member.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    shutil.rmtree(work, ignore_errors=True)  # the result lies in out; checkpoints of finished folds only fill the disk


def predict_multimodal(
    folder: Path,
    frame: pl.DataFrame,
    features: FeatureSet,
    price: pl.DataFrame,
    images: pl.DataFrame | None,
    pictures: Path | None,
    *,
    device: torch.device,
) -> np.ndarray:
    """See `pricing.neural.stage.predict_member`."""
    saved = read_config(folder)
    config = NeuralConfig.model_validate(_at_home(saved["config"], folder))
    scaler = TabularScaler.load(folder / "scaler.json")
    files = picture_files(images, pictures, config)
    with tempfile.TemporaryDirectory(prefix="pricing-") as name:
        encode_rows(frame, files, config, Path(name), device)
        encoded = Activations.load(Path(name))
        towers = Towers(config, encoded)
        for what, record in (("text", towers.text_record), ("image", towers.image_record)):
            if record is not None and record["sha256"] != saved[what]["sha256"]:
                raise WeightsError(
                    f"{what} encoder {record['name']}: tensors hash to {record['sha256'][:12]}, trained on "
                    f"{saved[what]['sha256'][:12]}; install the version of the weights that run.json names"
                )
        model = build_model(towers, scaler.width, 0)
        load_model(model, folder)
        model.to(device).eval()
        data = towers.dataset(
            frame, scaler.transform(numbers_of(features, price, svd=config.fusion.svd)), encoded, files
        )
        precision = choose_precision(config.training.precision, device)
        return predict_with_tta(model, data, precision, config.training.tta)


def _save(
    model: nn.Module, scaler: TabularScaler, towers: Towers, config: NeuralConfig, encoded: Activations, folder: Path
) -> None:
    """Trained tensors, configuration, the encoders' names and hashes; an encoder from a local folder is copied
    beside."""
    tree = config.model_dump(mode="json")
    records = {"text": towers.text_record, "image": towers.image_record}
    for kind in ("text", "image"):
        record = records[kind]
        if record is not None and Path(tree[kind]["name"]).is_dir():
            source = Source(tree[kind]["name"], "folder", Path(tree[kind]["name"]))
            assert source.path is not None
            (folder / f"{kind}_encoder").mkdir()
            for file in sorted(source.path.iterdir()):
                if file.is_file() and file.suffix in (".json", ".txt", ".model", ".safetensors"):
                    shutil.copyfile(file, folder / f"{kind}_encoder" / file.name)
            tree[kind]["name"] = f"{LOCAL}{kind}_encoder"
            records[kind] = record | {"name": "local"}
    save_model(model, folder, {"member": "multimodal", "config": tree, **records})
    scaler.save(folder / "scaler.json")


def _at_home(tree: dict[str, Any], folder: Path) -> dict[str, Any]:
    tree = json.loads(json.dumps(tree))
    for kind in ("text", "image"):
        name = tree[kind]["name"]
        if name.startswith(LOCAL):
            tree[kind]["name"] = str(folder / name.removeprefix(LOCAL))
    return tree


def _fingerprint(config: NeuralConfig, parts: Mapping[str, Part], seed: int, epochs: int) -> str:
    """Says whether a checkpoint belongs to this training."""
    digest = hashlib.sha256(f"{config.model_dump_json(exclude={'checkpoint'})} {seed} {epochs}".encode())
    for name, part in sorted(parts.items()):
        digest.update(f"{name}:".encode() + "\n".join(part.frame["sample_id"]).encode())
        if name != "test":
            digest.update(part.log_price.tobytes())
    return digest.hexdigest()
