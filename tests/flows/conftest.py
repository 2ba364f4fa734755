"""A small catalogue that the whole pipeline runs on in seconds."""

from pathlib import Path
from typing import Any

import pytest

from pricing.catalogue.sample import SampleInfo, generate_sample
from pricing.config import PricingConfig, load_config

SMALL = {
    "folds": {"n_splits": 2},
    "images": {"enabled": False},
    "gbdt": {"members": ["lightgbm"], "lightgbm": {"rounds": 20}},
    "neural": {"members": ["sparse_mlp"], "text": {"enabled": False}, "image": {"enabled": False}},
    "ensemble": {
        "bootstrap": 50,
        "meta_learners": ["smape_linear", "ridge", "lightgbm"],
    },  # no torch in the tables branch
    "report": {"dpi": 50, "worst": 2},
}


def small_config(artifacts: Path, **changes: object) -> PricingConfig:
    """The small configuration; ``changes`` replace single settings, ``a__b__c=value``."""
    tree: dict = {**SMALL, "paths": {"artifacts": str(artifacts)}}
    for path, value in changes.items():
        *parents, leaf = path.split("__")
        node = tree
        for parent in parents:
            node[parent] = dict(node.get(parent, {}))
            node = node[parent]
        node[leaf] = value
    return load_config("demo", tree)


def parameters(config: PricingConfig) -> dict[str, Any]:
    """The parameters of a flow that resolve to this configuration."""
    return {"preset": config.preset, "overrides": config.model_dump(mode="json", exclude={"preset"})}


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleInfo:
    """100 rows with prices, 30 without."""
    return generate_sample(tmp_path_factory.mktemp("sample") / "s", rows=100, test_rows=30, images=False)
