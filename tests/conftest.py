"""What all tests share: a derandomised Hypothesis profile and the place of the real rows."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# the same examples in every run; timing is the benchmarks' business
settings.register_profile(
    "pricing", derandomize=True, deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("pricing")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_rows() -> Path:
    """Folder with the real train.csv, test.csv and images; the test is skipped where there is none."""
    folder = Path(os.environ.get("PRICING_REAL_ROWS", ROOT.parent / "shared" / "data" / "amazon_ml_2025"))
    if not (folder / "train.csv").exists():
        pytest.skip("no real rows; set PRICING_REAL_ROWS")
    return folder
