"""Rows a second and peak memory of the `full` preset's training on a GPU: ``python benchmarks/neural_full_preset.py``.

Prices and images of the sample catalogue; encoders of the published sizes with random weights; 200 numeric columns,
as many as the real rows have; one epoch with validation and checkpoints through `train_neural_network`, as a fold is
trained. Every text has ``members.multimodal.text.max_length`` tokens and every row an image, so the memory is the most
that a catalogue can take. What is timed is the training steps of an epoch's second half; validation and checkpoints are
left out. The memory is what torch has reserved, over everything; the CUDA context, 0.5 GB or so, lies outside it. The
ratio is to the first variant, the preset as it is.
"""

import argparse
import gc
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from pricing.pretrained import vision_ops  # isort: skip  # before timm and transformers

import numpy as np
import polars as pl
import torch

from benchmarks.published_encoders import full_network
from pricing.configuration import load_config
from pricing.members.multimodal import training
from pricing.members.multimodal.dataset import AmazonMLDataset
from pricing.members.multimodal.inputs import ImageFiles, TokenTexts, image_transform
from pricing.members.multimodal.settings import MultimodalSettings
from pricing.members.multimodal.training import train_neural_network
from pricing.sample.generate import generate_sample

assert vision_ops is not None
WIDTH, VALID, SAMPLE, GIB = 200, 256, 500, 2**30
SIX = "6 GB at most"
LEFT = 5.4 * GIB  # what the context leaves of 6 GB
FP16, LARGE = {"precision": "fp16"}, {"batch_size": 64, "accumulation": 1}
VARIANTS: dict[str, dict[str, Any]] = {
    "as the preset has it": {},
    SIX: {},
    f"fp16, {SIX}": {"training": FP16},
    "fp32": {"training": {"precision": "fp32"}},
    "16 workers": {"workers": 16},
    "64 rows at once": {"training": LARGE},
    "64 rows at once, 16 workers": {"training": LARGE, "workers": 16},
    "no gradient checkpointing": {"text": {"gradient_checkpointing": False}},
    "no images": {"image": {"enabled": False}, "workers": 0},
}


def data(prices: np.ndarray, images: list[Path], config: MultimodalSettings, encoder: Any, training: bool) -> Any:
    """All texts of full length, an image in every row."""
    rng, rows = np.random.default_rng(0), len(prices)
    names = pl.Series("sample_id", [str(row) for row in range(rows)])
    values = pl.DataFrame(rng.normal(size=(rows, WIDTH)).astype(np.float32)).insert_column(0, names)
    ids = [rng.integers(5, 128_000, config.text.max_length).astype(np.int32) for _ in range(rows)]
    files: Any = None
    if config.image.enabled:
        transforms = [image_transform(encoder, config.image.side, training=augmented) for augmented in (False, True)]
        files = ImageFiles([images[row % len(images)] for row in range(rows)], *transforms)
    frame = pl.DataFrame({"sample_id": names, "log_price": np.log(prices)})
    return AmazonMLDataset(frame, values, text=TokenTexts.of(ids), images=files, training=training)


def measure(
    variant: str, prices: np.ndarray, images: list[Path], device: torch.device
) -> tuple[float, float, float, str]:
    """One epoch; rows a second, GiB reserved and allocated at most, precision."""
    config = load_config("full", {"members": {"multimodal": VARIANTS[variant]}}).members.multimodal
    cuda = device.type == "cuda"
    if cuda:
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(LEFT / total if variant.endswith(SIX) else 1.0)
    torch.manual_seed(0)
    model = full_network(config, WIDTH)
    encoder = model.image and model.image.encoder
    learn = data(prices[:-VALID], images, config, encoder, True)
    valid = data(prices[-VALID:], images, config, encoder, False)
    model.initialise_output(torch.zeros(WIDTH), float(np.median(np.log(prices))), 1.0)
    ends: list[tuple[float, int]] = []
    step = training._Run.optimizer_step

    def timed(self: Any, loss: float) -> None:
        step(self, loss)
        if cuda:
            torch.cuda.synchronize()
        ends.append((time.perf_counter(), min(self.batch * self.config.batch_size, len(learn))))

    settings = config.training.model_copy(update={"epochs": 1})
    with patch.object(training._Run, "optimizer_step", timed), tempfile.TemporaryDirectory() as work:
        options: dict[str, Any] = {"device": device, "workers": config.workers}
        result = train_neural_network(model, learn, valid, settings, config.checkpoint, Path(work), **options)
    (began, before), (ended, after) = ends[len(ends) // 2 - 1], ends[-1]
    memory = [torch.cuda.max_memory_reserved(), torch.cuda.max_memory_allocated()] if cuda else [0, 0]
    return (after - before) / (ended - began), memory[0] / GIB, memory[1] / GIB, result.precision


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--device", choices=["cpu", "cuda"], help="by default the GPU; without one nothing is measured")
    given = parser.parse_args()
    given.device = given.device or ("cuda" if torch.cuda.is_available() else None)
    if given.device is None:
        print("no GPU here; --device cpu takes hours")
        return
    with tempfile.TemporaryDirectory() as folder:
        sample = generate_sample(Path(folder) / "sample", SAMPLE, 0)
        assert sample.images is not None
        images = sorted(sample.images.glob("*.jpg"))
        prices = np.resize(pl.read_csv(sample.train)["price"].to_numpy(), given.rows + VALID)
        name = torch.cuda.get_device_name() if given.device == "cuda" else "the CPU"
        print(f"{name}, torch {torch.__version__}; full texts and an image in all of {given.rows} rows")
        print(f"{'':28s} rows/s      ratio  GiB reserved  allocated  precision", flush=True)
        base = 0.0
        for variant in given.variants:
            rows, *memory, precision = measure(variant, prices, images, torch.device(given.device))
            base = base or rows
            print(
                f"{variant:28s} {rows:6.1f}  {rows / base:7.2f} x  {memory[0]:12.2f}  {memory[1]:9.2f}  {precision}",
                flush=True,
            )


if __name__ == "__main__":
    main()
