"""One made-up run with its report, for all tests of the report."""

from pathlib import Path

import pytest

from pricing.config.ensemble import ReportConfig
from pricing.report.page import build_page
from pricing.report.run_plots import draw_plots
from tests.report.run_fixture import write_run

CONFIG = ReportConfig(dpi=60, worst=6)


@pytest.fixture(scope="session")
def inline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plots of the run's page, filled with the run."""
    return tmp_path_factory.mktemp("inline")


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory, inline: Path) -> Path:
    folder = write_run(tmp_path_factory.mktemp("report"))
    draw_plots(folder, CONFIG, inline)
    build_page(folder, CONFIG, inline)
    return folder
