"""Rows a second of this training loop against a Hugging Face Trainer: ``python benchmarks/neural_throughput.py``.

The same encoder, head, loss, optimiser rates, precision and token ids; texts of the catalogue given (by default the
sample catalogue's). The Trainer pads dynamically, once in random order and once with ``group_by_length``. The loss is
that of held-out rows after the same number of rows; a second seed of each says how much of a difference is chance.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from pricing.pretrained import vision_ops  # isort: skip  # before transformers

import numpy as np
import polars as pl
import torch
from torch import nn
from transformers import Trainer, TrainingArguments

from pricing.catalogue.sample import generate_sample
from pricing.config.neural import CheckpointConfig, TrainingConfig
from pricing.neural.dataset import AmazonMLDataset
from pricing.neural.encoders import TextTower
from pricing.neural.losses import make_loss
from pricing.neural.multimodal import Batch
from pricing.neural.optimisation import choose_precision
from pricing.neural.prediction import predict
from pricing.neural.sources import TokenTexts, tokenize
from pricing.neural.text_phase import TextPriceModel
from pricing.neural.training import train_neural_network
from pricing.pretrained.text import compose_text
from pricing.pretrained.weights import find_encoder, load_text_encoder, load_tokenizer

assert vision_ops is not None
CPU, RATE, BATCH = torch.device("cpu"), 5e-5, 16


class ForTrainer(nn.Module):
    """The same network with the signature that a Trainer wants."""

    def __init__(self, network: TextPriceModel) -> None:
        super().__init__()
        self.network, self.loss = network, make_loss("smooth_l1")

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor) -> dict[str, Any]:
        rows = torch.arange(len(labels))
        batch = Batch(input_ids, attention_mask.bool(), None, None, torch.empty(len(labels), 0), None, rows)
        return {"loss": self.loss(self.network(batch), labels)}


def pad(items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    ids = [torch.tensor(item["input_ids"]) for item in items]
    mask = [torch.ones_like(one) for one in ids]
    sequences = (nn.utils.rnn.pad_sequence(one, batch_first=True) for one in (ids, mask))
    names = ("input_ids", "attention_mask")
    return dict(zip(names, sequences, strict=True)) | {"labels": torch.tensor([item["labels"] for item in items])}


def data(ids: list[np.ndarray], target: np.ndarray) -> AmazonMLDataset:
    names = [str(row) for row in range(len(ids))]
    frame = pl.DataFrame({"sample_id": names, "log_price": target})
    return AmazonMLDataset(frame, frame.select("sample_id", zero=pl.lit(0.0)), text=TokenTexts.of(ids))


def network(name: str, target: np.ndarray, seed: int) -> TextPriceModel:
    encoder: Any = load_text_encoder(find_encoder(name, "text"))
    encoder.pooler = None
    torch.manual_seed(seed)
    return TextPriceModel(TextTower(encoder, encoder.config.hidden_size, upper=False), float(np.median(target)), 1.0)


def train(kind: str, model: TextPriceModel, ids: list[np.ndarray], target: np.ndarray, seed: int) -> float:
    """Seconds of one epoch."""
    with tempfile.TemporaryDirectory() as work:
        if kind == "this loop":
            config = TrainingConfig(
                epochs=1, batch_size=BATCH, accumulation=1, learning_rate=RATE, encoder_learning_rate=RATE,
                layer_decay=1.0, ema_decay=0.0, warmup=0.1,
            )  # fmt: skip
            rows = data(ids, target)
            started = time.perf_counter()
            train_neural_network(model, rows, None, config, CheckpointConfig(), Path(work), seed=seed, device=CPU)
            return time.perf_counter() - started
        arguments = TrainingArguments(
            output_dir=work, num_train_epochs=1, per_device_train_batch_size=BATCH, learning_rate=RATE,
            weight_decay=0.01, warmup_steps=round(0.1 * len(ids) / BATCH), lr_scheduler_type="linear", use_cpu=True,
            bf16=choose_precision("auto", CPU).name == "bf16", seed=seed, save_strategy="no", report_to=[],
            logging_strategy="no", disable_tqdm=True, remove_unused_columns=False,
            train_sampling_strategy="group_by_length" if kind == "Trainer, group_by_length" else "random",
        )  # fmt: skip
        items: Any = [
            {"input_ids": one.tolist(), "labels": np.float32(price)} for one, price in zip(ids, target, strict=True)
        ]
        trainer = Trainer(ForTrainer(model), arguments, train_dataset=items, data_collator=pad)
        started = time.perf_counter()
        trainer.train()
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=Path, help="a catalogue's train.csv; the sample catalogue if left out")
    parser.add_argument("--encoder", default="all-MiniLM-L6-v2")
    parser.add_argument("--rows", type=int, default=1280)
    parser.add_argument("--max-length", type=int, default=256)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = given.train or generate_sample(Path(folder), rows=given.rows + 320, test_rows=0, images=False).train
        frame = pl.read_csv(path, schema_overrides={"sample_id": pl.String})
    frame = frame.sample(given.rows + 320, seed=0)
    texts = [compose_text(text) for text in frame["catalog_content"]]
    tokenizer = load_tokenizer(find_encoder(given.encoder, "text"))
    ids = [windows[0] for windows in tokenize(tokenizer, texts, given.max_length)]
    target = frame["price"].log().to_numpy()
    rows, held = slice(0, given.rows), slice(given.rows, None)
    kinds = ("this loop", "Trainer, random", "Trainer, group_by_length")
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    for seed in (0, 1):
        for kind in kinds:
            model = network(given.encoder, target[rows], seed)
            seconds = train(kind, model, ids[rows], target[rows], seed)
            prices = predict(model, data(ids[held], target[held]), choose_precision("fp32", CPU))
            loss = float(make_loss("smooth_l1")(torch.from_numpy(prices), torch.from_numpy(target[held])))
            found[kind].append((given.rows / seconds, loss))
    own = float(np.mean([speed for speed, _ in found["this loop"]]))
    print(f"{'':26s} rows/s  this loop is  held-out loss, two seeds")
    for kind, both in found.items():
        speed = float(np.mean([speed for speed, _ in both]))
        losses = "  ".join(f"{loss:.4f}" for _, loss in both)
        print(f"{kind:26s} {speed:6.1f}  {own / speed:9.2f} x  {losses}")


if __name__ == "__main__":
    main()
