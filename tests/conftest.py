"""What all tests share: a derandomised Hypothesis profile, the place of the real rows, a Prefect server."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.run.small_run import SmallRun

# the same examples in every run; timing is the benchmarks' business
settings.register_profile(
    "pricing", derandomize=True, deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("pricing")

ROOT = Path(__file__).resolve().parent.parent


LONGEST_FIRST = ({"flows", "integration", "test_readme.py"}, {"ensemble", "members"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole runs first, then models: a file of minutes at the end would leave the other process without work."""

    def place(item: pytest.Item) -> int:
        return next((rank for rank, rooms in enumerate(LONGEST_FIRST) if rooms & set(item.path.parts)), 2)

    items.sort(key=place)


@pytest.fixture(scope="session")
def real_rows() -> Path:
    """Folder with the real train.csv, test.csv and images; the test is skipped where there is none."""
    folder = Path(os.environ.get("PRICING_REAL_ROWS", ROOT.parent / "shared" / "data" / "amazon_ml_2025"))
    if not (folder / "train.csv").exists():
        pytest.skip("no real rows; set PRICING_REAL_ROWS")
    return folder


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> "SmallRun":
    """A whole run in miniature but for its last step, in seconds."""
    from tests.run.small_run import make_small_run

    return make_small_run(tmp_path_factory.mktemp("small_run"))


@pytest.fixture(scope="session")
def outputs(small_run: "SmallRun", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the last step of the small run wrote."""
    return small_run.write(tmp_path_factory.mktemp("outputs") / "outputs")


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """One temporary server and home; its address, for commands in processes of their own.

    A command starts a server by itself where none is named, at 13 s of CPU on a small machine, 24 in a new home.
    """
    from prefect.settings import PREFECT_API_URL  # 2 s that most tests need not spend
    from prefect.testing.utilities import prefect_test_harness

    os.environ.update(PREFECT_SERVER_ANALYTICS_ENABLED="false", DO_NOT_TRACK="1")
    with prefect_test_harness(server_startup_timeout=120):
        yield PREFECT_API_URL.value()
