"""The training loop resumed: kill -9, SIGTERM, power cuts, damaged and foreign checkpoints."""

import multiprocessing
import os
import signal
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from pricing.members.multimodal import training
from pricing.members.multimodal.checkpoint import CheckpointManager
from pricing.members.multimodal.settings import CheckpointConfig
from pricing.members.multimodal.training import train_neural_network
from pricing.members.torch_parts.tensors import trained_state
from tests.members.networks import training_case
from tests.members.networks.builders import toy_dataset, toy_model
from tests.members.networks.training_case import PowerCut, equal


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


@settings(max_examples=4)
@given(cuts=st.lists(st.integers(0, 11), min_size=1, max_size=3), kind=st.sampled_from(["quick", "full"]))
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
    assert [record["round"] for record in result.curves if record["split"] == "valid"] == [1, 2, 3]


def kill_and_resume(tmp_path: Path, whens: list[str]) -> dict[str, torch.Tensor]:
    """The weights after a training that was killed in these moments.

    Its processes are forked from one that has imported the network, 6 s of CPU each otherwise.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([training_case.__name__])
    for when in [*whens, "none"]:
        process = context.Process(target=training_case.main, args=(str(tmp_path / "work"), str(tmp_path / "end"), when))
        process.start()
        process.join()
        assert process.exitcode == (0 if when == "none" else -signal.SIGKILL)
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
    assert "training from scratch" in caplog.text
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
