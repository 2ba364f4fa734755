"""The pull step of the deployments: a run works where the worker's own installation of this project lies."""

import os
from pathlib import Path

import flows


def enter_installation() -> dict[str, str]:
    """Change to the folder of the installation that this process imports from; Prefect loads the flow from there."""
    folder = Path(flows.__file__).resolve().parents[1]
    os.chdir(folder)
    return {"directory": str(folder)}
