"""One small run that the tests of this room share."""

from pathlib import Path

import pytest

from tests.run.small_run import SmallRun, make_small_run


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    return make_small_run(tmp_path_factory.mktemp("small_run"))


@pytest.fixture(scope="session")
def outputs(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the last step of the small run wrote."""
    return small_run.write(tmp_path_factory.mktemp("outputs") / "outputs")
