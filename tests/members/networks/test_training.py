"""The training loop: schedule, accumulation, clipping, selection of the best, bad losses."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.errors import TrainingError
from pricing.members.multimodal import training
from pricing.members.multimodal.checkpoint import CheckpointManager
from pricing.members.multimodal.encoders import ImageTower
from pricing.members.multimodal.optimisation import choose_precision, learning_rate_factor, make_optimizer
from pricing.members.multimodal.prediction import predict
from pricing.members.multimodal.settings import CheckpointConfig, TrainingConfig
from pricing.members.multimodal.training import train_neural_network
from pricing.members.torch_parts.tensors import trained_state
from tests.members.networks import training_case
from tests.members.networks.builders import toy_dataset, toy_model
from tests.members.networks.training_case import PowerCut, equal


@given(total=st.integers(1, 300), warmup=st.floats(0, 0.9))
def test_property_17_learning_rate_schedule_monotonicity(total: int, warmup: float) -> None:
    """Property 17: Learning rate schedule monotonicity. Up during warm-up, down after it, in (0, 1], peak once
    reached."""
    rates = np.array([learning_rate_factor(step, total, warmup) for step in range(total)])
    rising = round(total * warmup)
    assert (np.diff(rates[:rising]) > 0).all()
    assert (np.diff(rates[rising:]) < 0).all()
    assert (rates > 0).all()
    assert rates.max() == 1.0
    assert learning_rate_factor(total, total, warmup) == 0.0


def gradient_of_a_step(batch_size: int, accumulation: int, rows: int, scale: float = 1.0) -> torch.Tensor:
    """What the optimiser would be given at its first step."""
    config = training_case.settings(batch_size=batch_size, accumulation=accumulation, ema_decay=0.0, loss="l1")
    model = toy_model(dropout=0.0, modality_dropout=0.0)
    model.initialise_output(torch.zeros(5), 0.0, scale)
    found: list[torch.Tensor] = []

    def stop(self: Any, loss: float) -> None:
        del loss
        found.append(torch.cat([p.grad.flatten() for p in self.model.parameters() if p.grad is not None]))
        raise PowerCut

    with tempfile.TemporaryDirectory() as work, pytest.MonkeyPatch.context() as patch:
        patch.setattr(training._Run, "optimizer_step", stop)
        with pytest.raises(PowerCut):
            train_neural_network(model, toy_dataset(rows), None, config, CheckpointConfig(), Path(work))
    return found[0]


@settings(max_examples=10)
@given(rows=st.integers(2, 16), batch_size=st.integers(1, 8))
def test_property_18_gradient_accumulation_correctness(rows: int, batch_size: int) -> None:
    """Property 18: Gradient accumulation correctness. Micro-batches, the last one short, give one big batch's
    gradient."""
    accumulated = gradient_of_a_step(batch_size, 16, rows)
    torch.testing.assert_close(accumulated, gradient_of_a_step(rows, 1, rows), atol=1e-6, rtol=1e-4)


@settings(max_examples=6)
@given(limit=st.floats(1e-3, 10.0), scale=st.floats(0.01, 100.0))
def test_property_19_gradient_clipping_enforcement(limit: float, scale: float) -> None:
    """Property 19: Gradient clipping enforcement. No step sees a norm above the limit; smaller gradients are
    untouched."""
    free = gradient_of_a_step(8, 1, 8, scale).norm().item()
    norms: list[float] = []
    model = toy_model(dropout=0.0, modality_dropout=0.0)
    model.initialise_output(torch.zeros(5), 0.0, scale)
    config = training_case.settings(
        epochs=1, batch_size=8, accumulation=1, ema_decay=0.0, loss="l1", clip_norm=limit, learning_rate=1e-9
    )
    step = torch.optim.AdamW.step

    def record(self: Any, *args: Any, **kwargs: Any) -> Any:
        grads = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(torch.cat([g.flatten() for g in grads]).norm().item())
        return step(self, *args, **kwargs)

    with tempfile.TemporaryDirectory() as work, pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", record)
        train_neural_network(model, toy_dataset(8), None, config, CheckpointConfig(), Path(work))
    assert norms == [pytest.approx(min(limit, free), rel=1e-3)]


@settings(max_examples=12)
@given(scores=st.lists(st.integers(20, 60), min_size=6, max_size=6), patience=st.integers(1, 3))
def test_property_21_best_model_selection(scores: list[int], patience: int) -> None:
    """Property 21: Best model selection. The weights kept are those of the lowest validation SMAPE seen before
    stopping."""
    ends, best, bad = 0, 999, 0  # an oracle for early stopping
    for score in scores:
        ends += 1
        best, bad = (score, 0) if score < best else (best, bad + 1)
        if bad == patience:
            break
    seen: list[dict[str, torch.Tensor]] = []

    def spy(model: Any, *args: Any, **kwargs: Any) -> np.ndarray:
        seen.append({name: tensor.clone() for name, tensor in trained_state(model).items()})
        return predict(model, *args, **kwargs)

    model = toy_model()
    config = training_case.settings(epochs=6, patience=patience)
    with tempfile.TemporaryDirectory() as work, pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "predict", spy)
        patch.setattr(training, "smape_of_logs", lambda *_: float(scores[len(seen) - 1]))
        result = train_neural_network(model, toy_dataset(8), toy_dataset(4), config, CheckpointConfig(), Path(work))
    assert len(seen) == ends
    assert result.best_smape == min(scores[:ends])
    assert result.best_epoch == scores.index(min(scores[:ends])) + 1
    assert equal(trained_state(model), seen[result.best_epoch - 1])


def test_one_bad_loss_is_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = toy_dataset(24)
    assert data.target is not None
    data.target[7] = torch.nan
    model = toy_model()
    config = training_case.settings(epochs=1, batch_size=4, accumulation=1)
    train_neural_network(model, data, None, config, CheckpointConfig(), tmp_path)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert caplog.text.count("skipped") == 1


def test_a_full_device_is_one_error_that_names_the_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was learnt before stays in the checkpoints."""
    whole = training._Run.optimizer_step

    def step(self: Any, loss: float) -> None:
        whole(self, loss)
        if self.step == 5:
            raise torch.OutOfMemoryError("full")

    arguments = (toy_dataset(30), None, training_case.settings(), CheckpointConfig(minutes=1e-9), tmp_path)
    monkeypatch.setattr(training._Run, "optimizer_step", step)
    with pytest.raises(TrainingError, match=r"members\.multimodal, halve training\.batch_size"):
        train_neural_network(toy_model(), *arguments)
    assert CheckpointManager(tmp_path, 1).get_latest_checkpoint() is not None


