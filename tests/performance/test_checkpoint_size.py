"""What a checkpoint costs on disk, in trained weights: a full disk in the middle of a night is a lost night."""

from pathlib import Path

import pytest
from safetensors.torch import save_file

from pricing.members.multimodal.checkpoint import CheckpointManager
from pricing.members.multimodal.settings import CheckpointConfig
from pricing.members.multimodal.training import train_neural_network
from pricing.members.torch_parts.tensors import trained_state
from tests.members.networks.builders import toy_dataset, toy_model
from tests.members.networks.training_case import settings


@pytest.mark.parametrize(
    ("kind", "copies"),
    [
        ("quick", 4),  # weights, their moving average, two moments of Adam
        ("full", 5),  # and the best weights so far
    ],
)
def test_checkpoint_size(tmp_path: Path, kind: str, copies: int) -> None:
    model = toy_model(width=8000)  # 0.5 MB: what is not weights must not count
    save_file({name: tensor.contiguous() for name, tensor in trained_state(model).items()}, tmp_path / "weights")
    weights = (tmp_path / "weights").stat().st_size
    data = toy_dataset(12, training=True, width=8000), toy_dataset(6, seed=1, width=8000)
    sizes: list[int] = []
    write = CheckpointManager.save_checkpoint

    def measured(self: CheckpointManager, *args: object, **options: object) -> Path:
        path = write(self, *args, **options)  # type: ignore[arg-type]
        sizes.append(path.stat().st_size + path.with_suffix(".safetensors").stat().st_size)
        return path

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CheckpointManager, "save_checkpoint", measured)
        every = CheckpointConfig.model_validate({"minutes": 1e-9, "kind": kind})
        train_neural_network(model, *data, settings(epochs=1), every, tmp_path / "work", seed=5)
    assert weights > 400_000
    assert max(sizes) < (copies + 0.3) * weights
