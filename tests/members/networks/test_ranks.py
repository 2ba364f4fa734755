"""Several processes that train one network, over gloo on the CPU."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pricing.errors import TrainingError
from pricing.members.multimodal.dataset import BucketSampler
from pricing.members.multimodal.ranks import launch
from tests.members.networks import ranks_case

CPU = torch.device("cpu")


def together(root: Path, processes: int, rows: int = 29, terminate_at: int = -1, **changes: Any) -> list[Any]:
    out = root / "out"
    out.mkdir(parents=True, exist_ok=True)
    launch(ranks_case.train, processes, CPU, (root / "work", out, rows, changes, terminate_at))
    return [load_file(out / f"rank-{rank}") for rank in range(processes)]


def test_two_processes_train_as_one_with_twice_the_batch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """29 rows by 8: the last batch has 5, of which one process gets 3 and the other 2."""
    with caplog.at_level("INFO", logger="pricing"):
        first, second = together(tmp_path / "two", 2, batch_size=4)
    told = [
        record.getMessage().split(":")[0]
        for record in caplog.records
        if record.name == "pricing.members.multimodal.training"
    ]
    assert told == ["epoch 1", "epoch 2", "epoch 3"]
    (tmp_path / "one").mkdir()
    changes = {"batch_size": 8}
    ranks_case.train(CPU, tmp_path / "one/work", tmp_path / "one", 29, changes, -1)
    one = load_file(tmp_path / "one/rank-0")
    for name, tensor in one.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], tensor, atol=2e-5, rtol=1e-4)  # sums in another order
    assert len(one["losses"]) == 6  # loss and validation SMAPE of three epochs


@pytest.mark.parametrize("size", [2, 3])
def test_every_row_is_dealt_once_and_no_process_goes_without(size: int) -> None:
    """Seven rows by six: one is left over, and must not be counted by two processes."""
    samplers = [BucketSampler([1] * 7, 6, shuffle=True, rank=rank, size=size) for rank in range(size)]
    whole = samplers[0].batches(0)
    dealt = [list(sampler) for sampler in samplers]
    for number, batch in enumerate(whole):
        shares = [dealt[rank][number] for rank in range(size)]
        assert all(shares)
        assert sorted(row for rank, share in enumerate(shares) if rank < len(batch) for row in share) == sorted(batch)


@pytest.mark.slow
def test_sigterm_to_one_process_stops_all_and_they_resume(tmp_path: Path) -> None:
    """With dropout: each process's random state comes back, not the first one's."""
    options: dict[str, Any] = {"batch_size": 4, "dropout": 0.3}
    undisturbed = together(tmp_path / "whole", 2, **options)
    with pytest.raises(SystemExit) as stopped:
        together(tmp_path / "cut", 2, terminate_at=3, **options)
    assert stopped.value.code == 143
    assert (tmp_path / "cut/work/step-000000003.json").exists()
    resumed = together(tmp_path / "cut", 2, **options)
    for before, after in zip(undisturbed, resumed, strict=True):
        assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.slow
def test_a_failing_process_is_named_and_the_other_does_not_hang() -> None:
    with pytest.raises(TrainingError, match="training process 1 of 2 failed") as failed:
        launch(ranks_case.fail, 2, CPU, (1,))
    assert "no such row" in str(failed.value)
