"""Tiny encoders, written once a session."""

from pathlib import Path

import pytest
import torch

from pricing.members.fold_rows import FoldInputs
from tests.members.networks.builders import write_image_encoder, write_inputs, write_text_encoder


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Sums on one thread have one order."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def text_encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of tiny BERT, MPNet and DeBERTa-v2 encoders."""
    root = tmp_path_factory.mktemp("text")
    return {kind: write_text_encoder(root / kind, kind) for kind in ("bert", "mpnet", "deberta")}


@pytest.fixture(scope="session")
def image_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small EfficientNet of timm."""
    return write_image_encoder(tmp_path_factory.mktemp("image") / "efficientnet")


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> FoldInputs:
    """Catalogue, folds, features and images of a few rows."""
    return write_inputs(tmp_path_factory.mktemp("inputs"))
