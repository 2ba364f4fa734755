"""Rows a second of this training loop against a Hugging Face Trainer: ``python benchmarks/neural_throughput.py``.

The same encoder, head, loss, optimiser (AdamW, fused), rates, clipping, precision and token ids; texts of the catalogue
given (by default the sample catalogue's). The Trainer pads dynamically, once in random order and once with
``group_by_length``. The loss is that of held-out rows after the same number of rows; a second seed of each says how
much of a difference is chance. The three take turns, and each one's fastest run counts: other work can only slow a run
down. The checkpoint at the end of this loop's epoch is timed apart, since the Trainer is told to write none.
``--random`` takes a deberta-v3-small of random weights, where none is at hand.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from pricing.pretrained import vision_ops  # isort: skip  # before transformers

import numpy as np
import polars as pl
import torch
from torch import nn
from transformers import Trainer, TrainingArguments

from benchmarks.published_encoders import write_deberta_v3_small
from pricing.members.multimodal.checkpoint import CheckpointManager
from pricing.members.multimodal.dataset import AmazonMLDataset
from pricing.members.multimodal.encoders import TextTower
from pricing.members.multimodal.inputs import TokenTexts, tokenize
from pricing.members.multimodal.losses import make_loss
from pricing.members.multimodal.network import Batch
from pricing.members.multimodal.optimisation import choose_precision
from pricing.members.multimodal.prediction import predict
from pricing.members.multimodal.settings import CheckpointConfig, TrainingConfig
from pricing.members.multimodal.text_phase import TextPriceModel
from pricing.members.multimodal.training import train_neural_network
from pricing.pretrained.text import compose_texts
from pricing.pretrained.weights import find_encoder, load_text_encoder, load_tokenizer
from pricing.sample.generate import generate_sample

assert vision_ops is not None
RATE = 5e-5


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


@dataclass
class Epoch:
    """Seconds of one epoch, of them those of checkpoints, and the tokens computed, padding included."""

    seconds: float
    saving: float
    tokens: int


def train(
    kind: str,
    model: TextPriceModel,
    ids: list[np.ndarray],
    target: np.ndarray,
    seed: int,
    batch: int,
    device: torch.device,
) -> Epoch:
    """One epoch."""
    saving, tokens = [], []
    write = CheckpointManager.save_checkpoint

    def timed(*args: Any, **kwargs: Any) -> Path:
        started = time.perf_counter()
        path = write(*args, **kwargs)
        saving.append(time.perf_counter() - started)
        return path

    counter = model.text.register_forward_pre_hook(lambda _, args: tokens.append(args[0].numel()))
    with patch.object(CheckpointManager, "save_checkpoint", timed), tempfile.TemporaryDirectory() as work:
        epoch = prepare_epoch(kind, model, ids, target, seed, batch, device, work)
        started = time.perf_counter()
        epoch()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
    counter.remove()
    return Epoch(seconds - sum(saving), sum(saving), sum(tokens))


def prepare_epoch(
    kind: str, model: TextPriceModel, ids: list[np.ndarray], target: np.ndarray, seed: int, batch: int,
    device: torch.device, work: str,
) -> Callable[[], Any]:  # fmt: skip
    """What one of the three has to run."""
    if kind == "this loop":
        config = TrainingConfig(
            epochs=1, batch_size=batch, accumulation=1, learning_rate=RATE, encoder_learning_rate=RATE,
            layer_decay=1.0, ema_decay=0.0, warmup=0.1,
        )  # fmt: skip
        rows = data(ids, target)
        arguments = (model, rows, None, config, CheckpointConfig(), Path(work))
        return partial(train_neural_network, *arguments, seed=seed, device=device)
    settings = TrainingArguments(
        output_dir=work, num_train_epochs=1, per_device_train_batch_size=batch, learning_rate=RATE,
        weight_decay=0.01, warmup_steps=round(0.1 * len(ids) / batch), lr_scheduler_type="linear",
        use_cpu=device.type == "cpu", bf16=choose_precision("auto", device).name == "bf16", seed=seed,
        save_strategy="no", report_to=[], logging_strategy="no", disable_tqdm=True, remove_unused_columns=False,
        optim="adamw_torch_fused",
        train_sampling_strategy="group_by_length" if kind == "Trainer, group_by_length" else "random",
    )  # fmt: skip
    items: Any = [
        {"input_ids": one.tolist(), "labels": np.float32(price)} for one, price in zip(ids, target, strict=True)
    ]
    return Trainer(ForTrainer(model), settings, train_dataset=items, data_collator=pad).train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=Path, help="a catalogue's train.csv; the sample catalogue if left out")
    parser.add_argument("--encoder", default="all-MiniLM-L6-v2")
    parser.add_argument("--random", action="store_true", help="deberta-v3-small with random weights as the encoder")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rows", type=int, default=1280)
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(given, Path(folder))


def compare(given: argparse.Namespace, folder: Path) -> None:
    """Train all kinds with all seeds and print the table."""
    path = given.train
    if path is None:
        path = generate_sample(folder / "sample", rows=given.rows + 320, test_rows=0, images=False).train
    frame = pl.read_csv(path, schema_overrides={"sample_id": pl.String})
    frame = frame.sample(given.rows + 320, seed=0)
    texts = compose_texts(frame["catalog_content"])
    device = torch.device(given.device)
    encoder = str(write_deberta_v3_small(folder / "encoder", texts)) if given.random else given.encoder
    tokenizer = load_tokenizer(find_encoder(encoder, "text"))
    ids = [windows[0] for windows in tokenize(tokenizer, texts, given.max_length)]
    target = frame["price"].log().to_numpy()
    rows, held = slice(0, given.rows), slice(given.rows, None)
    kinds = ("this loop", "Trainer, random", "Trainer, group_by_length")
    found: dict[str, list[tuple[Epoch, float]]] = {kind: [] for kind in kinds}
    for seed in given.seeds:
        for kind in kinds:
            model = network(encoder, target[rows], seed)
            epoch = train(kind, model, ids[rows], target[rows], seed, given.batch, device)
            prices = predict(model, data(ids[held], target[held]), choose_precision("fp32", device))
            loss = float(make_loss("smooth_l1")(torch.from_numpy(prices), torch.tensor(target[held])))
            found[kind].append((epoch, loss))
            print(
                f"seed {seed}, {kind}: {epoch.seconds:.1f} s, checkpoints {epoch.saving:.1f} s, loss {loss:.4f}",
                flush=True,
            )
    fastest = {kind: min(epoch.seconds for epoch, _ in runs) for kind, runs in found.items()}
    real = sum(map(len, ids[rows]))
    print(f"{'':26s} rows/s  this loop is  padding  held-out loss of each seed")
    for kind, runs in found.items():
        losses = "  ".join(f"{loss:.4f}" for _, loss in runs)
        padding = np.mean([epoch.tokens for epoch, _ in runs]) / real - 1
        times = fastest[kind] / fastest["this loop"]
        print(f"{kind:26s} {given.rows / fastest[kind]:6.1f}  {times:9.2f} x  {padding:7.1%}  {losses}")


if __name__ == "__main__":
    main()