def test_losses_that_stay_bad_end_the_training(tmp_path: Path) -> None:
    data = toy_dataset(24)
    assert data.target is not None
    data.target[:] = torch.inf
    config = training_case.settings(epochs=9, batch_size=4, accumulation=1)
    with pytest.raises(TrainingError, match="not finite in 21 steps"):
        train_neural_network(toy_model(), data, None, config, CheckpointConfig(), tmp_path)


def test_rows_without_prices_are_refused(tmp_path: Path) -> None:
    data = toy_dataset(8)
    data.target = None
    with pytest.raises(TrainingError, match="labelled"):
        train_neural_network(toy_model(), data, None, training_case.settings(), CheckpointConfig(), tmp_path)


def test_a_prediction_that_is_not_finite_names_its_row() -> None:
    data, model = toy_dataset(4), toy_model()
    data.tabular[2] = torch.nan
    with pytest.raises(TrainingError, match="'r2'"):
        predict(model, data, choose_precision("fp32", torch.device("cpu")))


def test_the_network_learns_what_only_the_image_shows(tmp_path: Path) -> None:
    """The toy's log price is a column plus what the patches show: seeing them must nearly halve the error at least."""
    scores = []
    for image in (True, False):
        config = TrainingConfig(
            epochs=6, batch_size=16, accumulation=1, precision="fp32", learning_rate=5e-3, ema_decay=0.98, patience=12
        )
        data = toy_dataset(400), toy_dataset(200, seed=1)
        model = toy_model(image=image, dropout=0.0, modality_dropout=0.05)
        result = train_neural_network(model, *data, config, CheckpointConfig(), tmp_path / str(image))
        scores.append(result.best_smape)
    assert scores[0] < 0.6 * scores[1]


def test_layer_wise_rates_fall_downwards() -> None:
    class Two(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.text = torch.nn.Module()
            self.text.encoder = torch.nn.Module()
            self.text.encoder.layer = torch.nn.ModuleList(torch.nn.Linear(2, 2, bias=False) for _ in range(3))
            self.text.encoder.embeddings = torch.nn.Linear(2, 2, bias=False)
            self.head = torch.nn.Linear(2, 1)
            self.skip = torch.nn.Linear(2, 1)

    model = Two()
    config = TrainingConfig(learning_rate=1.0, encoder_learning_rate=0.1, layer_decay=0.5, skip_rate=0.01)
    groups = make_optimizer(model, config).param_groups
    rate = {id(p): group["peak"] for group in groups for p in group["params"]}
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    layers = model.text.encoder.layer
    assert [rate[id(layer.weight)] for layer in layers] == [0.025, 0.05, 0.1]
    assert rate[id(model.text.encoder.embeddings.weight)] == 0.0125
    assert (rate[id(model.head.weight)], rate[id(model.skip.weight)]) == (1.0, 0.01)
    assert decay[id(model.head.bias)] == decay[id(model.skip.weight)] == 0.0 < decay[id(model.head.weight)]


def test_an_image_encoders_rates_fall_by_its_stages() -> None:
    """A Swin's blocks are numbered anew in each stage."""
    small = {"embed_dim": 8, "depths": (1, 2), "num_heads": (1, 1), "window_size": 2, "img_size": 16}
    model = torch.nn.Module()
    model.image = ImageTower(timm.create_model("swin_tiny_patch4_window7_224", num_classes=0, **small), 16, "none")
    config = TrainingConfig(encoder_learning_rate=1.0, layer_decay=0.5)
    groups = make_optimizer(model, config).param_groups
    rate = {id(p): group["peak"] for group in groups for p in group["params"]}
    found = {name: rate[id(parameter)] for name, parameter in model.image.encoder.named_parameters()}
    assert (found["patch_embed.proj.weight"], found["norm.weight"]) == (0.125, 1.0)
    assert {value for name, value in found.items() if name.startswith("layers.0")} == {0.25}
    assert {value for name, value in found.items() if name.startswith("layers.1")} == {0.5}


@pytest.mark.parametrize(
    ("bf16", "amx", "expected"), [(True, False, "bf16"), (False, True, "bf16"), (False, False, "fp32")]
)
def test_the_processor_decides_the_precision(
    bf16: bool, amx: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    for wish in ("auto", "fp16"):
        assert choose_precision(wish, torch.device("cpu")).name == expected  # type: ignore[arg-type]
    assert choose_precision("fp32", torch.device("cpu")).name == "fp32"


def test_bf16_trains_on_a_cpu(tmp_path: Path) -> None:
    config = training_case.settings(precision="bf16", epochs=2)
    result = train_neural_network(toy_model(), toy_dataset(30), toy_dataset(12), config, CheckpointConfig(), tmp_path)
    assert result.precision == "bf16"
    assert result.best_smape is not None
