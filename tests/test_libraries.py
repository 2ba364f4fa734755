"""One xgboost, from whichever distribution; another one beside it is refused."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pricing import libraries
from pricing.configuration import load_config
from pricing.errors import ConfigError
from pricing.members.trees.matrix import Matrix, TableEncoder
from pricing.members.xgboost import DISTRIBUTIONS, XGBoostModel, XGBoostSettings, train_xgboost
from pricing.plan.opening import check_machine
from pricing.store.codehash import library_versions
from tests.members.trees.conftest import make_table


def install(folder: Path, name: str, version: str) -> None:
    """What pip leaves of a distribution that has the module xgboost."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    (info / "top_level.txt").write_text("xgboost\n", encoding="utf-8")


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is all that installed distributions are looked for in."""
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])
    libraries._distributions.cache_clear()
    yield tmp_path / "site"
    monkeypatch.undo()
    libraries._distributions.cache_clear()


@pytest.mark.parametrize("name", ["xgboost", "xgboost-cpu"])
def test_the_key_knows_the_module_not_the_distribution(only: Path, name: str) -> None:
    """A model trained with the CPU build is served to a machine with the other one of the same version."""
    install(only, name, "3.2.0")
    versions = library_versions("pricing.members.xgboost")
    assert {key: value for key, value in versions.items() if key != "python"} == {"xgboost": "3.2.0"}
    libraries.check_one_distribution(*DISTRIBUTIONS)


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two distributions of one module, found before the real one."""
    install(tmp_path / "site", "xgboost", "3.2.0")
    install(tmp_path / "site", "xgboost-cpu", "3.1.0")
    monkeypatch.syspath_prepend(tmp_path / "site")


@pytest.mark.usefixtures("both")
def test_both_are_refused_at_the_start_and_where_the_module_is_used(tmp_path: Path) -> None:
    table, labels = make_table(20)
    encoder = TableEncoder.fit(table)
    matrix = Matrix(encoder.encode(table), np.asarray(labels))
    line = r"xgboost 3\.2\.0 and xgboost-cpu 3\.1\.0 are both installed .* `pip uninstall -y xgboost xgboost-cpu`, then"
    with pytest.raises(ConfigError, match=line):
        train_xgboost(matrix, None, encoder, XGBoostSettings(), rounds=2)
    with pytest.raises(ConfigError, match=line):
        XGBoostModel.read_booster(b"{}")
    artifacts = {"paths.artifacts": str(tmp_path / "artifacts")}
    with pytest.raises(ConfigError, match=line):
        check_machine(load_config("demo", artifacts))
    check_machine(load_config("demo", artifacts | {"members.xgboost.enabled": False}))
