"""The `full` preset's training step in 6 GB: asserted on a GPU, calculated elsewhere, the calculation measured."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from pricing.pretrained import vision_ops  # isort: skip  # before timm and transformers

import pytest
import timm
import torch
from transformers import BertConfig, BertModel

from benchmarks.published_encoders import full_network
from pricing.configuration import load_config
from pricing.members.multimodal.encoders import ImageTower, TextTower
from pricing.members.multimodal.network import OptimizedMultimodalModel
from pricing.members.multimodal.settings import FusionConfig, TrainingConfig
from tests.performance.step_memory import GIB, OVERHEAD, step_bytes, toy_batch, training_step

assert vision_ops is not None
# what a GPU sold as 6 GB has
LIMIT = 6 * GIB
NEURAL = load_config("full").members.multimodal
FULL = {
    "rows": NEURAL.training.batch_size, "tokens": NEURAL.text.max_length, "side": NEURAL.image.side, "width": 200,
}  # fmt: skip


def full_model() -> OptimizedMultimodalModel:
    """In its published sizes."""
    return full_network(NEURAL, FULL["width"])


def medium_model() -> OptimizedMultimodalModel:
    """Activations of some hundred MB: much more than what an allocator keeps."""
    text = BertModel(
        BertConfig(vocab_size=2000, hidden_size=128, num_hidden_layers=4, num_attention_heads=4, intermediate_size=512)
    )
    text.pooler = None
    image: Any = timm.create_model("efficientnet_b0", pretrained=False, num_classes=0)
    return OptimizedMultimodalModel(
        TextTower(text, 128, upper=False), ImageTower(image, image.num_features, "none"), 20, FusionConfig()
    )


MEDIUM = {"rows": 16, "tokens": 128, "side": 128, "width": 20}


@pytest.mark.slow
def test_the_calculation_is_what_a_process_grows_by(tmp_path: Path) -> None:
    """Another process takes the same step on real tensors; the kernel says how much memory it took at most."""
    calculated = step_bytes(medium_model, TrainingConfig(), dtype=None, **MEDIUM)
    command = [sys.executable, "-W", "ignore", "-m", "tests.performance.test_gpu_memory"]
    environment = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    import os

    done = subprocess.run(
        command, env=os.environ | environment, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    measured = int(done.stdout)
    assert measured > 150e6
    assert 0.85 < calculated / measured < 1.1


def test_the_full_presets_step_fits_six_gigabytes_by_calculation() -> None:
    calculated = step_bytes(full_model, TrainingConfig(), dtype=torch.bfloat16, **FULL)
    # weights, gradients, two moments and the moving average are the floor: a calculation below it counts nothing
    with torch.device("meta"):
        weights = 4 * sum(p.numel() for p in full_model().parameters())
    assert 4 * weights < calculated
    assert calculated + OVERHEAD < LIMIT


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_full_presets_step_fits_a_six_gigabyte_gpu() -> None:
    device = torch.device("cuda")
    torch.cuda.set_per_process_memory_fraction(min(1.0, LIMIT / torch.cuda.get_device_properties(device).total_memory))
    torch.cuda.reset_peak_memory_stats()
    training_step(full_model().to(device), toy_batch(**FULL).to(device), TrainingConfig(), torch.float16)
    assert torch.cuda.max_memory_reserved() < LIMIT - OVERHEAD / 2  # the context lies outside torch's own


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(key)).split()[1])


def _measure() -> None:
    small = {"rows": 1, "tokens": 8, "side": 32, "width": 20}
    training_step(medium_model(), toy_batch(**small), TrainingConfig(), None)  # libraries load what they need
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    training_step(medium_model(), toy_batch(**MEDIUM), TrainingConfig(), None)
    print(_status("VmHWM") - before)


if __name__ == "__main__":
    _measure()
