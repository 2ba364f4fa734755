"""The same training on a GPU; skipped where torch sees none."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from pricing.errors import TrainingError
from pricing.members.fold_rows import FoldInputs
from pricing.members.multimodal import training
from pricing.members.multimodal.dataset import get_dataloader
from pricing.members.multimodal.optimisation import choose_precision
from pricing.members.multimodal.prediction import predict
from pricing.members.multimodal.settings import CheckpointConfig
from pricing.members.multimodal.training import train_neural_network
from pricing.members.torch_parts.tensors import trained_state
from tests.members.networks import training_case
from tests.members.networks.builders import tiny_config, toy_dataset, toy_model
from tests.members.networks.multimodal_case import price_again, run
from tests.members.networks.test_resuming import cut_at
from tests.members.networks.test_saved_networks import VARIANTS
from tests.members.networks.training_case import PowerCut

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
GPU, CPU = torch.device("cuda"), torch.device("cpu")
EVERY = CheckpointConfig(minutes=1e-9)


train = partial(training_case.train, rows=(96, 48), device=GPU)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_it_learns_as_on_the_cpu(precision: str, tmp_path: Path) -> None:
    """In every precision; the CPU's validation SMAPE is the oracle, and the weights price alike there."""
    changes = {"epochs": 12, "patience": 12, "learning_rate": 1e-2}
    model, result = train(tmp_path / "gpu", precision=precision, **changes)
    _, oracle = train(tmp_path / "cpu", device=CPU, **changes)
    assert result.precision == precision
    curve = [record["value"] for record in result.curves if record["split"] == "valid"]
    assert result.best_smape is not None
    assert oracle.best_smape is not None
    assert result.best_smape < 0.8 * curve[0]
    assert abs(result.best_smape - oracle.best_smape) < 0.1 * oracle.best_smape  # other dropout is drawn there
    rows = toy_dataset(48, seed=1)
    here = predict(model, rows, choose_precision("fp32", GPU))
    np.testing.assert_allclose(predict(model.to(CPU), rows, choose_precision("fp32", CPU)), here, atol=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_cut_and_resumed_it_goes_on_where_it_was(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, moments, scaler, average and the GPU's random state; a GPU's sums have no fixed order."""
    undisturbed, _ = train(tmp_path / "whole", precision=precision)
    with monkeypatch.context() as patch:
        cut_at(17, patch)
        with pytest.raises(PowerCut):
            train(tmp_path / "cut", precision=precision)
    torch.cuda.manual_seed(99)
    model, result = train(tmp_path / "cut", precision=precision)
    assert result.steps == 36
    for name, tensor in trained_state(model).items():
        torch.testing.assert_close(tensor, trained_state(undisturbed)[name], atol=1e-5, rtol=1e-4)


def test_a_bad_loss_in_fp16_halves_the_scale_and_is_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    scales: list[float] = []
    whole = training._Run.optimizer_step

    def step(self: Any, loss: float) -> None:
        before = self.scaler.get_scale()
        whole(self, loss)
        scales.append(self.scaler.get_scale() / before)

    monkeypatch.setattr(training._Run, "optimizer_step", step)
    data = toy_dataset(24)
    assert data.target is not None
    data.target[7] = torch.nan
    model = toy_model()
    config = training_case.settings(epochs=1, batch_size=4, accumulation=1, precision="fp16")
    train_neural_network(model, data, None, config, EVERY, tmp_path, device=GPU)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert caplog.text.count("skipped") == scales.count(0.5) >= 1


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("precision", ["auto", "fp16"])
def test_a_fold_is_trained_on_the_gpu_and_priced_again(
    variant: str,
    precision: str,
    inputs: FoldInputs,
    text_encoders: dict[str, Path],
    image_encoder: Path,
    tmp_path: Path,
) -> None:
    """Through the member, once with decoding processes; the saved model gives the fold's prices, on the CPU as well."""
    kind = "deberta" if variant in ("upper layer", "LoRA", "all trained, images too") else "bert"
    changes = {name: dict(section) for name, section in VARIANTS[variant].items()}
    changes["training"] = {"precision": precision} | changes.get("training", {})
    workers = 2 if variant == "all trained, images too" else 0
    config = tiny_config(text_encoders[kind], image_encoder, **changes, device="auto", workers=workers)
    out = run(inputs, config, tmp_path)
    record = json.loads((out / "member.json").read_text())
    assert record["precision"] == ("fp16" if precision == "fp16" else "bf16")
    predictions = pl.read_parquet(out / "predictions.parquet").filter(pl.col("role") == "test")
    tolerance = 2e-2  # 8 bits of mantissa, and batches padded otherwise
    here = price_again(inputs, out / "model").join(predictions, on="sample_id")
    np.testing.assert_allclose(here["again"], here["log_price"], atol=tolerance)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        there = price_again(inputs, out / "model").join(predictions, on="sample_id")
    np.testing.assert_allclose(there["again"], there["log_price"], atol=tolerance)


def test_batches_come_in_pinned_memory() -> None:
    batch = next(iter(get_dataloader(toy_dataset(8), 4, shuffle=False)))
    assert batch.tokens is not None
    assert batch.tokens.is_pinned()
    assert batch.tabular.is_pinned()


def test_too_little_memory_is_one_error_that_names_the_ways_out(tmp_path: Path) -> None:
    model, data = toy_model(hidden=2048, heads=2), toy_dataset(64)
    total = torch.cuda.get_device_properties(GPU).total_memory
    torch.cuda.empty_cache()
    try:
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 300e6) / total)
        config = training_case.settings(epochs=1, batch_size=64)
        with pytest.raises(TrainingError, match=r"members\.multimodal, halve training\.batch_size"):
            train_neural_network(model, data, None, config, EVERY, tmp_path, device=GPU)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_more_processes_than_gpus_are_one_error(
    inputs: FoldInputs, text_encoders: dict[str, Path], image_encoder: Path, tmp_path: Path
) -> None:
    config = tiny_config(text_encoders["bert"], image_encoder, device="auto", processes=torch.cuda.device_count() + 1)
    with pytest.raises(TrainingError, match=r"lower members\.multimodal\.processes"):
        run(inputs, config, tmp_path)
