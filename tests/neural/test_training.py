"""The training loop: resuming, schedule, accumulation, clipping, selection of the best, bad losses."""

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from pricing.config.neural import CheckpointConfig, TrainingConfig
from pricing.errors import TrainingError
from pricing.neural import training
from pricing.neural.checkpoint import CheckpointManager
from pricing.neural.io import trained_state
from pricing.neural.optimisation import choose_precision, learning_rate_factor, make_optimizer
from pricing.neural.prediction import predict
from pricing.neural.training import train_neural_network
from tests.neural import training_case
from tests.neural.builders import toy_dataset, toy_model

ROOT = Path(__file__).resolve().parents[2]


class PowerCut(BaseException):
    """Comes out of nowhere."""


def cut_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = training._Run.optimizer_step

    def step_or_die(self: Any, loss: float) -> None:
        if self.step == step:
            raise PowerCut
        whole(self, loss)

    monkeypatch.setattr(training._Run, "optimizer_step", step_or_die)


def count_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Filled with the number of each step that is taken."""
    whole, done = training._Run.optimizer_step, []

    def counted(self: Any, loss: float) -> None:
        done.append(self.step)
        whole(self, loss)

    monkeypatch.setattr(training._Run, "optimizer_step", counted)
    return done


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    model, result = training_case.train(tmp_path_factory.mktemp("undisturbed"))
    assert result.steps == 12
    return {name: tensor.clone() for name, tensor in trained_state(model).items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return list(sorted(a)) == list(sorted(b)) and all(torch.equal(a[name], b[name]) for name in a)  # noqa: C413


@settings(max_examples=4)
@given(cuts=st.lists(st.integers(0, 11), min_size=1, max_size=3), kind=st.sampled_from(["quick", "full", "minimal"]))
def test_property_12_training_resumption_continuity(
    tmp_path_factory: pytest.TempPathFactory, undisturbed: dict[str, torch.Tensor], cuts: list[int], kind: str
) -> None:
    """Property 12: Training resumption continuity. Cut anywhere, any number of times, it ends with the same bits."""
    work = tmp_path_factory.mktemp("cut")
    for cut in sorted(cuts):
        with pytest.MonkeyPatch.context() as patch:
            cut_at(cut, patch)
            with pytest.raises(PowerCut):
                training_case.train(work, kind=kind)
    torch.manual_seed(int.from_bytes(os.urandom(4)))  # another process has other random states
    model, result = training_case.train(work, kind=kind)
    assert equal(trained_state(model), undisturbed)
    assert [record["epoch"] for record in result.curves if record["split"] == "valid"] == [1, 2, 3]


def kill_and_resume(tmp_path: Path, whens: list[str]) -> dict[str, torch.Tensor]:
    for when in [*whens, "none"]:
        command = [
            sys.executable,
            "-m",
            "tests.neural.training_case",
            str(tmp_path / "work"),
            str(tmp_path / "end"),
            when,
        ]
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
        assert done.returncode == (0 if when == "none" else -signal.SIGKILL), done.stderr
    return load_file(tmp_path / "end")


def test_kill_9_then_resume_ends_with_the_same_bits(tmp_path: Path, undisturbed: dict[str, torch.Tensor]) -> None:
    """Once in the middle of an epoch, once between the two files of a checkpoint."""
    assert equal(kill_and_resume(tmp_path, ["3", "6w"]), undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_many_kills(tmp_path: Path, undisturbed: dict[str, torch.Tensor], seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = sorted(rng.choice(np.arange(1, 12), 4, replace=False).tolist())
    assert equal(kill_and_resume(tmp_path, [f"{step}{rng.choice(['', 'w'])}" for step in steps]), undisturbed)


def test_sigterm_saves_and_leaves(
    tmp_path: Path, undisturbed: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = training._Run.optimizer_step

    def step(self: Any, loss: float) -> None:
        whole(self, loss)
        if self.step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(training._Run, "optimizer_step", step)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stopped:
        training_case.train(tmp_path)
    assert stopped.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before
    assert (tmp_path / "step-000000005.json").exists()
    monkeypatch.undo()
    model, _ = training_case.train(tmp_path)
    assert equal(trained_state(model), undisturbed)


def test_a_damaged_newest_checkpoint_costs_a_step_and_nothing_else(
    tmp_path: Path, undisturbed: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_at(7, monkeypatch)
    with pytest.raises(PowerCut):
        training_case.train(tmp_path)
    monkeypatch.undo()
    newest = max(tmp_path.glob("step-*.safetensors"))
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.warns(RuntimeWarning, match="going back"):
        model, _ = training_case.train(tmp_path)
    assert equal(trained_state(model), undisturbed)


@pytest.mark.parametrize("harm", ["truncate", "delete"])
def test_a_lost_best_costs_the_training_and_not_its_checkpoints(
    harm: str, tmp_path: Path, undisturbed: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left of the first run, with its higher step numbers, once pushed out each new checkpoint."""
    cut_at(10, monkeypatch)
    with pytest.raises(PowerCut):
        training_case.train(tmp_path)
    (best,) = tmp_path.glob("best-*.safetensors")
    best.write_bytes(best.read_bytes()[:-1]) if harm == "truncate" else best.with_suffix(".json").unlink()
    monkeypatch.undo()
    cut_at(7, monkeypatch)
    lost = pytest.warns(RuntimeWarning, match="is lost") if harm == "truncate" else nullcontext()
    with lost, pytest.raises(PowerCut):
        training_case.train(tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == {"step-000000006", "step-000000007", "best-000000004"}
    monkeypatch.undo()
    done = count_steps(monkeypatch)
    model, _ = training_case.train(tmp_path)
    assert done == list(range(7, 12))
    assert equal(trained_state(model), undisturbed)


def test_a_best_that_outlived_the_checkpoints_does_not_push_out_the_new_best(
    tmp_path: Path, undisturbed: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    training_case.train(tmp_path)
    for path in tmp_path.glob("step-*.json"):
        path.write_bytes(b"")
    cut_at(6, monkeypatch)
    with pytest.warns(RuntimeWarning, match="going back"), pytest.raises(PowerCut):
        training_case.train(tmp_path)
    assert [path.stem for path in tmp_path.glob("best-*.json")] == ["best-000000004"]
    monkeypatch.undo()
    done = count_steps(monkeypatch)
    model, _ = training_case.train(tmp_path)
    assert done == list(range(6, 12))
    assert equal(trained_state(model), undisturbed)


@pytest.mark.parametrize("part", ["model", "optimizer", "ema"])
def test_a_checkpoint_that_does_not_fit_is_left_for_a_new_start(
    part: str, tmp_path: Path, undisturbed: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Whole, with the right fingerprint, but not what this program writes; nothing of it may stay in the model."""
    cut_at(7, monkeypatch)
    with pytest.raises(PowerCut):
        training_case.train(tmp_path)
    monkeypatch.undo()
    manager = CheckpointManager(tmp_path)
    state = manager.get_latest_checkpoint()
    assert state is not None
    tensors = {"model": state["model"], "ema": state["ema"]["shadow"]}
    if part == "optimizer":
        state["optimizer"]["param_groups"].pop()
    else:
        tensors[part]["head.1.weight"] = tensors[part]["head.1.weight"][:, 1:]
    manager.save_checkpoint(state, state["step"], kind="quick")
    done = count_steps(monkeypatch)
    model, _ = training_case.train(tmp_path)
    assert "starting anew" in caplog.text
    assert done == list(range(12))
    assert equal(trained_state(model), undisturbed)


def test_checkpoints_of_another_training_are_not_taken(tmp_path: Path) -> None:
    every, config = CheckpointConfig(minutes=1e-9), training_case.settings(epochs=1)
    results = []
    for fingerprint in ("a", "b", "b"):
        model = toy_model()
        result = train_neural_network(model, toy_dataset(30), None, config, every, tmp_path, fingerprint=fingerprint)
        results.append((result.steps, trained_state(model)["head.1.weight"].sum().item()))
    assert results[0] == results[1] == results[2]  # trained anew, then found finished


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
        patch.setattr(training, "smape", lambda *_: float(scores[len(seen) - 1]))
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


def test_the_network_learns_what_only_the_picture_shows(tmp_path: Path) -> None:
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
