"""What a task tells the library, without a server."""

from pathlib import Path
from typing import Any

import pytest

from pricing.config.paths import PathsConfig
from pricing.errors import TrainingError
from pricing.members.multimodal.settings import MultimodalSettings
from pricing.store.artifacts import Reference
from tasks.caching import Runtime
from tasks.stages import train_neural


def test_checkpoints_belong_to_the_key_of_what_they_become(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version of a library makes another output, so it must not take up what the old one left unfinished."""
    folders: list[Path] = []

    def stopped(*arguments: Any, **options: Any) -> None:
        folders.append(arguments[11])
        raise TrainingError("stopped")

    monkeypatch.setattr("pricing.members.neural_stage.train_fold", stopped)
    made = Reference(
        stage="any", slot="", key="k", digest="d", size=0, started=0.0, ended=0.0, threads=1, peak_rss=0
    ).model_dump()  # fmt: skip
    inputs: dict[str, Any] = {
        "catalogue": made, "folds": made, "features": made, "price_features": made, "images": None, "encoded": None,
        "config": MultimodalSettings(), "member": "multimodal", "fold": 0, "seed": 0, "fold_models": [],
        "runtime": Runtime(paths=PathsConfig(artifacts=tmp_path)),
    }  # fmt: skip
    for version in ("1", "1", "2"):
        monkeypatch.setattr(
            "pricing.store.artifacts.library_versions", lambda entry, version=version: {"torch": version}
        )
        with pytest.raises(TrainingError, match="stopped"):
            train_neural.fn(**inputs)
    assert folders[0] == folders[1] != folders[2]
